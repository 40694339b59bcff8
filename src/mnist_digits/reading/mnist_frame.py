"""MNIST's frame: a digit in a box of 20 pixels, amid 28 × 28; pictures that are normalized so."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FRAME, BOX = 28, 20
# Darker pixels are ground, not ink.
GROUND = 16


def already_normalized(pixels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Pixels (28, 28, 3) framed as in MNIST already, as uint8 (28, 28), light on dark; else None.

    They are so framed if the ink's longer side fills the box of 20 pixels, its centre of mass is in
    the middle, and the ground is plain. Framing them again would only blur them.
    """
    if pixels.shape != (FRAME, FRAME, 3):
        return None
    grey = pixels.mean(axis=2).round().astype(np.uint8)
    for image in (grey, 255 - grey):
        ys, xs = np.nonzero(image > GROUND)
        if not len(ys):
            continue
        side = max(np.ptp(ys), np.ptp(xs)) + 1
        centre = np.average(np.indices(image.shape).reshape(2, -1), axis=1, weights=image.ravel())
        if BOX - 1 <= side <= BOX and np.abs(centre - FRAME / 2).max() <= 0.75:
            return image
    return None
