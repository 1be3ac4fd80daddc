"""Kokoro-82M on ONNX Runtime: English speech without torch, and without a GPL phonemizer."""
