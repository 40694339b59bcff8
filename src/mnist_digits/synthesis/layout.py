"""Where digits are to stand: one, in rows, in tables, scattered."""

from __future__ import annotations

import numpy as np

from .canvas import SIDE, Rows, Spot, chance, log_uniform


def positions(random: np.random.Generator, layout: str, features: frozenset[str]) -> Rows:
    """Where digits are to stand."""
    if layout == "none":
        return []
    if layout == "one":
        low, high = (225, 252) if "whole" in features else (18, 250)
        height = 12 + random.uniform(0, 6) if "tiny" in features else log_uniform(random, low, high)
        room = max(0, (SIDE - height) / 2 - 2)
        x, y = SIDE / 2 + random.uniform(-room, room, 2)
        if chance(random, 0.5):  # most people put it in the middle
            x, y = SIDE / 2 + (np.array([x, y]) - SIDE / 2) * 0.3
        return [[Spot(x, y, height)]]
    if layout == "filled":
        return [[Spot(SIDE / 2, SIDE / 2, 220)]]
    if layout == "cells":
        return _cells(random)
    if layout == "scattered":
        heights = [log_uniform(random, 16, 90) for _ in range(random.integers(2, 8))]
        return [_anywhere(random, height) for height in heights]
    if layout == "long":
        return [_long_row(random)]
    return rows_of(random, layout, features)


def _cells(random: np.random.Generator) -> Rows:
    """Numbers below one another in columns, flush right, beyond the picture's edges, too."""
    height = log_uniform(random, 20, 80)
    gap, lead = height * random.uniform(0.5, 0.95), height * random.uniform(1.15, 2.2)
    digits = int(random.integers(2, 6))
    pitch = gap * (digits + random.uniform(0.3, 2.5))
    shake = 0.05 * height * random.random()
    columns = np.arange(random.uniform(0.3, 1) * pitch, SIDE + 0.5 * pitch, pitch)
    rows = []
    for y in np.arange(random.uniform(-0.5, 0.8) * lead, SIDE + 0.4 * height, lead):
        for right in columns:
            if chance(random, 0.12):
                continue
            count = max(1, digits - int(random.integers(0, 3)))
            starts = right - gap * np.arange(count, 0, -1) + random.normal(0, 0.2) * gap
            places = np.column_stack([starts, np.full(count, y)])
            places += random.normal(0, shake, (count, 2))
            rows.append([Spot(float(x), float(v), height) for x, v in places])
    return rows


def _anywhere(random: np.random.Generator, height: float) -> list[Spot]:
    x, y = random.uniform(0.6 * height, SIDE - 0.6 * height, 2)
    return [Spot(x, y, height)]


def _long_row(random: np.random.Generator) -> list[Spot]:
    """Four to twelve digits that fill most of the width."""
    count = int(random.integers(4, 13))
    wide = SIDE * random.uniform(0.6, 0.97)
    height = min(wide / (1 + (count - 1) * log_uniform(random, 0.5, 1.2)), 120)
    gap = (wide - height) / (count - 1)
    left = (SIDE - wide) * random.random() + height / 2
    y = random.uniform(0.6 * height, SIDE - 0.6 * height)
    slope, shake = random.normal(0, 0.04), 0.05 * height * random.random()
    row = []
    for number in range(count):
        x = left + number * gap + random.normal(0, shake)
        base = y + slope * number * gap + random.normal(0, shake)
        row.append(Spot(x, base, height * random.uniform(0.88, 1.12)))
    return row


def rows_of(random: np.random.Generator, layout: str, features: frozenset[str]) -> Rows:
    """Rows of digits, close or in columns; those of a window reach beyond the picture."""
    height, gap = _spacing(random, layout, features)
    lead = random.uniform(1.25, 2.4) * height
    room = 2 * SIDE if layout == "window" else SIDE - 1.2 * height
    columns = int(np.clip(random.integers(1, 11), 1, room // gap + 1))
    rows = int(np.clip(random.integers(1, 6), 1, room // lead + 1))
    slope = random.normal(0, 0.05)
    wide, high = (columns - 1) * gap, (rows - 1) * lead
    if layout == "window":
        left, top = random.uniform(-0.3 * wide, SIDE - 0.7 * wide), random.uniform(-height, SIDE)
        top -= high * random.random()
    else:
        left, top = (
            0.6 * height + random.random() * max(0, SIDE - s - 1.2 * height) for s in (wide, high)
        )
    shake = 0.05 * height * random.random()
    uneven = 0.07 if "hand" in features else 0.15
    result = []
    for row in range(rows):
        ragged = int(random.integers(0, columns)) if chance(random, 0.3) else 0
        line = []
        for along in [column * gap for column in range(columns - ragged)]:
            x = left + along + random.normal(0, shake)
            y = top + row * lead + slope * (along - wide / 2) + random.normal(0, shake)
            line.append(Spot(x, y, height * random.uniform(1 - uneven, 1 + uneven)))
        result.append(line)
    return result


def _spacing(
    random: np.random.Generator, layout: str, features: frozenset[str]
) -> tuple[float, float]:
    """The height of the digits in rows, and the distance from one to the next, in pixels."""
    if "tiny" in features:
        height = log_uniform(random, 11, 17)
    elif layout == "window":  # a digit that is looked at in a part of the picture is not small
        height = max(24, log_uniform(random, 13, 150))
    else:
        height = log_uniform(random, 13, 90)
    if "touching" in features:
        gap = random.uniform(0.4, 0.75)
    elif layout == "table":
        gap = random.uniform(2, 4)
    else:
        gap = log_uniform(random, 0.65, 1.9)
    return height, gap * height
