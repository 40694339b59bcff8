"""The ink of one digit, framed as MNIST frames it.

LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition",
1998: fitted into 20 × 20 pixels with its proportions kept, anti-aliased, and placed in
28 × 28 pixels with its centre of mass in the middle.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

FRAME, BOX = 28, 20


def as_framed(pixels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Pixels (28, 28, 3) that are framed as in MNIST already, light on dark; else None.

    They are if the ink's longer side fills the box of 20 pixels, its centre of mass is in the
    middle, and the ground is plain. Framing them again would only blur them.
    """
    if pixels.shape != (FRAME, FRAME, 3):
        return None
    grey = pixels.mean(axis=2).round().astype(np.uint8)
    for image in (grey, 255 - grey):
        ys, xs = np.nonzero(image > 16)
        if not len(ys):
            continue
        side = max(np.ptp(ys), np.ptp(xs)) + 1
        centre = np.average(np.indices(image.shape).reshape(2, -1), axis=1, weights=image.ravel())
        if BOX - 1 <= side <= BOX and np.abs(centre - FRAME / 2).max() <= 0.75:
            return image
    return None


def frame(ink: Floats) -> NDArray[np.uint8]:
    """The ink of one digit, float32 (h, w) 0 to 1, as MNIST frames it: uint8 (28, 28).

    Scaled into a box of 20 × 20 pixels with its proportions kept, anti-aliased, its centre
    of mass in the middle. Thin strokes are made thicker first: they would fade away.
    """
    ink = _thickened(ink)
    height, width = ink.shape
    scale = BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(ink, size, interpolation=method)
    peak = percentile(small, 99.5) if small.size > 1 else 1.0
    small = np.clip(small / max(peak, 1e-6), 0, 1)
    total = float(small.sum()) or 1.0
    centre_x = float(small.sum(axis=0) @ np.arange(size[0])) / total
    centre_y = float(small.sum(axis=1) @ np.arange(size[1])) / total
    # Moved by whole pixels to within half a pixel of (14, 14), as all of MNIST is.
    x = min(max(round(FRAME / 2 - centre_x), 0), FRAME - size[0])
    y = min(max(round(FRAME / 2 - centre_y), 0), FRAME - size[1])
    result = np.zeros((FRAME, FRAME), np.uint8)
    result[y : y + size[1], x : x + size[0]] = (small * 255).round()
    return result


def percentile(values: NDArray[np.float32], share: float) -> float:
    """What `np.percentile` gives; of a few hundred values in a tenth of its time.

    Args:
        values: one or more.
        share: 0 to 100.
    """
    ordered = np.sort(values, axis=None)
    place = (len(ordered) - 1) * (share / 100)
    low = int(place)
    one, other = ordered[low], ordered[min(low + 1, len(ordered) - 1)]
    part = place - low
    # From the nearer of the two, in float32, as NumPy does it.
    if part < 0.5:
        return float(one + (other - one) * np.float32(part))
    return float(other - (other - one) * np.float32(1 - part))


def _thickened(ink: Floats) -> Floats:
    """The ink with strokes that have at least 1.8 pixels in the frame; MNIST's have 2 to 4."""
    scale = BOX / max(ink.shape)
    solid = ink > 0.5
    if not solid.any():
        return ink
    padded = cv2.copyMakeBorder(solid.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)
    highest = cv2.dilate(distance, np.ones((3, 3), np.uint8))
    ridge = distance[padded.view(bool) & (distance >= highest)]
    thickness = 2 * float(np.median(ridge)) - 1
    missing = 1.8 / scale - thickness
    radius = round(missing / 2)
    if radius < 1:
        return ink
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(np.pad(ink, radius), kernel)
