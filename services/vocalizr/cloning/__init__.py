"""Voices of the users' own: cloned with the speaker's consent, or designed; stored so that any replica speaks them."""
