"""Digits and the signs of numbers written on a page: with any pen, touching, broken, deleted."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from .canvas import HIDDEN, NARROW, SIDE, Canvas, Placed, Rows, Spot, bounds, chance, rotation
from .signs import draw_sign, room_for
from .templates import Floats, Pen, draw_template

# The share of a digit's ink that may lie on other digits.
MAX_OVERLAP = 0.15
# The shares of digits, and of ones that begin a number, that are taller than their row.
TALL, TALL_ONES = 0.07, 0.4
# How many places are tried for a digit against its neighbour, each a little further on, until it
# does not cover too much of it.
TRIES = 3
# The share of zeros after another zero of a number that are put against it.
ZEROS_THAT_TOUCH = 0.5


def write(canvas: Canvas, positions: Rows) -> None:
    """Write a digit or a sign at each spot."""
    for row, line in enumerate(positions):
        _write_row(canvas, line, row)
    if canvas.has("deleted"):
        _delete(canvas)
    for number in range(len(canvas.digits)):
        forget_hidden(canvas, number, SIDE, SIDE)


def _write_row(canvas: Canvas, line: list[Spot], row: int) -> None:
    """Write a row; what has to move along the row moves what follows, too."""
    along = rotation(canvas.turn)[:, 0]
    touching, flowing = _share_that_touch(canvas), _flows(canvas)
    shift, last = 0.0, None
    for planned, before in zip(line, [None, *line], strict=False):
        spot = _along(planned, along, shift)
        after_digit = last is not None and before is not None and before.is_digit
        if not spot.is_digit:
            # The sign stands after the digit, also if that is wider than expected.
            lack = _lack(canvas, last, spot) if after_digit else 0.0
            shift += lack
            draw_sign(canvas, _along(spot, along, lack))
            continue
        share = touching
        if flowing and spot.what == "0" == (before.what if before else ""):
            share = max(touching, ZEROS_THAT_TOUCH)
        close = after_digit and chance(canvas.random, share)
        placed = _write_digit(canvas, spot, row, close, first=not after_digit)
        if not placed and last and flowing:  # there was no room: on, as far as needed
            close = after_digit
            placed = _write_digit(canvas, _along(spot, along, 0.4 * spot.height), row, close)
        if placed and flowing and (close or last):
            shift += float(np.array([placed.x - spot.x, placed.y - spot.y]) @ along)
        last = placed or last


def _flows(canvas: Canvas) -> bool:
    """Whether digits that are moved along their row move those after them."""
    written_on = canvas.has("touching") or canvas.has("close") or canvas.has("numbers")
    return written_on and not canvas.has("table")


def _along(spot: Spot, along: NDArray[np.float64], by: float) -> Spot:
    return replace(spot, x=float(spot.x + by * along[0]), y=float(spot.y + by * along[1]))


def _lack(canvas: Canvas, digit: Placed | None, sign: Spot) -> float:
    """By how many pixels a sign has to move along its row to stand clear of the digit before."""
    if digit is None:
        return 0.0
    half = 0.3 * room_for(sign.what) * sign.height
    start = _upright(canvas) @ [sign.x, sign.y] - half
    end = _ink_of(canvas, len(canvas.digits) - 1) @ _upright(canvas)
    return max(0.0, float(end.max() - start)) if len(end) else 0.0


def _share_that_touch(canvas: Canvas) -> float:
    """The share of a row's digits that are put against the digit before."""
    if canvas.has("touching"):
        return 0.9
    if canvas.has("close") and chance(canvas.random, 0.85):
        return float(canvas.random.uniform(0.3, 0.9))
    return 0.0


def _write_digit(
    canvas: Canvas, spot: Spot, row: int, close: bool, first: bool = False
) -> Placed | None:
    """A digit at a spot, or `close` to the one before; None if there is no room for it."""
    random = canvas.random
    number = canvas.template_number(int(spot.what) if spot.what in "01" else None)
    label = int(canvas.templates.labels[number])
    bold = first and label == 1 and canvas.has("numbers")
    pen = canvas.pen
    if bold and chance(random, TALL_ONES):  # as slanted as a slash, too: but none begins a number
        pen = replace(pen, matrix=pen.matrix @ [[1, random.uniform(-0.7, 0.3)], [0, 1]])
    tall = random.uniform(1.1, 1.7) if chance(random, TALL_ONES if bold else TALL) else 1.0
    ink, mask = _ink_and_mask(canvas, number, tall * spot.height, pen)
    if not mask.any():
        return None
    x, y, gap = spot.x, spot.y, random.triangular(-0.16, -0.07, 0.03) * spot.height
    for _ in range(TRIES):
        if close:
            x, y = _against(canvas, mask, (x, y), gap)
        placed = _lay(canvas, ink, mask, Placed(label, x, y, 0, row, (0, 0, 0, 0)), close)
        if placed or not close:
            break
        gap += 0.08 * spot.height
    if placed and close and chance(random, 0.5 if spot.what == "0" else 0.25):
        _join(canvas, len(canvas.digits) - 2, spot.height)
    return placed


def _ink_and_mask(
    canvas: Canvas, number: int, height: float, pen: Pen
) -> tuple[Floats, NDArray[np.bool_]]:
    """A template's ink and its mask, without the empty rim; both are empty if it is too small."""
    random = canvas.random
    if chance(random, 0.12) if canvas.as_they_are is None else canvas.as_they_are:
        ink, mask = _as_it_is(canvas, number, height)
    else:
        ink, mask = draw_template(random, canvas.templates, number, height, pen)
    if canvas.has("broken") and chance(random, 0.7):
        _break(canvas, ink, mask)
    box = bounds(mask)
    if box is None or mask.sum() < 4:
        return ink[:0], mask[:0]
    x0, y0, x1, y1 = box
    ink, mask = ink[y0:y1, x0:x1], mask[y0:y1, x0:x1]
    return _stretched(random, ink, mask) if canvas.has("filled") else (ink, mask)


def _stretched(
    random: np.random.Generator, ink: Floats, mask: NDArray[np.bool_]
) -> tuple[Floats, NDArray[np.bool_]]:
    """A digit as high as the picture, and at times as wide."""
    high, wide = mask.shape
    tall = int(SIDE * random.uniform(0.94, 1))
    natural = tall * wide / high
    widest = SIDE if natural > SIDE / 3 or chance(random, 0.2) else natural * 1.5
    broad = random.uniform(min(natural, SIDE), max(natural, widest))
    size = int(np.clip(broad, 4, SIDE)), tall
    mask = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0.5
    return cv2.resize(ink, size, interpolation=cv2.INTER_LINEAR), mask


def _against(
    canvas: Canvas, mask: NDArray[np.bool_], middle: tuple[float, float], gap: float
) -> tuple[float, float]:
    """The digit's middle, moved along the row until it is `gap` pixels from the one before.

    The gap is that between the digits as they would be without the pen's slant.
    """
    upright, along = _upright(canvas), rotation(canvas.turn)[:, 0]
    before = _ink_of(canvas, len(canvas.digits) - 1) @ upright
    if not len(before):
        return middle
    high, wide = mask.shape
    rows, columns = np.nonzero(mask)
    ink = np.column_stack([columns - wide / 2 + middle[0], rows - high / 2 + middle[1]])
    x, y = np.array(middle) + along * (before.max() + gap - (ink @ upright).min())
    return float(x), float(y)


def _upright(canvas: Canvas) -> NDArray[np.float64]:
    """A vector (2,): times a place, it tells how far along the row that is without the slant."""
    across = np.linalg.inv(canvas.pen.matrix)[0]
    return across / (across @ rotation(canvas.turn)[:, 0])


def _ink_of(canvas: Canvas, number: int) -> NDArray[np.int64]:
    """The places (N, 2) of a digit's ink."""
    x0, y0, x1, y1 = canvas.digits[number].box
    left, top = max(0, x0), max(0, y0)
    ys, xs = np.nonzero(canvas.owner[top : max(0, y1), left : max(0, x1)] == number)
    return np.column_stack([xs + left, ys + top])


def _lay(
    canvas: Canvas, ink: Floats, mask: NDArray[np.bool_], digit: Placed, close: bool
) -> Placed | None:
    """Lay a digit's ink on the page, if it covers little of other digits."""
    high, wide = mask.shape
    left, top = round(digit.x - wide / 2), round(digit.y - high / 2)
    if not canvas.reaches_out:  # all of the digit must be seen
        left = min(max(left, 0), max(0, SIDE - wide))
        top = min(max(top, 0), max(0, SIDE - high))
    u0, v0, u1, v1 = max(0, left), max(0, top), min(SIDE, left + wide), min(SIDE, top + high)
    if u0 >= u1 or v0 >= v1:
        return None
    part = slice(v0 - top, v1 - top), slice(u0 - left, u1 - left)
    ink, mask = ink[part], mask[part]
    under, owner = canvas.ink[v0:v1, u0:u1], canvas.owner[v0:v1, u0:u1]
    limit = MAX_OVERLAP if close or canvas.has("touching") else 0.0
    if ((owner >= 0) & mask).sum() > limit * mask.sum():
        return None
    owner[mask & (ink >= under)] = len(canvas.digits)
    np.maximum(under, ink, out=under)
    digit.x, digit.y, digit.size = left + wide / 2, top + high / 2, max(high, NARROW * wide)
    digit.box = (left, top, left + wide, top + high)
    canvas.digits.append(digit)
    return digit


def _join(canvas: Canvas, first: int, height: float) -> None:
    """A stroke that leads from a digit to the next, as of a pen that was not lifted.

    It belongs to the first one.
    """
    random = canvas.random
    ends = []
    for number, side in ((first, 1), (first + 1, -1)):
        ink = _ink_of(canvas, number)
        if not len(ink):
            return
        outer = np.argsort(-side * ink[:, 0])[: max(1, len(ink) // 8)]
        ends.append(ink[random.choice(outer)].astype(np.float64))
    start, end = ends
    if np.hypot(*(end - start)) > 0.6 * height:
        return
    sag = np.array([0, random.normal(0, 0.12) * height])
    steps = np.linspace(0, 1, 9)[:, None]
    curve = start + steps * (end - start) + 4 * steps * (1 - steps) * sag
    stroke = np.zeros((SIDE, SIDE), np.uint8)
    canvas.polyline(curve, max(1, round(2 * canvas.pen.radius * height)), stroke)
    canvas.owner[(stroke > 100) & (canvas.owner != first + 1)] = first
    # No stroke is darker than the pen that wrote the digits.
    darkest = min(1.0, 2 * max(canvas.pen.radius * height, 0.25))
    np.maximum(canvas.ink, stroke * np.float32(darkest / 255), out=canvas.ink)
    _grow(canvas.digits[first], canvas.owner == first)


def _grow(digit: Placed, ink: NDArray[np.bool_]) -> None:
    """The box of a digit that got more ink; its middle stays that of the digit itself."""
    box = bounds(ink)
    if box:
        x0, y0 = (min(two) for two in zip(digit.box[:2], box[:2], strict=True))
        x1, y1 = (max(two) for two in zip(digit.box[2:], box[2:], strict=True))
        digit.box, digit.size = (x0, y0, x1, y1), max(digit.size, y1 - y0)


def _as_it_is(canvas: Canvas, number: int, height: float) -> tuple[Floats, NDArray[np.bool_]]:
    """An image of MNIST enlarged or reduced, with its own pen."""
    scale = height / 20
    side = int(28 * scale * np.abs(canvas.pen.matrix).sum(axis=1).max()) + 6
    turn = canvas.pen.matrix * scale
    matrix = np.column_stack([turn, side / 2 - turn @ [13.5, 13.5]])
    image = canvas.templates.images[number]
    grey = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_CUBIC).astype(np.float32)
    threshold = canvas.random.uniform(0.35, 0.55)
    # So steep that there is no ink on the ground.
    steep = max(0.5 / threshold, scale * canvas.random.uniform(0.5, 1.5))
    ink = np.clip((grey / 255 - threshold) * steep + 0.5, 0, 1)
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
    """Scribble over some digits, which must not be read then."""
    for number, digit in enumerate(canvas.digits):
        if not chance(canvas.random, 0.3):
            continue
        x0, y0, x1, y1 = digit.box
        count = int(canvas.random.integers(7, 16))
        xs = np.linspace(x0 - 3, x1 + 3, count)
        ys = np.where(np.arange(count) % 2, y0, y1)
        ys = ys + canvas.random.normal(0, 0.06 * digit.size, count)
        with canvas.marking("other"):
            canvas.polyline(np.column_stack([xs, ys]), canvas.thickness(digit.size, 0.03, 0.09))
        canvas.owner[canvas.owner == number] = -1


def forget_hidden(canvas: Canvas, number: int, right: int, bottom: int) -> None:
    """A digit of which less than 55% lies in the picture need not be detected."""
    x0, y0, x1, y1 = canvas.digits[number].box
    seen = max(0, min(x1, right) - max(x0, 0)) * max(0, min(y1, bottom) - max(y0, 0))
    if seen < 0.55 * (x1 - x0) * (y1 - y0):
        canvas.owner[canvas.owner == number] = HIDDEN
