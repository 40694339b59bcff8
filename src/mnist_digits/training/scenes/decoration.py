"""What is on a page beside digits: boxes, circles, lines, signs, letters, scribbles."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from .canvas import SIDE, Canvas, Placed, chance, fixed, log_uniform, paste
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
    x0, y0, x1, y1 = digit.box
    room = digit.size * canvas.random.uniform(0.03, 0.9, 4)
    corners = np.array(
        [
            [x0 - room[0], y0 - room[1]],
            [x1 + room[2], y0 - room[1]],
            [x1 + room[2], y1 + room[3]],
            [x0 - room[0], y1 + room[3]],
        ]
    )
    corners += canvas.random.normal(0, 0.02 * digit.size, (4, 2))
    thickness = canvas.thickness(digit.size, 0.01, 0.07)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        canvas.line(start, end, thickness)


def _circle(canvas: Canvas, digit: Placed) -> None:
    x0, y0, x1, y1 = digit.box
    angle = np.linspace(
        0, 2 * np.pi * canvas.random.uniform(0.93, 1.08), 40
    ) + canvas.random.uniform(0, 7)
    half = 0.5 * np.hypot(x1 - x0, y1 - y0) * canvas.random.uniform(0.95, 2.2, 2)
    wobble = 1 + canvas.random.normal(0, 0.04) * np.cos(2 * angle + 1) + 0.03 * np.cos(3 * angle)
    ring = np.column_stack(
        [digit.x + half[0] * wobble * np.cos(angle), digit.y + half[1] * wobble * np.sin(angle)]
    )
    canvas.polyline(ring, canvas.thickness(digit.size, 0.01, 0.07))


def _underline(canvas: Canvas, row: list[Placed]) -> None:
    size = row[0].size
    x0, x1 = min(d.box[0] for d in row), max(d.box[2] for d in row)
    low = max(d.box[3] for d in row)
    for place in [low + size * canvas.random.uniform(0.05, 0.35)] * (
        2 if chance(canvas.random, 0.2) else 1
    ):
        start = (
            x0 - size * canvas.random.uniform(0, 0.8),
            place + canvas.random.normal(0, 0.05) * size,
        )
        end = (
            x1 + size * canvas.random.uniform(0, 0.8),
            place + canvas.random.normal(0, 0.05) * size,
        )
        canvas.line(start, end, canvas.thickness(size, 0.01, 0.07))
    if chance(canvas.random, 0.15):  # and one above: a column of a sum
        top = min(d.box[1] for d in row) - size * canvas.random.uniform(0.1, 0.4)
        canvas.line(
            (x0 - size * 0.3, top), (x1 + size * 0.3, top), canvas.thickness(size, 0.01, 0.06)
        )


def _cross(canvas: Canvas, row: list[Placed]) -> None:
    """A line through the row at any height and angle: the digits are still to be read."""
    size = row[0].size
    x0, x1 = (
        row[0].box[0] - size * canvas.random.uniform(0.1, 0.8),
        row[-1].box[2] + size * canvas.random.uniform(0.1, 0.8),
    )
    y0, y1 = (
        np.array([row[0].y, row[-1].y])
        + size * canvas.random.uniform(-0.5, 0.5)
        + canvas.random.normal(0, 0.1 * size, 2)
    )
    thickness = canvas.thickness(size, 0.006, 0.05)
    if len(row) == 1 and chance(canvas.random, 0.3):
        lean = canvas.random.uniform(-0.6, 0.6) * size
        x0, x1, y0, y1 = (
            row[0].x - lean,
            row[0].x + lean,
            row[0].y - size * 0.8,
            row[0].y + size * 0.8,
        )
    canvas.line(
        (x0, y0), (x1, y1), thickness, canvas.same if chance(canvas.random, 0.5) else canvas.other
    )


def _marks(canvas: Canvas, row: list[Placed]) -> None:
    """Signs of arithmetic, points, commas and brackets at the ends of a row, or within."""
    random, size = canvas.random, row[0].size
    thickness = max(1, round(2 * canvas.pen.radius * size))
    x = (
        (row[0].box[0] - size * random.uniform(0.4, 0.7))
        if chance(random, 0.5)
        else (row[-1].box[2] + size * random.uniform(0.4, 0.7))
    )
    y, r = row[0].y, size * random.uniform(0.18, 0.32)
    kind = random.integers(6)
    if kind == 0:
        canvas.line((x - r, y), (x + r, y), thickness)
        canvas.line((x, y - r), (x, y + r), thickness)
    elif kind == 1:
        canvas.line((x - r, y), (x + r, y), thickness)
    elif kind == 2:
        canvas.line((x - r, y - r / 3), (x + r, y - r / 3), thickness)
        canvas.line((x - r, y + r / 3), (x + r, y + r / 3), thickness)
    elif kind == 3:
        canvas.line((x - r, y - r), (x + r, y + r), thickness)
        canvas.line((x + r, y - r), (x - r, y + r), thickness)
    elif kind == 4:
        for side in (-1, 1):
            cv2.circle(
                canvas.same,
                (int(x), int(y + side * r * 0.8)),
                max(1, thickness // 2 + 1),
                255,
                -1,
                cv2.LINE_AA,
            )
    else:
        for digit in row[:-1]:
            if chance(random, 0.5):
                spot = np.array([digit.box[2] + 0.1 * size, digit.box[3]])
                canvas.line(spot, spot + size * random.uniform(0, 0.12, 2) * [-1, 1], thickness)


def _beside(canvas: Canvas, draw: Callable[[Canvas], None]) -> None:
    """Draw something, if it does not come to lie on a digit."""
    same, other = canvas.same, canvas.other
    canvas.same, canvas.other = np.zeros_like(same), np.zeros_like(other)
    draw(canvas)
    near = cv2.dilate((canvas.ink > 0.2).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
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
        ink, _mask = draw_glyph(
            random,
            bank,
            int(random.integers(len(bank))),
            height * random.uniform(0.8, 1.1),
            pen,
        )
        paste(layer, ink, x, y)
        x += step


def _scribbles(canvas: Canvas) -> None:
    random = canvas.random
    points = np.cumsum(
        random.normal(size=(random.integers(4, 14), 2)) * log_uniform(random, 5, 45), axis=0
    )
    points += random.uniform(20, 236, 2)
    if chance(random, 0.5):  # round instead of angular
        points = cv2.resize(
            points.astype(np.float32), (2, 8 * len(points)), interpolation=cv2.INTER_CUBIC
        ).astype(np.float64)
    cv2.polylines(
        canvas.other if chance(random, 0.4) else canvas.same,
        [fixed(points)],
        False,
        255,
        int(random.integers(1, 8)),
        cv2.LINE_AA,
        4,
    )
