"""What is on a page beside digits: boxes, circles, lines, signs, letters, scribbles."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from .canvas import SIDE, Canvas, Placed, Spot, chance, log_uniform, paste, rotation
from .printing import draw_cursive, draw_print
from .signs import draw_sign
from .templates import OF_WORDS, draw_template, letters


def decorate(canvas: Canvas) -> None:
    """Draw what the features of the canvas ask for, around its digits and beside them."""
    random = canvas.random
    rows: dict[int, list[Placed]] = {}
    for digit in canvas.digits:
        rows.setdefault(digit.row, []).append(digit)
    for row in rows.values():
        row.sort(key=lambda digit: digit.x)
        _decorate_row(canvas, row)
    for feature, draw in BESIDE.items():
        if canvas.has(feature):
            for _ in range(random.integers(1, 6 if not rows else 4)):
                canvas.beside_digits(draw, alone=feature in ("print", "cursive"))
    if canvas.has("marks") and not rows:
        x, y = random.integers(40, 216, 2).tolist()
        _marks(canvas, [Placed(0, x, y, log_uniform(random, 20, 100), 0, (x, y, x, y))])


def _decorate_row(canvas: Canvas, row: list[Placed]) -> None:
    random = canvas.random
    for digit in row if canvas.has("boxed") or canvas.has("circled") else ():
        # An empty ring would be a zero: the digit in it must be seen as clearly as the ring.
        if not _is_read(canvas, digit) or 2 * canvas.pen.radius * digit.size < 1:
            continue
        if canvas.has("boxed") and chance(random, 0.85):
            _box(canvas, digit)
        if canvas.has("circled") and chance(random, 0.85):
            _circle(canvas, digit)
    if canvas.has("underlined") and chance(random, 0.85):
        _underline(canvas, row)
    if canvas.has("crossed") and chance(random, 0.8):
        _cross(canvas, row)
    if canvas.has("marks"):
        _marks(canvas, row)


def _is_read(canvas: Canvas, digit: Placed) -> bool:
    """Whether a digit is neither deleted nor mostly out of the picture."""
    number = next(number for number, other in enumerate(canvas.digits) if other is digit)
    return bool((canvas.owner == number).any())


def _box(canvas: Canvas, digit: Placed) -> None:
    room = digit.size * canvas.random.uniform(0.03, 0.9, 4)
    x0, y0, x1, y1 = np.array(digit.box) + room * [-1, -1, 1, 1]
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    corners += canvas.random.normal(0, 0.02 * digit.size, (4, 2))
    thickness = canvas.thickness(digit.size, 0.01, 0.07)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        canvas.line(start, end, thickness)


def _circle(canvas: Canvas, digit: Placed) -> None:
    x0, y0, x1, y1 = digit.box
    angle = np.linspace(0, 2 * np.pi * canvas.random.uniform(0.93, 1.08), 40)
    angle = angle + canvas.random.uniform(0, 7)
    half = 0.5 * np.hypot(x1 - x0, y1 - y0) * canvas.random.uniform(0.95, 2.2, 2)
    wobble = 1 + canvas.random.normal(0, 0.04) * np.cos(2 * angle + 1) + 0.03 * np.cos(3 * angle)
    ring = np.column_stack(
        [digit.x + half[0] * wobble * np.cos(angle), digit.y + half[1] * wobble * np.sin(angle)]
    )
    with canvas.marking("other"):
        canvas.polyline(ring, canvas.thickness(digit.size, 0.01, 0.07))


def _underline(canvas: Canvas, row: list[Placed]) -> None:
    """A line or two below the row, and at times one above, as in a column of a sum."""
    random, size = canvas.random, max(digit.size for digit in row)
    low = size * random.uniform(0.55, 0.85)
    for _ in range(2 if chance(random, 0.2) else 1):
        _along(canvas, row, low + random.normal(0, 0.05, 2) * size, (0.01, 0.07))
    if chance(random, 0.15):
        _along(canvas, row, -size * np.full(2, random.uniform(0.6, 0.9)), (0.01, 0.06))


def _along(
    canvas: Canvas,
    row: list[Placed],
    offsets: NDArray[np.float64],
    breadth: tuple[float, float],
    layer: NDArray[np.uint8] | None = None,
) -> None:
    """A line along a row, `offsets` (2,) pixels below the middles of its first and last digit."""
    across, down = rotation(canvas.turn).T
    size = row[0].size
    beyond = size * canvas.random.uniform(0.1, 0.8, 2)
    ends = []
    for digit, side, offset, more in zip((row[0], row[-1]), (-1, 1), offsets, beyond, strict=True):
        half = (digit.box[2] - digit.box[0]) / 2
        ends.append([digit.x, digit.y] + side * (half + more) * across + offset * down)
    canvas.line(ends[0], ends[1], canvas.thickness(size, *breadth), layer)


def _cross(canvas: Canvas, row: list[Placed]) -> None:
    """A line through the row at any height and angle; the digits must still be read."""
    random, first, size = canvas.random, row[0], row[0].size
    layer = canvas.same if chance(random, 0.5) else canvas.other
    if len(row) == 1 and chance(random, 0.3):
        lean = random.uniform(-0.6, 0.6) * size
        start = first.x - lean, first.y - size * 0.8
        end = first.x + lean, first.y + size * 0.8
        canvas.line(start, end, canvas.thickness(size, 0.006, 0.05), layer)
        return
    offsets = size * (random.uniform(-0.5, 0.5) + random.normal(0, 0.1, 2))
    _along(canvas, row, offsets, (0.006, 0.05), layer)


def _marks(canvas: Canvas, row: list[Placed]) -> None:
    """A sign of arithmetic or a colon at an end of a row, or points and commas within."""
    random, size = canvas.random, row[0].size
    across, down = rotation(canvas.turn).T
    if chance(random, 0.8) or len(row) == 1:
        first = chance(random, 0.5)
        digit, side = (row[0], -1) if first else (row[-1], 1)
        room = (digit.box[2] - digit.box[0]) / 2 + size * random.uniform(0.4, 0.7)
        x, y = np.array([digit.x, digit.y]) + side * room * across
        # A slash before a number would be a 1.
        sign = str(random.choice([*"+-=×÷:%≈"] + ([] if first else ["/"])))
        draw_sign(canvas, Spot(float(x), float(y), size, sign))
        return
    for digit in row[:-1]:
        if chance(random, 0.5):
            room = (digit.box[2] - digit.box[0]) / 2 + size * random.uniform(0, 0.2)
            x, y = np.array([digit.x, digit.y]) + room * across + 0.03 * size * down
            draw_sign(canvas, Spot(float(x), float(y), size, str(random.choice([*".,,'"]))))


def _letters(canvas: Canvas) -> None:
    """A word or a letter, written by hand or printed."""
    random = canvas.random
    height = log_uniform(random, 10, 120) if chance(random, 0.5) else log_uniform(random, 10, 40)
    x, y = random.uniform(-20, SIDE - 20), random.uniform(0, SIDE)
    same = chance(random, 0.6)
    pen = canvas.pen if chance(random, 0.5) else canvas.some_pen()
    step = height * random.uniform(0.6, 0.95)
    count = 1 if height > 60 else int(random.integers(1, 9))
    for _ in range(count):
        bank = letters(OF_WORDS) if count > 3 and chance(random, 0.3) else letters()
        number = int(random.integers(len(bank)))
        ink, _mask = draw_template(random, bank, number, height * random.uniform(0.8, 1.1), pen)
        with canvas.marking("other"):
            paste(canvas.same if same else canvas.other, ink, x, y)
        x += step


def _scribbles(canvas: Canvas) -> None:
    """A random walk, drawn with straight lines or as a curve."""
    random = canvas.random
    steps = random.normal(size=(random.integers(4, 14), 2)) * log_uniform(random, 5, 45)
    points = np.cumsum(steps, axis=0) + random.uniform(20, 236, 2)
    if chance(random, 0.5):
        size = 2, 8 * len(points)
        points = cv2.resize(points.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    with canvas.marking("other"):
        layer = canvas.other if chance(random, 0.4) else canvas.same
        canvas.polyline(points, int(random.integers(1, 8)), layer)


# What is drawn where there are no digits.
BESIDE: dict[str, Callable[[Canvas], None]] = {
    "letters": _letters,
    "scribbles": _scribbles,
    "print": draw_print,
    "cursive": draw_cursive,
}
