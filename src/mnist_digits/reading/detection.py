"""Stub."""

from pathlib import Path

MODELS = Path(__file__).parent / "models"
DETECT, LOOK = "detect.onnx", "look.onnx"
DETECT_FORMAT, LOOK_FORMAT = "mnist-digits detect 1", "mnist-digits look 1"
