"""A scene in the making: layers of ink, and what is needed to draw on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .templates import Floats, Pen, Templates

# Pixels along a side. The detector looks at pictures, and at parts of them, of about this size.
SIDE = 256
# Templates whose numbers differ by no more are mostly of one hand: in MNIST, too, the writers'
# images follow one another.
OF_ONE_HAND = 60
# Marks in `owner` the ink of a digit that does not count: illegible, or too little of it is seen.
HIDDEN = -2
# A size is the height, but at least so much of the width.
NARROW = 0.7
# The least size of a mark in pixels.
MIN_MARK_SIZE = 4.0
# Ink fainter than this, of 255, does not count for the bounds of a mark.
SEEN = 60
# The least radius of a pen in pictures of few pixels, as a fraction of the height.
MIN_PEN_RADIUS = 0.03
# OpenCV is given coordinates with so many bits after the binary point.
FRACTION = 4


@dataclass(frozen=True)
class Spot:
    """Where a character of a row is to stand.

    Attributes:
        x, y: its middle in pixels; a sign's y is the middle of the digits beside it.
        height: of a digit beside it, in pixels.
        what: "d" for any digit, "0" and "1" for these, "c" for one of the cents, else a sign.
    """

    x: float
    y: float
    height: float
    what: str = "d"

    @property
    def is_digit(self) -> bool:
        return self.what in "d01c"


Rows = list[list[Spot]]


@dataclass
class Placed:
    """A digit in a scene: what it is, its middle and its size in pixels, and its row."""

    label: int
    x: float
    y: float
    size: float
    row: int
    box: tuple[int, int, int, int]


@dataclass
class Mark:
    """Something written beside digits that may look like one.

    Attributes:
        kind: "separator" (point, comma, apostrophe or a dot of a colon within a number),
            "minus" (a minus or a dash of a number) or "other".
        x, y: the middle of its ink in pixels.
        size: its height, or 0.7 of its width if that is more, in pixels; at least 4.
        box: around its ink: left, top, right, bottom.
    """

    kind: str
    x: float
    y: float
    size: float
    box: tuple[int, int, int, int]


class Canvas:
    """A square of 256 pixels with what is written on it, in layers.

    Attributes:
        owner: int16 (256, 256), the index of the digit whose ink a pixel is; -1 and -2 as in
            `Scene`.
        ink: float32 (256, 256), 0 to 1, of the digits.
        layers: uint8 (4, 256, 256), 0 to 255, ink of no digit: `signs` in the digits' colour,
            `same` of the digits' pen but perhaps in another shade, `other` of another pen, and
            `form`, which is printed.
        digits: in the order in which they were written.
        marks: of what is written beside digits.
        hand: the number of a template: all digits are templates with numbers near it, which
            one hand wrote; None if any templates may be taken.
        turn: the angle of the rows in radians, clockwise.
        extent: width and height of what is kept of it, in pixels.
        light: float32 (256, 256, 1 or 3), how bright the light is at each pixel, without shadows;
            (1, 1, 1) if it is even.
    """

    def __init__(
        self, random: np.random.Generator, templates: Templates, features: frozenset[str]
    ) -> None:
        self.random, self.templates, self.features = random, templates, features
        self.owner = np.full((SIDE, SIDE), -1, np.int16)
        self.ink = np.zeros((SIDE, SIDE), np.float32)
        self.layers = np.zeros((4, SIDE, SIDE), np.uint8)
        self.digits: list[Placed] = []
        self.marks: list[Mark] = []
        self.pen = self.some_pen()
        self.hand = int(random.integers(len(templates))) if self.has("hand") else None
        self.turn = 0.0
        self.extent = (SIDE, SIDE)
        self.light = np.ones((1, 1, 1), np.float32)
        # With one hand, all digits are as in MNIST or all are drawn anew; else chance decides for
        # each.
        self.as_they_are = chance(random, 0.12) if self.has("hand") else None
        if self.as_they_are:
            self.pen = replace(self.pen, radius=0.07, hollow=False)
        if self.has("filled") or self.has("pixels"):  # finer strokes are lost in few pixels
            self.pen = replace(self.pen, radius=max(self.pen.radius, MIN_PEN_RADIUS), hollow=False)

    def has(self, feature: str) -> bool:
        return feature in self.features

    def some_pen(self) -> Pen:
        random = self.random
        turn, slant = np.deg2rad(random.normal(0, 5)), random.normal(0, 0.12)
        if chance(random, 0.3):  # mostly to the right
            slant = random.uniform(-0.8, 0.4)
        matrix = rotation(turn) @ np.array([[log_uniform(random, 0.45, 1.5), slant], [0, 1]])
        fineness = random.random()
        if fineness < 0.25:
            radius = log_uniform(random, 0.004, 0.015)
        else:
            radius = random.uniform(0.015, 0.075) if fineness < 0.8 else random.uniform(0.06, 0.14)
        uneven, bend = random.choice([0, 0.3]), random.choice([0, 0.8, 1.8])
        return Pen(radius, uneven, bend, matrix, radius > 0.04 and chance(random, 0.16))

    @property
    def signs(self) -> NDArray[np.uint8]:
        return self.layers[0]

    @property
    def same(self) -> NDArray[np.uint8]:
        return self.layers[1]

    @property
    def other(self) -> NDArray[np.uint8]:
        return self.layers[2]

    @property
    def form(self) -> NDArray[np.uint8]:
        return self.layers[3]

    @property
    def reaches_out(self) -> bool:
        """Whether digits may lie partly outside of the picture."""
        return self.has("window") or self.has("cells")

    def turn_by(self, angle: float) -> None:
        """Write from now on at this angle to the picture."""
        self.turn = angle
        self.pen = replace(self.pen, matrix=rotation(angle) @ self.pen.matrix)

    def template_number(self, label: int | None = None) -> int:
        """The number of a template by the scene's hand, with this label if the hand has one."""
        first, last = 0, len(self.templates)
        if self.hand is not None:
            first = max(0, self.hand - OF_ONE_HAND)
            last = min(last, self.hand + OF_ONE_HAND + 1)
        if label is not None:
            alike = np.flatnonzero(self.templates.labels[first:last] == label)
            if len(alike):
                return first + int(self.random.choice(alike))
        return int(self.random.integers(first, last))

    @contextmanager
    def marking(self, kind: str) -> Iterator[None]:
        """Record as one mark what is drawn on the layers inside the `with` block."""
        before, self.layers = self.layers, np.zeros_like(self.layers)
        yield
        box = bounds(self.layers.max(axis=0) > SEEN)
        if box:
            self.mark(kind, box)
        np.maximum(before, self.layers, out=self.layers)

    def mark(self, kind: str, box: tuple[int, int, int, int]) -> None:
        """Record a mark whose ink fills a box."""
        x0, y0, x1, y1 = box
        size = max(MIN_MARK_SIZE, y1 - y0, NARROW * (x1 - x0))
        self.marks.append(Mark(kind, (x0 + x1) / 2, (y0 + y1) / 2, size, box))

    def beside_digits(self, draw: Callable[[Canvas], None], alone: bool = False) -> bool:
        """Draw something unless it would lie on a digit; returns whether it was drawn.

        If `alone`, it must not lie on anything else either.
        """
        before, marks = self.layers, len(self.marks)
        self.layers = np.zeros_like(before)
        draw(self)
        drawing = self.layers.max(axis=0) > 0
        taken = self.near_digits(9)
        if alone:
            taken |= before.max(axis=0) > 0
        free = bool((drawing & taken).sum() <= 0.02 * drawing.sum())
        if free:
            np.maximum(before, self.layers, out=self.layers)
        else:
            self.layers = before
            del self.marks[marks:]
        return free

    def near_digits(self, pixels: int) -> NDArray[np.bool_]:
        """Where there is ink of digits within a square of so many pixels, (256, 256)."""
        return cv2.dilate((self.ink > 0.2).astype(np.uint8), np.ones((pixels, pixels))) > 0

    def thickness(self, size: float, low: float, high: float) -> int:
        """A line's thickness in pixels, from `low` to `high` times a digit's size."""
        return max(1, round(size * self.random.uniform(low, high)))

    def line(
        self,
        start: Iterable[float],
        end: Iterable[float],
        thickness: int,
        layer: NDArray[np.uint8] | None = None,
        ruler: bool = False,
    ) -> None:
        """Draw a line on a layer, by default `same`, by hand or with a ruler."""
        ends = np.array([[*start], [*end]], np.float32)
        if not ruler and chance(self.random, 0.6):
            ends = self._unsteady(ends)
        self.polyline(ends, thickness, layer)

    def _unsteady(self, ends: Floats) -> Floats:
        """A line as a hand draws it, (2, 2) to (20, 2).

        If all lines were straight, the detector would take what is not straight for digits.
        """
        along = ends[1] - ends[0]
        knots = self.random.normal(0, self.random.uniform(0, 0.03), (5, 1)).astype(np.float32)
        offsets = cv2.resize(knots, (1, 20), interpolation=cv2.INTER_CUBIC)
        steps = np.linspace(0, 1, 20, dtype=np.float32)[:, None]
        return ends[0] + steps * along + offsets * np.array([-along[1], along[0]])

    def polyline(
        self,
        points: NDArray[np.floating[Any]],
        thickness: int,
        layer: NDArray[np.uint8] | None = None,
    ) -> None:
        """Draw a line through the points (N, 2) on a layer, by default `same`."""
        layer = self.same if layer is None else layer
        fixed = np.round(points * (1 << FRACTION)).astype(np.int32)
        cv2.polylines(layer, [fixed], False, 255, thickness, cv2.LINE_AA, FRACTION)


def log_uniform(random: np.random.Generator, low: float, high: float) -> float:
    """A number from `low` to `high` whose logarithm is uniform."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def chance(random: np.random.Generator, share: float) -> bool:
    """True in this share of all cases."""
    return bool(random.random() < share)


def rotation(angle: float) -> NDArray[np.float64]:
    """The matrix (2, 2) that turns by an angle in radians, clockwise in a picture."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def bounds(mask: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of what is true in a mask; None if nothing is."""
    x, y, wide, high = cv2.boundingRect(mask.astype(np.uint8))
    return (x, y, x + wide, y + high) if wide else None


def paste(layer: NDArray[np.uint8], ink: Floats, x: float, y: float) -> None:
    """Lay ink (h, w) on a layer, with its middle at x, y; what reaches beyond is cut off."""
    high, wide = ink.shape
    left, top = round(x - wide / 2), round(y - high / 2)
    u0, v0, u1, v1 = max(0, left), max(0, top), min(SIDE, left + wide), min(SIDE, top + high)
    if u0 < u1 and v0 < v1:
        part = (ink[v0 - top : v1 - top, u0 - left : u1 - left] * 255).astype(np.uint8)
        np.maximum(layer[v0:v1, u0:u1], part, out=layer[v0:v1, u0:u1])
