"""Coqui's models by `coqui-tts`: XTTS, which streams and clones, VITS, and others by name."""
