"""Conversations as files: our own, which loses nothing, and SillyTavern's, which holds one branch and its swipes."""
