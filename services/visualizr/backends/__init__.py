"""The ways to make a film; each is a plugin of the group `chatacter.video`."""
