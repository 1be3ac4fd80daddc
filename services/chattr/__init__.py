"""Chattr: characters, conversations and memory behind OpenAI-compatible doors."""
