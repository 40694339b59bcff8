"""Pictures of digits made by a program, with their truth: which ink belongs to which digit.

    scene(random, templates) -> Scene: pixels (256, 256, 3), owner (256, 256), digits

They are what the detector learns from; it never sees a real picture. A scene is a layout (one
digit, rows, a table, ...) and any number of features (boxes, lines, letters, a sheet on a table,
shadow, grain, ...), each chosen by chance, or asked for by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import RecipeError
from .canvas import SIDE, Canvas, Mark, Placed, Rows, bounds, chance, log_uniform
from .decoration import decorate
from .forms import draw_base_lines, draw_form, draw_table
from .layout import positions, rows_of
from .numbers import fitted, turned, with_signs
from .photography import photographed
from .templates import Templates
from .writing import forget_hidden, write

# What may be in a scene, and in which share of all scenes.
LAYOUTS = {
    "one": 0.18,
    "rows": 0.21,
    "long": 0.12,  # one row that fills the width
    "table": 0.05,
    "cells": 0.07,  # a table of numbers, with rules
    "scattered": 0.08,
    "window": 0.09,
    "filled": 0.05,  # one digit that touches the picture's edges
    "none": 0.15,
}
FEATURES = {
    "whole": 0.05,  # as high as the picture
    "tiny": 0.06,
    "touching": 0.16,  # nearly all neighbours do
    "hand": 0.7,  # all digits by one hand
    "close": 0.6,  # some neighbours touch
    "numbers": 0.6,  # signs in the rows: points, commas, currencies, arithmetic
    "climbing": 0.06,  # rows that rise or fall by up to 45 degrees
    "leaning": 0.2,  # by up to 10
    "broken": 0.12,
    "boxed": 0.12,
    "circled": 0.12,
    "underlined": 0.05,
    "crossed": 0.08,  # a line through the digits
    "deleted": 0.04,  # digits scribbled over, which no longer count
    "form": 0.08,  # boxes or combs, in which the digits are written
    "lined": 0.06,  # a base line for each row, often dotted
    "letters": 0.2,
    "print": 0.1,  # words in print, never digits
    "cursive": 0.08,  # joined handwriting and signatures
    "marks": 0.14,  # + - = , . ( ) and the like
    "scribbles": 0.14,
    "ruled": 0.11,
    "squared": 0.1,
    "security": 0.1,  # fine patterns as on cheques
    "things": 0.14,  # what lies on the paper, or is a picture of its own
    "sheet": 0.12,
    "stains": 0.1,
    "shadow": 0.18,
    "uneven": 0.5,  # light
    "webcam": 0.06,  # coloured light, dark corners
    "faint": 0.1,
    "grain": 0.3,
    "blurred": 0.3,
    "enlarged": 0.2,  # from few pixels
    "pixels": 0.04,  # a large digit from 16 to 32 of them
    "binary": 0.1,  # scanned in black and white
    "inverted": 0.3,
    "plain": 0.2,  # paper of one colour, as in drawings
    "cut": 0.12,  # close around the digits
    "textured": 0.08,  # the paper, or whatever it is, like cloth or wood
}

# What most scenes without digits have.
EMPTY = ("things", "letters", "scribbles", "marks", "print", "cursive", "form", *3 * ["textured"])
# Layouts whose digits form no numbers, and the share of rows in the others that get signs.
WITHOUT_SIGNS, ROWS_WITH_SIGNS = {"table", "scattered", "filled"}, 0.8
# Features that do not go together with a form's fields for the digits.
NOT_IN_FORMS = {"numbers", "touching", "close", "boxed", "table"}

# The colours of the digits' ink where the truth is shown, in turn.
COLOURS = np.array(
    [[213, 94, 0], [0, 114, 178], [0, 158, 115], [204, 121, 167], [230, 159, 0]], np.uint8
)


@dataclass
class Scene:
    """A picture and its truth.

    Attributes:
        pixels: uint8 (256, 256, 3).
        owner: int16 (256, 256), the index in `digits` of the digit whose ink a pixel is; -1
            for none, -2 for a digit of which too little is seen to count.
        digits: all, also those of which nothing is seen.
        features: those that were chosen, and the layout.
        marks: what is written beside digits, as far as it is in the picture.
        extent: width and height in pixels; what lies beyond only repeats the edges.
    """

    pixels: NDArray[np.uint8]
    owner: NDArray[np.int16]
    digits: list[Placed] = field(default_factory=list)
    features: frozenset[str] = frozenset()
    marks: list[Mark] = field(default_factory=list)
    extent: tuple[int, int] = (SIDE, SIDE)

    @property
    def text(self) -> str:
        """What is to be read: the rows' digits from the left, `/` between rows."""
        rows: dict[int, list[Placed]] = {}
        for number, digit in enumerate(self.digits):
            if (self.owner == number).any():
                rows.setdefault(digit.row, []).append(digit)
        ordered = [sorted(rows[row], key=lambda digit: digit.x) for row in sorted(rows)]
        return "/".join("".join(str(digit.label) for digit in row) for row in ordered)


def contact_sheet(
    templates: Templates,
    seed: int,
    layout: str | None = None,
    features: Iterable[str] | None = None,
    truth: bool = False,
) -> bytes:
    """Thirty-two scenes in one picture, a PNG; with the `truth`, each digit's ink in a colour.

    Raises:
        RecipeError: there is no such layout or feature.
    """
    chosen = None if features is None else [*features]
    for names, known in (([layout] if layout else [], LAYOUTS), (chosen or [], FEATURES)):
        for name in names:
            if name not in known:
                raise RecipeError(f"scenes have no {name!r}: choose among {', '.join(known)}")
    tiles = []
    for number in range(32):
        made = scene(np.random.default_rng((seed, number)), templates, layout, chosen)
        ink = COLOURS[made.owner % len(COLOURS)] * (made.owner >= 0)[:, :, None]
        tiles.append(np.where(ink.any(axis=2, keepdims=True) & truth, ink, made.pixels))
    rows = [np.hstack(tiles[start : start + 8]) for start in range(0, 32, 8)]
    _, content = cv2.imencode(".png", np.vstack(rows)[:, :, ::-1])
    return content.tobytes()


def scene(
    random: np.random.Generator,
    templates: Templates,
    layout: str | None = None,
    features: Iterable[str] | None = None,
) -> Scene:
    """A scene of this layout with these features; what is not given is chosen at random.

    The same state of `random` gives the same scene.
    """
    layout = layout or str(random.choice([*LAYOUTS], p=[*LAYOUTS.values()]))
    lottery = {name for name, share in FEATURES.items() if random.random() < share}
    chosen = frozenset(lottery if features is None else features)
    if layout == "none" and features is None and random.random() < 0.8:
        chosen |= {str(random.choice(EMPTY))}
    if features is None:
        chosen = _sensible(random, layout, chosen)
    canvas = Canvas(random, templates, chosen | {layout})
    rows = _arranged(canvas, positions(random, layout, chosen))
    write(canvas, rows)
    _print_form(canvas, rows)
    decorate(canvas)
    pixels = photographed(canvas)
    if "cut" in chosen and canvas.digits:
        _cut(canvas, pixels)
    made = (canvas.digits, canvas.features, canvas.marks, canvas.extent)
    return Scene(pixels, canvas.owner, *made)


def _print_form(canvas: Canvas, rows: Rows) -> None:
    """Print what was on the paper before the digits."""
    if canvas.has("form"):
        fields = rows or rows_of(canvas.random, "rows", canvas.features)
        draw_form(canvas, fields, written=bool(rows))
    if canvas.has("lined"):
        draw_base_lines(canvas, rows)
    if canvas.has("cells"):
        draw_table(canvas, rows)


def _sensible(random: np.random.Generator, layout: str, chosen: frozenset[str]) -> frozenset[str]:
    """What chance chose, without what does not go together."""
    if layout in ("long", "cells") and random.random() < 0.4:
        chosen |= {"cut"}
    if "form" in chosen:
        chosen -= NOT_IN_FORMS
    elif chosen & {"boxed", "circled"} and random.random() < 0.8:
        chosen -= {"numbers", "close"}  # whose boxes would cover one another
    if layout == "filled":
        chosen -= {"form", "lined", "climbing", "leaning", "things", "sheet"}
        if random.random() < 0.8:
            chosen |= {"pixels"}
        if random.random() < 0.3:
            chosen |= {"cut"}
    return chosen


def _arranged(canvas: Canvas, rows: Rows) -> Rows:
    """The rows with signs in them and turned, as the features ask for it."""
    random = canvas.random
    if canvas.has("numbers") and not canvas.features & WITHOUT_SIGNS:
        broad = float(np.abs(canvas.pen.matrix[0]).sum())
        rows = [
            with_signs(random, row, broad) if chance(random, ROWS_WITH_SIGNS) else row
            for row in rows
        ]
    angle = 0.0
    if canvas.has("climbing"):
        angle = random.uniform(10, 45) * random.choice([-1, 1], p=[0.7, 0.3])
    elif canvas.has("leaning"):
        angle = random.uniform(-10, 10)
    if angle:
        canvas.turn_by(float(np.deg2rad(angle)))
        rows = turned(rows, canvas.turn)
    if (angle or canvas.has("numbers")) and not canvas.reaches_out:
        rows = fitted(rows)
    return rows


def _cut(canvas: Canvas, pixels: NDArray[np.uint8]) -> None:
    """Cut the picture close around its digits, or around one number of a table.

    Below and at the right its edge is repeated.
    """
    random, owner = canvas.random, canvas.owner
    around, most = bounds(owner != -1), 40.0
    if canvas.has("cells"):  # with bits of the numbers beside it
        around = _number_within(canvas)
        most = 0.9 * canvas.digits[0].size
    if around is None:
        return
    room = np.array([log_uniform(random, 1, most) for _ in range(4)])
    left, top, right, bottom = (np.array(around) + room * [-1, -1, 1, 1]).clip(0, SIDE).astype(int)
    fill = ((0, SIDE - bottom + top), (0, SIDE - right + left))
    pixels[:] = np.pad(pixels[top:bottom, left:right], (*fill, (0, 0)), "edge")
    owner[:] = np.pad(owner[top:bottom, left:right], fill, constant_values=-1)
    _move(canvas, int(left), int(top), int(right - left), int(bottom - top))


def _move(canvas: Canvas, left: int, top: int, wide: int, high: int) -> None:
    """Move digits and marks as the picture was moved, and forget what is outside of it."""
    things: list[Placed | Mark] = [*canvas.digits, *canvas.marks]
    for thing in things:
        thing.x, thing.y = thing.x - left, thing.y - top
        x0, y0, x1, y1 = thing.box
        thing.box = (x0 - left, y0 - top, x1 - left, y1 - top)
    for number in range(len(canvas.digits)):
        forget_hidden(canvas, number, wide, high)
    canvas.marks = [mark for mark in canvas.marks if 0 <= mark.x < wide and 0 <= mark.y < high]


def _number_within(canvas: Canvas) -> tuple[int, int, int, int] | None:
    """The bounds of one of the numbers that lie in the picture with all their digits."""
    boxes: dict[int, list[tuple[int, int, int, int]]] = {}
    for digit in canvas.digits:
        boxes.setdefault(digit.row, []).append(digit.box)
    within = []
    for row in boxes.values():
        corners = np.array(row)
        low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
        if low.min() >= 0 and high.max() <= SIDE:
            within.append((int(low[0]), int(low[1]), int(high[0]), int(high[1])))
    return within[int(canvas.random.integers(len(within)))] if within else None
