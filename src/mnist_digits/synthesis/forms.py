"""Forms: boxes and combs for digits, base lines, the rules of tables."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .canvas import SIDE, Canvas, Rows, Spot, chance, rotation
from .signs import draw_sign

Points = NDArray[np.float64]


def draw_form(canvas: Canvas, rows: Rows, written: bool = True) -> None:
    """Print the fields that the digits are written in; if not `written`, the fields are empty."""
    random = canvas.random
    style = str(random.choice(["boxes", "strip", "comb"], p=[0.4, 0.35, 0.25]))
    wide, high = random.uniform([0.85, 1.0], [1.3, 1.9])
    spread = random.uniform(0.7, 0.95) if style == "boxes" else 1.0
    breadth = random.uniform(0.01, 0.06)
    rows = [[spot for spot in row if spot.is_digit] for row in rows]
    steps = [_step(row) for row in rows if len(row) > 1]
    for spots in filter(None, rows):
        height = float(np.median([spot.height for spot in spots]))
        step = np.median(steps, axis=0) if steps else np.array([height * wide, 0.0])
        half = np.array([float(np.hypot(*step)) * spread, height * high]) / 2
        for number, middle in enumerate(_fields(random, spots, step)):
            empty = number >= len(spots) or not written
            if empty and not _is_free(canvas, middle, half):
                continue
            _field(canvas, style, middle, half, max(1, round(breadth * height)))
            if empty and chance(random, 0.3):
                x, y = middle.tolist()
                draw_sign(canvas, Spot(x, y, height, str(random.choice([*"--X✓×"]))))


def _step(spots: list[Spot]) -> Points:
    """The mean step from one digit to the next, (2,)."""
    across = np.array([spots[-1].x - spots[0].x, spots[-1].y - spots[0].y])
    return across / (len(spots) - 1)


def _fields(random: np.random.Generator, spots: list[Spot], step: Points) -> list[Points]:
    """The middles of the digits' fields, in a straight line; then of empty ones at its ends."""
    places = np.array([[spot.x, spot.y] for spot in spots])
    start = places.mean(axis=0) - step * (len(spots) - 1) / 2
    fields = [start + step * number for number in range(len(spots))]
    for number in range(int(random.integers(0, 4)) if chance(random, 0.5) else 0):
        after = chance(random, 0.6)
        fields.append(start + step * (len(spots) + number if after else -1 - number))
    return fields


def _is_free(canvas: Canvas, middle: Points, half: Points) -> bool:
    """Whether an empty field lies in the picture, and no digit's ink in it."""
    (x0, y0), (x1, y1) = (middle - half).astype(int), (middle + half).astype(int)
    if x1 < 0 or y1 < 0 or x0 >= SIDE or y0 >= SIDE:
        return False
    part = canvas.owner[max(0, y0) : y1 + 1, max(0, x0) : x1 + 1]
    return not bool((part != -1).any())


def _field(canvas: Canvas, style: str, middle: Points, half: Points, thickness: int) -> None:
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    if style == "comb":  # open above, with low walls
        wall = corners[3] * [1, canvas.random.uniform(0.3, 0.6)]
        corners = np.array([wall, corners[3], corners[2], wall * [-1, 1]])
    points = corners @ rotation(canvas.turn).T + middle
    if style != "comb":
        points = np.vstack([points, points[:1]])
    canvas.polyline(points, thickness, canvas.form)


def draw_base_lines(canvas: Canvas, rows: Rows) -> None:
    """A printed line, dotted or not, on which the digits of a row stand."""
    random = canvas.random
    dotted, raised = chance(random, 0.7), random.uniform(0.35, 0.65)
    for row in rows:
        if not row:
            continue
        height = row[0].height
        across, down = rotation(canvas.turn).T
        base = np.array([row[0].x, row[0].y]) + raised * height * down
        start = base - across * height * random.uniform(0.3, 3)
        far = np.array([row[-1].x, row[-1].y]) + raised * height * down
        end = far + across * height * random.uniform(0.3, 3)
        _line(canvas, start, end, max(1, round(height * random.uniform(0.01, 0.05))), dotted)


def _line(canvas: Canvas, start: Points, end: Points, thickness: int, dotted: bool) -> None:
    if not dotted:
        canvas.line(start, end, thickness, canvas.form, ruler=True)
        return
    length = float(np.hypot(*(end - start)))
    if length < 1:
        return
    step = (end - start) / length
    pitch = thickness * canvas.random.uniform(1.8, 4)
    dash = thickness * canvas.random.choice([0.1, 0.8])
    for along in np.arange(0, length, max(2.0, pitch)):
        place = start + step * along
        canvas.polyline(np.array([place, place + step * dash]), thickness, canvas.form)


def draw_table(canvas: Canvas, rows: Rows) -> None:
    """The rules of a table: below each line of numbers, and at the right of each column."""
    random = canvas.random
    if not rows:
        return
    height = rows[0][0].height
    lines = _apart([float(np.mean([spot.y for spot in row])) for row in rows], height)
    columns = _apart([row[-1].x for row in rows], 1.5 * height)
    lead = float(np.diff(lines).min()) if len(lines) > 1 else 2 * height
    thickness = 1 if chance(random, 0.5) else int(random.integers(1, 4))
    dotted, below = chance(random, 0.35), random.uniform(0.4, max(0.45, lead / height - 0.5))
    if chance(random, 0.85):
        for y in [lines[0] - lead, *lines]:
            base = y + below * height
            start, end = np.array([0, base]), np.array([SIDE, base + random.normal(0, 0.5)])
            _line(canvas, start, end, thickness, dotted)
    if chance(random, 0.8):
        aside = height * random.uniform(0.5, 1)
        for x in [columns[0] - 8 * height, *columns]:
            breadth = thickness + chance(random, 0.2)
            canvas.line((x + aside, 0), (x + aside, SIDE), breadth, canvas.form, ruler=True)


def _apart(places: list[float], least: float) -> list[float]:
    """The places in order, without those that lie closer than `least` to the one before."""
    kept: list[float] = []
    for place in sorted(places):
        if not kept or place - kept[-1] > least:
            kept.append(place)
    return kept
