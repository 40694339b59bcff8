"""Whether people can make out in a picture what was written."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .canvas import SEEN, Canvas, Mark
from .glyphs import Floats

# Of 255: ink that differs less from its paper is not made out by people either.
LEAST_CONTRAST = 14
# Of a digit's strokes in black and white, how much has to be left.
LEAST_OF_STROKES = 0.6


def forget_illegible(canvas: Canvas, picture: NDArray[np.uint8]) -> None:
    """Digits that are not legible in the picture become -2 in `owner`; marks are dropped."""
    even = _evenly_lit(canvas, picture)
    for number in range(len(canvas.digits)):
        if not _legible(canvas, picture, even, number):
            canvas.owner[canvas.owner == number] = -2
    canvas.marks = [mark for mark in canvas.marks if _shows(canvas, even, mark)]


def _evenly_lit(canvas: Canvas, picture: NDArray[np.uint8]) -> Floats:
    """The picture as it would be in the same light everywhere, 0 to 255, (256, 256, 3)."""
    if canvas.light.size == 1 or canvas.has("binary"):
        return picture.astype(np.float32)
    light = np.maximum(canvas.light, np.float32(0.15))
    if canvas.has("inverted"):
        return 255 - (255 - picture) / light
    return picture / light


def _legible(canvas: Canvas, picture: NDArray[np.uint8], even: Floats, number: int) -> bool:
    """Whether a digit stands out from what is around it, in at least one colour.

    By LEAST_CONTRAST, and by more than what is around it varies itself in even light.
    """
    x0, y0, x1, y1 = canvas.digits[number].box
    part = slice(max(0, y0 - 3), max(0, y1 + 3)), slice(max(0, x0 - 3), max(0, x1 + 3))
    owner = canvas.owner[part]
    ground = (owner == -1) & (canvas.ink[part] < 0.05)
    inked = owner == number
    if not inked.any() or not ground.any():
        return bool(inked.any())
    ink, around = _some(even[part][inked]), _some(even[part][ground])
    low, middle, high = np.quantile(around, (0.16, 0.5, 0.84), axis=0)
    contrast = evenly = np.abs(np.median(ink, axis=0) - middle)
    if canvas.light.size > 1:
        seen, paper = _some(picture[part][inked]), _some(picture[part][ground])
        contrast = np.abs(np.median(seen, axis=0) - np.median(paper, axis=0))
    # Lines of a pattern look like strokes: ink has to differ more from them than from grain.
    spread = (high - low) * (0.9 if canvas.has("security") else 0.5)
    if canvas.has("binary"):  # strokes may be lost in part
        left = np.abs(ink - middle).max(axis=1) >= LEAST_CONTRAST
        if left.mean() < LEAST_OF_STROKES:
            return False
    return bool(((contrast >= LEAST_CONTRAST) & (evenly > spread)).any())


def _some(colours: NDArray[Any]) -> NDArray[Any]:
    """Evenly chosen ones of colours (N, 3): enough for their quantiles."""
    return colours[:: max(1, len(colours) // 400)]


def _shows(canvas: Canvas, even: Floats, mark: Mark) -> bool:
    """Whether a mark can be made out at all."""
    x0, y0, x1, y1 = mark.box
    part = slice(max(0, y0 - 2), y1 + 2), slice(max(0, x0 - 2), x1 + 2)
    inked = canvas.layers[:, part[0], part[1]].max(axis=0) > SEEN
    digit = canvas.ink[part] > 0.05
    ink, around = even[part][inked & ~digit], even[part][~inked & ~digit]
    if not len(ink) or not len(around):
        return bool(len(ink))
    contrast = np.abs(ink.mean(axis=0) - around.mean(axis=0))
    return bool(contrast.max() >= LEAST_CONTRAST / 2)
