"""Numbers as people write them: rows of digits with signs between, before and after."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .canvas import SIDE, Rows, Spot, chance, rotation
from .signs import room_for

Random = np.random.Generator
# From a digit's middle to the next one's, in heights, where something stands between them.
LEAST_GAP = 0.6


def with_signs(random: Random, row: list[Spot], broad: float) -> list[Spot]:
    """The row with signs put in between, as wide as these need it.

    Args:
        random: draws the signs.
        row: digits.
        broad: how many times as wide as usual the pen makes them.
    """
    if not row:
        return row
    text = _number(random, len(row))
    height = float(np.mean([spot.height for spot in row]))
    gap = row[1].x - row[0].x if len(row) > 1 else 0.9 * height
    gap = max(min(gap, 1.3 * height), LEAST_GAP * broad * height)
    digits, x, y = iter(row), row[0].x, row[0].y
    spots: list[Spot] = []
    half_before = 0.0
    for what in text:
        half = gap / 2 if what in "d0c" else room_for(what) * height / 2
        x += half_before + half if spots else 0.0
        half_before = half
        if what in "d0c":
            spot = next(digits)
            y = spot.y
            raised = 0.3 * height if what == "c" else 0
            tall = spot.height * (0.6 if what == "c" else 1)
            spots.append(Spot(x, y - raised, tall, what))
        else:
            spots.append(Spot(x, y, height, what))
    return spots


def _number(random: Random, digits: int) -> str:
    """A text with so many digits: "d" for any of them, "0" for a zero, and signs."""
    text = "d" * digits
    kind = random.choice(
        12, p=[0.2, 0.2, 0.1, 0.08, 0.05, 0.08, 0.06, 0.05, 0.06, 0.06, 0.03, 0.03]
    )
    if kind == 0 and digits > 1:  # a decimal point or comma anywhere
        cut = int(random.integers(1, digits))
        return _between(random, text[:cut], text[cut:], ".,")
    if kind == 1 and digits > 3:
        return _amount(random, digits)
    if kind == 2 and digits > 2:  # a date, a time
        sign = str(random.choice([*".//-:"]))
        day, month = text[: max(1, digits // 3)], text[: max(1, digits // 3)]
        return sign.join([day, month, text[2 * len(day) :]])
    if kind == 3 and digits > 1:  # a fraction
        cut = int(random.integers(1, digits))
        return text[:cut] + "/" + text[cut:]
    if kind == 4:
        return "(" + text + ")"
    if kind == 5 and digits > 2:
        return _sum(random, digits)
    if kind == 6:
        return text + "%"
    if kind == 7:
        return "-" + text
    if kind == 8:
        money = str(random.choice(["€", "$", "£", "¥", "F.", "CF", "K"]))
        return money + text if chance(random, 0.5) else text + money
    if kind == 9:
        return text + str(random.choice([".-", ",-", "≈", "-", ".", "--", "~", "✓"]))
    if kind == 10:  # as on cheques, so that nothing can be put before or after
        fence = str(random.choice(["#", "**", "XXX", "X", "≈", "-", "/"]))
        return fence + text + (fence if chance(random, 0.6) else "")
    return _cents(random, digits)


def _between(random: Random, left: str, right: str, signs: str) -> str:
    return left + str(random.choice([*signs])) + right


def _amount(random: Random, digits: int) -> str:
    """Thousands, often with zeros, and at times cents or what stands for none."""
    zeros = int(random.integers(0, digits)) if chance(random, 0.4) else 0
    text = "d" * (digits - zeros) + "0" * zeros
    cents = ""
    if digits > 5 and chance(random, 0.4):
        text, cents = text[:-2], str(random.choice([",", "."])) + text[-2:]
    sign = str(random.choice([".", ".", ",", "'", " ", ""]))
    groups = [text[max(0, end - 3) : end] for end in range(len(text), 0, -3)]
    ending = str(random.choice(["", "", "", ".-", ",-", "≈", "-", "."]))
    return sign.join(reversed(groups)) + (cents or ending)


def _sum(random: Random, digits: int) -> str:
    """Arithmetic: 3+4=7."""
    first = int(random.integers(1, digits - 1))
    second = int(random.integers(first + 1, digits))
    text = "d" * digits
    sign = str(random.choice([*"+-×÷/"]))
    return text[:first] + sign + text[first:second] + "=" + text[second:]


def _cents(random: Random, digits: int) -> str:
    """Small digits at the end, raised."""
    if digits < 3:
        return "d" * digits
    return "d" * (digits - 2) + str(random.choice([",", ".", "", " "])) + "cc"


def turned(rows: Rows, angle: float) -> Rows:
    """The rows turned by an angle in radians about the picture's middle."""
    matrix, middle = rotation(angle), SIDE / 2
    return [
        [_put(spot, matrix @ (np.array([spot.x, spot.y]) - middle) + middle) for spot in row]
        for row in rows
    ]


def fitted(rows: Rows) -> Rows:
    """The rows moved, and made smaller as far as needed, so that they lie in the picture."""
    spots = [spot for row in rows for spot in row]
    if not spots:
        return rows
    place = np.array([[spot.x, spot.y] for spot in spots])
    reach = np.array([0.55 * spot.height for spot in spots])[:, None]
    low, high = (place - reach).min(axis=0), (place + reach).max(axis=0)
    scale = min(1.0, float((SIDE - 4) / (high - low).max()))
    if scale < 1:
        middle = (low + high) / 2
        low, high = middle + (low - middle) * scale, middle + (high - middle) * scale
        place = middle + (place - middle) * scale
    place = place + np.maximum(2 - low, 0) - np.maximum(high - SIDE + 2, 0)
    moved = iter(place)
    return [[_put(spot, next(moved), scale) for spot in row] for row in rows]


def _put(spot: Spot, place: NDArray[np.float64], scale: float = 1.0) -> Spot:
    """The spot at another place, and made smaller."""
    return Spot(float(place[0]), float(place[1]), spot.height * scale, spot.what)
