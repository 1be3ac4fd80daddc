"""Kokoro-82M on ONNX Runtime: English speech without torch, and without a GPL phonemizer."""

from chatacter.chassis.settings import forbid_onnxruntime_to_report

forbid_onnxruntime_to_report()  # before any module here imports it
