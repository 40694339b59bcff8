"""Signs that people write in numbers and beside them: points, commas, dashes, currencies."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from .canvas import Canvas, Spot, chance, paste, rotation
from .templates import draw_template, letters

Random = np.random.Generator
# Lines (N, 2), in heights of a digit: x to the right, y down, from the middle between base line and
# top.
Strokes = list[NDArray[np.float64]]


def _point(random: Random) -> Strokes:
    """From a touch of the pen to a short stroke."""
    start = np.array([0, random.normal(0.46, 0.05)])
    return [np.array([start, start + random.normal(0, 0.035, 2)])]


def _comma(random: Random) -> Strokes:
    """A short stroke, a long one that slants, or a hook."""
    top = np.array([random.normal(0.02, 0.03), random.normal(0.42, 0.06)])
    kind = random.integers(3)
    if kind == 0:
        return [np.array([top, top + random.uniform([-0.12, 0.06], [0.03, 0.2])])]
    if kind == 1:
        return [np.array([top, top + random.uniform([-0.3, 0.25], [-0.05, 0.5])])]
    reach = random.uniform(0.08, 0.25)
    hook = np.array([[-0.3, 0], [0.1, -0.1], [0.3, 0.2], [0.1, 0.7], [-0.3, 1]])
    return [top + hook * reach]


def _apostrophe(random: Random) -> Strokes:
    top = np.array([random.normal(0.02, 0.03), random.normal(-0.58, 0.05)])
    return [np.array([top, top + random.uniform([-0.12, 0.08], [0.02, 0.22])])]


def _colon(random: Random) -> Strokes:
    half = random.uniform(0.15, 0.3)
    return [np.array([[0, y], [0, y]]) + random.normal(0, 0.02, (2, 2)) for y in (-half, half)]


def _dash(random: Random) -> Strokes:
    half, y = random.uniform(0.1, 0.4), random.normal(0.02, 0.08)
    line = np.array([[-half, y], [half, y]])
    if chance(random, 0.3):  # with a swing
        return [np.array([line[0], [-half / 3, y - 0.05], [half / 3, y + 0.05], line[1]])]
    return [line + random.normal(0, 0.03, (2, 2))]


def _double_dash(random: Random) -> Strokes:
    upper, half = _dash(random)[0], np.array([0, random.uniform(0.07, 0.15)])
    return [upper - half, upper * [random.uniform(0.6, 1), 1] + half]


def _plus(random: Random) -> Strokes:
    r = random.uniform(0.15, 0.32, 4)
    return [np.array([[-r[0], 0], [r[1], 0]]), np.array([[0, -r[2]], [0, r[3]]])]


def _times(random: Random) -> Strokes:
    r = random.uniform(0.13, 0.28, (4, 2))
    return [
        np.array([[-1, -1] * r[0], [1, 1] * r[1]]),
        np.array([[1, -1] * r[2], [-1, 1] * r[3]]),
    ]


def _divided(random: Random) -> Strokes:
    half, apart = random.uniform(0.15, 0.3), random.uniform(0.15, 0.25)
    dots = [np.array([[0, y], [0.01, y]]) for y in (-apart, apart)]
    return [np.array([[-half, 0], [half, 0]]), *dots]


def _slash(random: Random) -> Strokes:
    """Higher than a digit, and more slanted: otherwise it would be a 1."""
    half, lean = random.uniform(0.55, 0.85), random.uniform(0.2, 0.45)
    return [np.array([[lean, -half], [-lean, half]]) + random.normal(0, 0.03, (2, 2))]


def _bracket(random: Random) -> Strokes:
    """The left one; it is mirrored for the right one."""
    half, depth = random.uniform(0.5, 0.85), random.uniform(0.15, 0.35)
    if chance(random, 0.2):
        corners = np.array([[1, -1], [0, -1], [0, 1], [1, 1]])
        return [corners * [depth, half]]
    t = np.linspace(-1, 1, 9)
    return [np.column_stack([depth * (t**2 - 0.5), half * t])]


def _percent(random: Random) -> Strokes:
    r = random.uniform(0.08, 0.15)
    angle = np.linspace(0, 2 * np.pi, 12)
    ring = r * np.column_stack([np.sin(angle), -np.cos(angle)])
    lean = random.uniform(0.15, 0.35)
    aside, bar = np.array([0.22, 0.25]), np.array([[lean, -0.5], [-lean, 0.5]])
    return [ring - aside, ring + aside, bar]


def _euro(random: Random) -> Strokes:
    angle = np.deg2rad(np.linspace(-50, -310, 20))
    wide = random.uniform(0.25, 0.4)
    bow = np.column_stack([wide * np.cos(angle), 0.5 * np.sin(angle)])
    bars = [np.array([[-wide - 0.15, y], [wide * 0.5, y]]) for y in (-0.1, 0.08)]
    return [bow, *bars]


def _dollar(random: Random) -> Strokes:
    across, down = [0.9, 0, -0.9, -0.8, 0.1, 0.9, 0.85, 0, -1], [-7, -10, -8, -3, 0, 3, 8, 10, 7]
    turns = np.array([across, np.array(down) / 10], np.float32).T
    smooth = cv2.resize(turns, (2, 36), interpolation=cv2.INTER_CUBIC)
    bow = smooth * [random.uniform(0.2, 0.3), 0.45]
    bars = [np.array([[x, -0.62], [x, 0.62]]) for x in random.choice([-0.06, 0, 0.06], 2)]
    return [bow, *bars[: int(random.integers(1, 3))]]


def _pound(_: Random) -> Strokes:
    angle = np.deg2rad(np.linspace(-20, -180, 10))
    stem = np.column_stack([0.18 * np.cos(angle) + 0.05, 0.2 * np.sin(angle) - 0.28])
    body = np.array([[-0.13, -0.28], [-0.1, 0.2], [-0.25, 0.5], [0.28, 0.48]])
    return [np.vstack([stem, body]), np.array([[-0.28, 0.05], [0.12, 0.05]])]


def _yen(_: Random) -> Strokes:
    bars = [np.array([[-0.22, y], [0.22, y]]) for y in (0.1, 0.25)]
    arms = np.array([[-0.28, -0.5], [0, 0], [0.28, -0.5]])
    return [arms, np.array([[0, 0], [0, 0.5]]), *bars]


def _hash(random: Random) -> Strokes:
    lean, apart = random.uniform(0, 0.15), random.uniform(0.1, 0.16)
    posts = [np.array([[x + lean, -0.45], [x - lean, 0.45]]) for x in (-apart, apart)]
    bars = [np.array([[-0.32, y], [0.32, y]]) for y in (-apart, apart)]
    return posts + bars


def _star(random: Random) -> Strokes:
    r = random.uniform(0.18, 0.35)
    angles = np.pi * (np.arange(3) / 3 + random.random())
    arms = [r * np.array([np.cos(angle), np.sin(angle)]) for angle in angles]
    return [np.array([-arm, arm]) for arm in arms]


def _cross(random: Random) -> Strokes:
    """An X as high as a digit: a letter, or to fill an empty field."""
    return [stroke * random.uniform(1.4, 2.2) for stroke in _times(random)]


def _tick(random: Random) -> Strokes:
    return [np.array([[-0.25, 0.05], [-0.1, 0.4], [0.3, -0.5]]) * random.uniform(0.7, 1.3)]


def _tail(random: Random) -> Strokes:
    """A stroke with which a pen runs out."""
    points = np.cumsum(random.uniform([0.1, -0.12], [0.4, 0.12], (4, 2)), axis=0)
    return [points - points.mean(axis=0) + [0, random.uniform(0, 0.4)]]


def _bar(random: Random) -> Strokes:
    """A bar under the two raised digits before it."""
    return [np.array([[-0.95, 0.4], [0.1, 0.4]]) + random.normal(0, 0.04, (2, 2))]


def _upper_bar(random: Random) -> Strokes:
    return [stroke - [0, 0.8] for stroke in _bar(random)]


# Each sign: what kind of mark it is, how it is drawn, and the room it takes, in heights.
SIGNS: dict[str, tuple[str, Callable[[Random], Strokes], float]] = {
    ".": ("separator", _point, 0.2),
    ",": ("separator", _comma, 0.24),
    "'": ("separator", _apostrophe, 0.16),
    ":": ("separator", _colon, 0.3),
    "-": ("minus", _dash, 0.7),
    "≈": ("minus", _double_dash, 0.7),
    "=": ("other", _double_dash, 0.8),
    "+": ("other", _plus, 0.8),
    "×": ("other", _times, 0.7),
    "÷": ("other", _divided, 0.7),
    "/": ("other", _slash, 0.6),
    "(": ("other", _bracket, 0.45),
    ")": ("other", _bracket, 0.45),
    "%": ("other", _percent, 0.9),
    "€": ("other", _euro, 0.9),
    "$": ("other", _dollar, 0.8),
    "£": ("other", _pound, 0.8),
    "¥": ("other", _yen, 0.8),
    "#": ("other", _hash, 0.8),
    "*": ("other", _star, 0.7),
    "X": ("other", _cross, 0.8),
    "✓": ("other", _tick, 0.8),
    "~": ("other", _tail, 0.9),
    "_": ("other", _bar, 0.0),
    "‾": ("other", _upper_bar, 0.0),
}
# Letters of currencies and the like, drawn as letters.
OF_LETTERS = {"F": 0.75, "K": 0.75, "C": 0.75, "m": 0.9, "k": 0.65}


def room_for(sign: str) -> float:
    """How much of a row a sign takes, in heights of a digit; a space takes half of one."""
    return SIGNS[sign][2] if sign in SIGNS else OF_LETTERS.get(sign, 0.5)


def draw_sign(canvas: Canvas, spot: Spot) -> None:
    """Write a sign with the digits' pen; a space leaves its room free."""
    if spot.what in OF_LETTERS:
        _draw_letter(canvas, spot)
    elif spot.what in SIGNS:
        kind, strokes, _ = SIGNS[spot.what]
        sign = strokes(canvas.random)
        if spot.what == ")":
            sign = [stroke * [-1, 1] for stroke in sign]
        for part in [[stroke] for stroke in sign] if spot.what == ":" else [sign]:
            with canvas.marking(kind):
                for stroke in part:
                    _draw(canvas, spot, stroke)


def _draw(canvas: Canvas, spot: Spot, stroke: NDArray[np.float64]) -> None:
    pen = canvas.pen
    # Signs slant as the digits do, but their width is the same with any pen.
    slant = np.array([[1, pen.matrix[0, 1] if abs(canvas.turn) < 0.01 else 0], [0, 1]])
    points = stroke @ (rotation(canvas.turn) @ slant).T * spot.height + np.array([spot.x, spot.y])
    breadth = min(0.13, 2 * pen.radius) * spot.height * canvas.random.uniform(0.8, 1.2)
    canvas.polyline(points, max(1, round(breadth)), canvas.signs)


def _draw_letter(canvas: Canvas, spot: Spot) -> None:
    bank = letters(spot.what)
    number = int(canvas.random.integers(len(bank)))
    ink, _ = draw_template(canvas.random, bank, number, spot.height, canvas.pen)
    with canvas.marking("other"):
        paste(canvas.signs, ink, spot.x, spot.y)
