"""Which pixels an answer rests on, by ONNX Runtime (by gradients: `plots.insight.saliency`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .mnist_frame import FRAME
from .reader import Reader

# A patch is about as wide as two strokes of MNIST; smaller ones hide nothing of a digit.
PATCH, STEP = 6, 2


def occlusion(reader: Reader, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """By how much the probability of the answer falls when what lies around a pixel is covered.

    The mean over all patches that cover the pixel: float32 (28, 28), 0 to 1. Zeiler and Fergus,
    "Visualizing and Understanding Convolutional Networks", 2014.

    Args:
        frame: one digit, uint8 (28, 28), light on dark.

    Raises:
        PictureError: the frame is of another shape or type.
    """
    probabilities = reader.classify(frame[None])[0]
    answer = int(probabilities.argmax())
    squares = patches()
    covered = reader.classify(np.where(squares, np.uint8(0), frame))
    falls = np.maximum(probabilities[answer] - covered[:, answer], 0)
    weights = squares.reshape(len(squares), -1).astype(np.float32)
    return np.reshape((falls @ weights) / weights.sum(axis=0), (FRAME, FRAME))


def patches() -> NDArray[np.bool_]:
    """Masks (N, 28, 28), each a square; together they cover every pixel."""
    starts = np.arange(STEP - PATCH, FRAME, STEP)
    places = np.arange(FRAME)
    spans = (places >= starts[:, None]) & (places < starts[:, None] + PATCH)
    return (spans[:, None, :, None] & spans[None, :, None, :]).reshape(-1, FRAME, FRAME)
