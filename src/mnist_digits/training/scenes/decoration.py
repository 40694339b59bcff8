"""What is on a page beside digits: boxes, circles, lines, signs, letters, scribbles."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from .canvas import SIDE, Canvas, Placed, chance, log_uniform, paste
from .glyphs import OF_WORDS, draw_glyph, letters


def decorate(canvas: Canvas) -> None:
    """Draw what the features of the canvas ask for, around its digits and beside them."""
    random = canvas.random
    rows: dict[int, list[Placed]] = {}
    for digit in canvas.digits:
        rows.setdefault(digit.row, []).append(digit)
    for number, digit in enumerate(canvas.digits):
        # An empty ring would be a zero: what is in it has to be seen, and as clearly.
        if not (canvas.owner == number).any() or 2 * canvas.pen.radius * digit.size < 1:
            continue
        if canvas.has("boxed") and chance(random, 0.85):
            _box(canvas, digit)
        if canvas.has("circled") and chance(random, 0.85):
            _circle(canvas, digit)
    for row in rows.values():
        row.sort(key=lambda digit: digit.x)
        if canvas.has("underlined") and chance(random, 0.85):
            _underline(canvas, row)
        if canvas.has("crossed") and chance(random, 0.8):
            _cross(canvas, row)
        if canvas.has("marks"):
            _marks(canvas, row)
    for feature in ("letters", "scribbles"):
        if canvas.has(feature):
            for _ in range(random.integers(1, 6 if not rows else 4)):
                _beside(canvas, {"letters": _letters, "scribbles": _scribbles}[feature])
    if canvas.has("marks") and not rows:
        x, y = random.integers(40, 216, 2).tolist()
        _marks(canvas, [Placed(0, x, y, log_uniform(random, 20, 100), 0, (x, y, x, y))])


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
    canvas.polyline(ring, canvas.thickness(digit.size, 0.01, 0.07))


def _underline(canvas: Canvas, row: list[Placed]) -> None:
    """A line or two below the row, and at times one above, as in a column of a sum."""
    random, size = canvas.random, row[0].size
    boxes = np.array([digit.box for digit in row])
    (x0, top), (x1, low) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    low = low + size * random.uniform(0.05, 0.35)
    for _ in range(2 if chance(random, 0.2) else 1):
        start = x0 - size * random.uniform(0, 0.8), low + random.normal(0, 0.05) * size
        end = x1 + size * random.uniform(0, 0.8), low + random.normal(0, 0.05) * size
        canvas.line(start, end, canvas.thickness(size, 0.01, 0.07))
    if chance(random, 0.15):
        top = top - size * random.uniform(0.1, 0.4)
        start, end = (x0 - size * 0.3, top), (x1 + size * 0.3, top)
        canvas.line(start, end, canvas.thickness(size, 0.01, 0.06))


def _cross(canvas: Canvas, row: list[Placed]) -> None:
    """A line through the row at any height and angle: the digits are still to be read."""
    random, first, last, size = canvas.random, row[0], row[-1], row[0].size
    x0 = first.box[0] - size * random.uniform(0.1, 0.8)
    x1 = last.box[2] + size * random.uniform(0.1, 0.8)
    y0, y1 = np.array([first.y, last.y]) + size * random.uniform(-0.5, 0.5)
    rise = random.normal(0, 0.1 * size, 2)
    y0, y1 = y0 + rise[0], y1 + rise[1]
    thickness = canvas.thickness(size, 0.006, 0.05)
    if len(row) == 1 and chance(random, 0.3):
        lean = random.uniform(-0.6, 0.6) * size
        x0, x1 = first.x - lean, first.x + lean
        y0, y1 = first.y - size * 0.8, first.y + size * 0.8
    layer = canvas.same if chance(random, 0.5) else canvas.other
    canvas.line((x0, y0), (x1, y1), thickness, layer)


def _marks(canvas: Canvas, row: list[Placed]) -> None:
    """A sign of arithmetic or a colon at an end of a row, or points and commas within."""
    random, size = canvas.random, row[0].size
    thickness = max(1, round(2 * canvas.pen.radius * size))
    before = chance(random, 0.5)
    room = size * random.uniform(0.4, 0.7)
    x, y = row[0].box[0] - room if before else row[-1].box[2] + room, row[0].y
    r = size * random.uniform(0.18, 0.32)
    signs: list[list[tuple[float, float, float, float]]] = [
        [(-r, 0, r, 0), (0, -r, 0, r)],  # +
        [(-r, 0, r, 0)],  # -
        [(-r, -r / 3, r, -r / 3), (-r, r / 3, r, r / 3)],  # =
        [(-r, -r, r, r), (r, -r, -r, r)],  # ×
    ]
    kind = random.integers(6)
    if kind < len(signs):
        for x0, y0, x1, y1 in signs[kind]:
            canvas.line((x + x0, y + y0), (x + x1, y + y1), thickness)
    elif kind == 4:  # a colon
        for side in (-1, 1):
            centre = int(x), int(y + side * r * 0.8)
            cv2.circle(canvas.same, centre, thickness // 2 + 1, 255, -1, cv2.LINE_AA)
    else:  # points and commas between the digits
        for digit in row[:-1]:
            if chance(random, 0.5):
                spot = np.array([digit.box[2] + 0.1 * size, digit.box[3]])
                canvas.line(spot, spot + size * random.uniform(0, 0.12, 2) * [-1, 1], thickness)


def _beside(canvas: Canvas, draw: Callable[[Canvas], None]) -> None:
    """Draw something, if it does not come to lie on a digit."""
    same, other = canvas.same, canvas.other
    canvas.same, canvas.other = np.zeros_like(same), np.zeros_like(other)
    draw(canvas)
    near = canvas.near_digits(9)
    drawn = np.maximum(canvas.same, canvas.other)
    if (drawn[near] > 0).sum() <= 0.02 * (drawn > 0).sum():
        same, other = np.maximum(same, canvas.same), np.maximum(other, canvas.other)
    canvas.same, canvas.other = same, other


def _letters(canvas: Canvas) -> None:
    """A word or a letter, written by hand or printed."""
    random = canvas.random
    height = log_uniform(random, 10, 120) if chance(random, 0.5) else log_uniform(random, 10, 40)
    x, y = random.uniform(-20, SIDE - 20), random.uniform(0, SIDE)
    layer = canvas.same if chance(random, 0.6) else canvas.other
    pen = canvas.pen if chance(random, 0.5) else canvas.some_pen()
    step = height * random.uniform(0.6, 0.95)
    count = 1 if height > 60 else int(random.integers(1, 9))
    for _ in range(count):
        bank = letters(OF_WORDS) if count > 3 and chance(random, 0.3) else letters()
        number = int(random.integers(len(bank)))
        ink, _mask = draw_glyph(random, bank, number, height * random.uniform(0.8, 1.1), pen)
        paste(layer, ink, x, y)
        x += step


def _scribbles(canvas: Canvas) -> None:
    """A random walk, drawn with straight lines or as a curve."""
    random = canvas.random
    steps = random.normal(size=(random.integers(4, 14), 2)) * log_uniform(random, 5, 45)
    points = np.cumsum(steps, axis=0) + random.uniform(20, 236, 2)
    if chance(random, 0.5):
        size = 2, 8 * len(points)
        points = cv2.resize(points.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    layer = canvas.other if chance(random, 0.4) else canvas.same
    canvas.polyline(points, int(random.integers(1, 8)), layer)
