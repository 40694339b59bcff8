"""Whether people can make out in a picture what was written."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .canvas import HIDDEN, SEEN, Canvas, Mark
from .templates import Floats

# Of 255: if ink differs less from its paper, people cannot make it out either.
MIN_CONTRAST = 14
# The share of a digit's strokes that has to be left in black and white.
MIN_STROKE_SHARE = 0.6


# A part of a picture: rows, columns.
Part = tuple[slice, slice]


def forget_illegible(canvas: Canvas, picture: NDArray[np.uint8]) -> None:
    """Digits that are not legible in the picture become -2 in `owner`; marks are dropped."""
    for number in range(len(canvas.digits)):
        if not _legible(canvas, picture, number):
            canvas.owner[canvas.owner == number] = HIDDEN
    canvas.marks = [mark for mark in canvas.marks if _shows(canvas, picture, mark)]


def _evenly_lit(canvas: Canvas, picture: NDArray[np.uint8], part: Part) -> Floats:
    """A part of the picture as it would be in the same light everywhere, 0 to 255."""
    colours = picture[part].astype(np.float32)
    if canvas.light.size == 1 or canvas.has("binary"):
        return colours
    light = np.maximum(canvas.light[part], np.float32(0.15))
    return 255 - (255 - colours) / light if canvas.has("inverted") else colours / light


def _legible(canvas: Canvas, picture: NDArray[np.uint8], number: int) -> bool:
    """Whether a digit stands out from what is around it, in at least one colour.

    It must differ by MIN_CONTRAST, and, in even light, by more than what is around it varies.
    """
    part = _around(canvas.digits[number].box, 3)
    owner = canvas.owner[part]
    inked, ground = owner == number, (owner == -1) & (canvas.ink[part] < 0.05)
    if not inked.any() or not ground.any():
        return bool(inked.any())
    even = _evenly_lit(canvas, picture, part)
    ink, around = even[inked], even[ground]
    low, middle, high = _quantiles(around, 0.16, 0.5, 0.84)
    contrast = evenly = np.abs(_quantiles(ink, 0.5)[0] - middle)
    if canvas.light.size > 1:
        seen, paper = picture[part][inked], picture[part][ground]
        contrast = np.abs(_quantiles(seen, 0.5)[0] - _quantiles(paper, 0.5)[0].astype(float))
    # Lines of a pattern look like strokes: ink has to differ more from them than from grain.
    spread = (high - low) * (0.9 if canvas.has("security") else 0.5)
    if canvas.has("binary"):  # strokes may be lost in part
        left = np.abs(ink - middle).max(axis=1) >= MIN_CONTRAST
        if left.mean() < MIN_STROKE_SHARE:
            return False
    return bool(((contrast >= MIN_CONTRAST) & (evenly > spread)).any())


def _around(box: tuple[int, int, int, int], room: int) -> Part:
    x0, y0, x1, y1 = box
    return (
        slice(max(0, y0 - room), max(0, y1 + room)),
        slice(max(0, x0 - room), max(0, x1 + room)),
    )


def _quantiles(colours: NDArray[Any], *shares: float) -> list[NDArray[Any]]:
    """The quantiles of colours (N, 3), by a sample of some hundred of them."""
    ordered = np.sort(colours[:: max(1, len(colours) // 400)], axis=0)
    return [ordered[round(share * (len(ordered) - 1))] for share in shares]


def _shows(canvas: Canvas, picture: NDArray[np.uint8], mark: Mark) -> bool:
    """Whether a mark can be made out at all."""
    part = _around(mark.box, 2)
    inked = canvas.layers[:, part[0], part[1]].max(axis=0) > SEEN
    no_digit = canvas.ink[part] <= 0.05
    even = _evenly_lit(canvas, picture, part)
    ink, around = even[inked & no_digit], even[~inked & no_digit]
    if not len(ink) or not len(around):
        return bool(len(ink))
    contrast = np.abs(ink.mean(axis=0) - around.mean(axis=0))
    return bool(contrast.max() >= MIN_CONTRAST / 2)
