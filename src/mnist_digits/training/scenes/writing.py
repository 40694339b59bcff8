"""Digits written on a page: with any pen, broken, deleted."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .canvas import SIDE, Canvas, Placed, Rows, chance
from .glyphs import Floats, draw_glyph


def write(canvas: Canvas, positions: Rows) -> None:
    """Write a digit at each position."""
    broken = canvas.has("broken")
    for row, line in enumerate(positions):
        for x, y, height in line:
            _write_digit(canvas, x, y, height, row, broken and chance(canvas.random, 0.7))
    if canvas.has("deleted"):
        _delete(canvas)
    for number in range(len(canvas.digits)):
        _forget_hidden(canvas, number)


def _write_digit(canvas: Canvas, x: float, y: float, height: float, row: int, broken: bool) -> None:
    number = int(canvas.random.integers(len(canvas.glyphs)))
    if chance(canvas.random, 0.12):
        ink, mask = _as_it_is(canvas, number, height)
    else:
        ink, mask = draw_glyph(canvas.random, canvas.glyphs, number, height, canvas.pen)
    if broken:
        _break(canvas, ink, mask)
    ys, xs = np.nonzero(mask)
    if len(ys) < 4:
        return
    x0, x1, y0, y1 = xs.min(), xs.max() + 1, ys.min(), ys.max() + 1
    ink, mask = ink[y0:y1, x0:x1], mask[y0:y1, x0:x1]
    high, wide = mask.shape
    left, top = round(x - wide / 2), round(y - high / 2)
    if not canvas.has("window"):  # all of it is to be seen
        left = min(max(left, 0), max(0, SIDE - wide))
        top = min(max(top, 0), max(0, SIDE - high))
    u0, v0, u1, v1 = max(0, left), max(0, top), min(SIDE, left + wide), min(SIDE, top + high)
    if u0 >= u1 or v0 >= v1:
        return
    part = slice(v0 - top, v1 - top), slice(u0 - left, u1 - left)
    ink, mask = ink[part], mask[part]
    under, owner = canvas.ink[v0:v1, u0:u1], canvas.owner[v0:v1, u0:u1]
    limit = 0.15 if canvas.has("touching") else 0.0
    if ((owner >= 0) & mask).sum() > limit * mask.sum():
        return
    size = max(high, 0.7 * wide)
    owner[mask & (ink >= under)] = len(canvas.digits)
    np.maximum(under, ink, out=under)
    label = int(canvas.glyphs.labels[number])
    box = (left, top, left + wide, top + high)
    canvas.digits.append(Placed(label, left + wide / 2, top + high / 2, size, row, box))


def _as_it_is(canvas: Canvas, number: int, height: float) -> tuple[Floats, NDArray[np.bool_]]:
    """An image of MNIST enlarged or reduced, with its own pen."""
    scale = height / 20
    side = int(28 * scale * np.abs(canvas.pen.matrix).sum(axis=1).max()) + 6
    turn = canvas.pen.matrix * scale
    matrix = np.column_stack([turn, side / 2 - turn @ [13.5, 13.5]])
    image = canvas.glyphs.images[number]
    grey = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_CUBIC).astype(np.float32)
    steep = max(1.0, scale * canvas.random.uniform(0.5, 1.5))
    ink = np.clip((grey / 255 - canvas.random.uniform(0.35, 0.55)) * steep + 0.5, 0, 1)
    return ink, ink > 0.4


def _break(canvas: Canvas, ink: Floats, mask: NDArray[np.bool_]) -> None:
    """Gaps, where the pen was lifted or did not write."""
    side = len(ink)
    for _ in range(canvas.random.integers(1, 3)):
        start = canvas.random.uniform(0.3, 0.7, 2) * side
        end = start + canvas.random.uniform(-0.5, 0.5, 2) * side
        gap = np.zeros(ink.shape, np.uint8)
        ends = np.round([start, end]).astype(np.int32)
        breadth = max(1, int(side * canvas.random.uniform(0.02, 0.06)))
        cv2.line(gap, ends[0], ends[1], 1, breadth)
        ink[gap > 0] = 0
        mask &= gap == 0


def _delete(canvas: Canvas) -> None:
    """Some digits are scribbled over: they are not to be read."""
    for number, digit in enumerate(canvas.digits):
        if not chance(canvas.random, 0.3):
            continue
        x0, y0, x1, y1 = digit.box
        count = int(canvas.random.integers(7, 16))
        xs = np.linspace(x0 - 3, x1 + 3, count)
        ys = np.where(np.arange(count) % 2, y0, y1)
        ys = ys + canvas.random.normal(0, 0.06 * digit.size, count)
        canvas.polyline(np.column_stack([xs, ys]), canvas.thickness(digit.size, 0.03, 0.09))
        canvas.owner[canvas.owner == number] = -1


def _forget_hidden(canvas: Canvas, number: int) -> None:
    """A digit of which less than 55% lies in the picture need not be found."""
    x0, y0, x1, y1 = canvas.digits[number].box
    seen = max(0, min(x1, SIDE) - max(x0, 0)) * max(0, min(y1, SIDE) - max(y0, 0))
    if seen < 0.55 * (x1 - x0) * (y1 - y0):
        canvas.owner[canvas.owner == number] = -2
