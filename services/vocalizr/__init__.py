"""Vocalizr: speech."""
