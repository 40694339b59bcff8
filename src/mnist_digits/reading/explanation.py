"""What the network looks at in one digit, and what it makes of it on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .framing import FRAME
from .reader import Reader

# A patch is about as wide as two strokes of MNIST; smaller ones hide nothing of a digit.
PATCH, STEP = 6, 2


@dataclass(frozen=True)
class Explanation:
    """Why the network answers as it does.

    Attributes:
        probabilities: float32 (10,), summing to 1.
        fall: float32 (28, 28): by how much the probability of the answer falls, 0 to 1, when
            what lies around a pixel is covered.
        features: of each stage of the network the feature maps, float32 (channels, h, w);
            empty for models that were exported without them.
    """

    probabilities: NDArray[np.float32]
    fall: NDArray[np.float32]
    features: list[NDArray[np.float32]]


def explain(reader: Reader, frame: NDArray[np.uint8]) -> Explanation:
    """Explain the answer to a frame of one digit: uint8 (28, 28), light on dark.

    The map is that of occlusion (Zeiler and Fergus, "Visualizing and Understanding
    Convolutional Networks", 2014).

    Raises:
        PictureError: the frame is of another shape or type.
    """
    probabilities = reader.classify(frame[None])[0]
    answer = int(probabilities.argmax())
    patches = _patches()
    covered = reader.classify(np.where(patches, np.uint8(0), frame))
    falls = np.maximum(probabilities[answer] - covered[:, answer], 0)
    # Each pixel has the mean of the patches that cover it.
    weights = patches.reshape(len(patches), -1).astype(np.float32)
    fall = (falls @ weights) / weights.sum(axis=0)
    features = [maps[0] for maps in reader.features(frame[None])]
    return Explanation(probabilities, fall.reshape(FRAME, FRAME), features)


def _patches() -> NDArray[np.bool_]:
    """Masks (N, 28, 28), each a square; together they cover every pixel."""
    starts = np.arange(STEP - PATCH, FRAME, STEP)
    places = np.arange(FRAME)
    spans = (places >= starts[:, None]) & (places < starts[:, None] + PATCH)
    return (spans[:, None, :, None] & spans[None, :, None, :]).reshape(-1, FRAME, FRAME)
