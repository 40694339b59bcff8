"""Numbers as people write them: rows of digits with signs between, before and after."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .canvas import SIDE, Rows, Spot, chance, rotation
from .signs import room_for

Random = np.random.Generator
# The least distance between the middles of neighbouring digits, in heights.
MIN_GAP = 0.6
# The share of numbers that begin with a 1, by Benford's law.
FIRST_ONES = 0.3
# The height of the cents' digits, as a fraction of that of the others.
OF_CENTS = 0.6


def with_signs(random: Random, row: list[Spot], broad: float) -> list[Spot]:
    """The row with signs put in between, which get the room that they need.

    Args:
        random: draws the signs.
        row: digits.
        broad: how many times as wide as usual the pen makes the digits.
    """
    if not row:
        return row
    height = float(np.mean([spot.height for spot in row]))
    gap = row[1].x - row[0].x if len(row) > 1 else 0.9 * height
    gap = max(min(gap, 1.3 * height), MIN_GAP * broad * height)
    digits, x, y, half_before = iter(row), row[0].x, row[0].y, 0.0
    spots: list[Spot] = []
    for what in some_number(random, len(row)):
        small = OF_CENTS if what == "c" else 1.0
        half = (gap * small if what in "d01c" else room_for(what) * height) / 2
        x += half_before + half if spots else 0.0
        half_before, tall = half, height
        if what in "d01c":
            spot = next(digits)
            y, tall = spot.y, spot.height * small
        raised = height * (1 - small) * 0.7
        spots.append(Spot(x, y - raised, tall, what))
    return spots


def some_number(random: Random, digits: int) -> str:
    """A text with so many digits: "d" for any of them, "0" and "1" for these, and signs."""
    forms = [form for form in FORMS if digits >= FORMS[form][0]]
    shares = np.array([FORMS[form][1] for form in forms])
    text = forms[random.choice(len(forms), p=shares / shares.sum())](random, digits)
    return text.replace("d", "1", 1) if chance(random, FIRST_ONES) else text


def _decimal(random: Random, digits: int) -> str:
    cut = int(random.integers(1, digits))
    return "d" * cut + str(random.choice([*".,,"])) + "d" * (digits - cut)


def _date(random: Random, digits: int) -> str:
    """A date or a time."""
    part = "d" * max(1, digits // 3)
    return str(random.choice([*".//-:"])).join([part, part, "d" * (digits - 2 * len(part))])


def _fraction(random: Random, digits: int) -> str:
    cut = int(random.integers(1, digits))
    return "d" * cut + "/" + "d" * (digits - cut)


def _bracketed(_: Random, digits: int) -> str:
    return "(" + "d" * digits + ")"


def _percentage(_: Random, digits: int) -> str:
    return "d" * digits + "%"


def _negative(_: Random, digits: int) -> str:
    return "-" + "d" * digits


def _money(random: Random, digits: int) -> str:
    currency = str(random.choice(["€", "$", "£", "¥", "F.", "CF", "K"]))
    return currency + "d" * digits if chance(random, 0.5) else "d" * digits + currency


def _ended(random: Random, digits: int) -> str:
    return "d" * digits + str(random.choice([".-", ",-", "≈", "-", ".", "--", "~", "✓"]))


def _fenced(random: Random, digits: int) -> str:
    """As on cheques, so that nothing can be put before or after."""
    fence = str(random.choice(["#", "**", "XXX", "X", "≈", "-"]))
    return fence + "d" * digits + (fence if chance(random, 0.6) else "")


def _amount(random: Random, digits: int) -> str:
    """Thousands, often with zeros, and at times cents or a sign that there are none."""
    zeros = int(random.integers(0, digits)) if chance(random, 0.4) else 0
    text = "d" * (digits - zeros) + "0" * zeros
    cents = ""
    if digits > 5 and chance(random, 0.4):
        text, cents = text[:-2], str(random.choice([",", "."])) + text[-2:]
    sign = str(random.choice([".", ".", ",", "'", " ", ""]))
    groups = [text[max(0, end - 3) : end] for end in range(len(text), 0, -3)]
    ending = str(random.choice(["", "", ".-", ",-", "≈", "-", ".", "="]))
    return sign.join(reversed(groups)) + (cents or ending)


def _sum(random: Random, digits: int) -> str:
    """Arithmetic: 3+4=7."""
    first = int(random.integers(1, digits - 1))
    second = int(random.integers(first + 1, digits))
    text = "d" * digits
    sign = str(random.choice([*"+-×÷/"]))
    return text[:first] + sign + text[first:second] + "=" + text[second:]


def _cents(random: Random, digits: int) -> str:
    """Small digits at the end, raised, at times with a bar."""
    sign, bar = random.choice(["", ",", ".", " "]), random.choice(["", "", "_", "‾"])
    return "d" * (digits - 2) + str(sign) + "cc" + str(bar)


# The forms of numbers: the least number of digits for each, and its weight.
FORMS: dict[Callable[[Random, int], str], tuple[int, float]] = {
    _decimal: (2, 0.2),
    _amount: (4, 0.3),
    _date: (3, 0.1),
    _fraction: (2, 0.06),
    _bracketed: (1, 0.04),
    _sum: (3, 0.08),
    _percentage: (1, 0.04),
    _negative: (1, 0.05),
    _money: (1, 0.06),
    _ended: (1, 0.12),
    _fenced: (1, 0.03),
    _cents: (3, 0.05),
}


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
