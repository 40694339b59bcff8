"""Pictures of digits made by a program, with their truth: which ink belongs to which digit.

    scene(random, glyphs) -> Scene: pixels (256, 256, 3), owner (256, 256), digits

They are what the finder learns from; it never sees a real picture. A scene is a layout (one digit,
rows, a table, ...) and any number of features (boxes, lines, letters, a sheet on a table, shadow,
grain, ...), each drawn by chance, or asked for by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from .glyphs import Floats, Glyphs, Pen, draw_glyph, letters

# Pixels along a side. The finder looks at pictures, and at parts of them, of about this size.
SIDE = 256
# What is in a scene, and in which share of all scenes of digits.
LAYOUTS = {"one": 0.3, "rows": 0.34, "table": 0.06, "scattered": 0.1, "window": 0.12, "none": 0.08}
FEATURES = {
    "whole": 0.05,  # as high as the picture
    "tiny": 0.06,
    "touching": 0.12,
    "broken": 0.12,
    "boxed": 0.05,
    "circled": 0.05,
    "underlined": 0.05,
    "crossed": 0.04,  # a line through the digits
    "deleted": 0.04,  # so that they count no more
    "letters": 0.18,
    "marks": 0.1,  # + - = , . ( ) and the like
    "scribbles": 0.1,
    "ruled": 0.11,
    "squared": 0.1,
    "things": 0.12,  # what lies on the paper, or is a picture of its own
    "sheet": 0.12,
    "stains": 0.1,
    "shadow": 0.18,
    "uneven": 0.5,  # light
    "faint": 0.15,
    "grain": 0.3,
    "blurred": 0.3,
    "enlarged": 0.2,  # from few pixels
    "inverted": 0.3,
    "plain": 0.2,  # paper of one colour, as in drawings
    "cut": 0.12,  # close around the digits
}


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
class Scene:
    """A picture and its truth.

    Attributes:
        pixels: uint8 (256, 256, 3).
        owner: int16 (256, 256), the number of the digit whose ink a pixel is; -1 for none, -2
            where so little of a digit is seen that it does not count.
        digits: by number.
        features: what was drawn, and the layout.
    """

    pixels: NDArray[np.uint8]
    owner: NDArray[np.int16]
    digits: list[Placed] = field(default_factory=list)
    features: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        """What is to be read: the rows' digits from the left, `/` between rows."""
        rows: dict[int, list[Placed]] = {}
        for number, digit in enumerate(self.digits):
            if (self.owner == number).any():
                rows.setdefault(digit.row, []).append(digit)
        ordered = [sorted(rows[row], key=lambda digit: digit.x) for row in sorted(rows)]
        return "/".join("".join(str(digit.label) for digit in row) for row in ordered)


def scene(
    random: np.random.Generator,
    glyphs: Glyphs,
    layout: str | None = None,
    features: Iterable[str] | None = None,
) -> Scene:
    """A scene of the layout and with the features, or of what chance brings.

    The same state of `random` gives the same scene.
    """
    layout = layout or str(random.choice([*LAYOUTS], p=[*LAYOUTS.values()]))
    lottery = {name for name, share in FEATURES.items() if random.random() < share}
    chosen = frozenset(lottery if features is None else features)
    if layout == "none" and features is None and random.random() < 0.8:
        chosen |= {str(random.choice(["things", "letters", "scribbles", "marks"]))}
    page = _Page(random, glyphs, chosen | {layout})
    page.write(_places(random, layout, chosen))
    page.decorate()
    pixels = page.photographed()
    if "cut" in chosen and page.digits:
        _cut(random, pixels, page.owner, page.digits)
    return Scene(pixels, page.owner, page.digits, page.features)


def _cut(
    random: np.random.Generator,
    pixels: NDArray[np.uint8],
    owner: NDArray[np.int16],
    digits: list[Placed],
) -> None:
    """Cut the picture close around its digits; below and at the right its rim is repeated."""
    ys, xs = np.nonzero(owner != -1)
    if not len(ys):
        return
    left, top = (max(0, int(side.min()) - int(_log(random, 1, 40))) for side in (xs, ys))
    right, bottom = (min(SIDE, int(side.max() + 1 + _log(random, 1, 40))) for side in (xs, ys))
    fill = ((0, SIDE - bottom + top), (0, SIDE - right + left))
    pixels[:] = np.pad(pixels[top:bottom, left:right], (*fill, (0, 0)), "edge")
    owner[:] = np.pad(owner[top:bottom, left:right], fill, constant_values=-1)
    for digit in digits:
        digit.x, digit.y = digit.x - left, digit.y - top
        x0, y0, x1, y1 = digit.box
        digit.box = (x0 - left, y0 - top, x1 - left, y1 - top)


def _log(random: np.random.Generator, low: float, high: float) -> float:
    """A number from `low` to `high`, small ones as often as large ones."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def _chance(random: np.random.Generator, share: float) -> bool:
    return bool(random.random() < share)


def _places(
    random: np.random.Generator, layout: str, features: frozenset[str]
) -> list[list[tuple[float, float, float]]]:
    """Where digits are to stand: x, y and height of each, row by row."""
    if layout == "none":
        return []
    if layout == "one":
        low, high = (225, 252) if "whole" in features else (18, 250)
        height = 12 + random.uniform(0, 6) if "tiny" in features else _log(random, low, high)
        room = max(0, (SIDE - height) / 2 - 2)
        x, y = SIDE / 2 + random.uniform(-room, room, 2)
        if _chance(random, 0.5):  # most people put it in the middle
            x, y = SIDE / 2 + (np.array([x, y]) - SIDE / 2) * 0.3
        return [[(x, y, height)]]
    if layout == "scattered":
        heights = [_log(random, 16, 90) for _ in range(random.integers(2, 8))]
        return [[(*random.uniform(h * 0.6, SIDE - h * 0.6, 2), h)] for h in heights]
    return _rows(random, layout, features)


def _rows(
    random: np.random.Generator, layout: str, features: frozenset[str]
) -> list[list[tuple[float, float, float]]]:
    """Rows of digits, close or in columns; those of a window reach beyond the picture."""
    window = layout == "window"
    height = _log(random, 11, 17) if "tiny" in features else _log(random, 13, 150 if window else 90)
    if window and "tiny" not in features:
        height = max(height, 24)  # as when a digit is looked at in a part of the picture
    if "touching" in features:
        gap = random.uniform(0.4, 0.75) * height
    else:
        gap = (
            random.uniform(2, 4) * height if layout == "table" else _log(random, 0.65, 1.9) * height
        )
    lead = random.uniform(1.25, 2.4) * height
    width, depth = (2 * SIDE, 2 * SIDE) if window else (SIDE - 1.2 * height, SIDE - 1.2 * height)
    columns = int(np.clip(random.integers(1, 11), 1, width // gap + 1))
    rows = int(np.clip(random.integers(1, 6), 1, depth // lead + 1))
    slope = random.normal(0, 0.05)
    wide, high = (columns - 1) * gap, (rows - 1) * lead
    if window:
        left, top = random.uniform(-0.3 * wide, SIDE - 0.7 * wide), random.uniform(-height, SIDE)
        top -= high * random.random()
    else:
        left, top = (
            0.6 * height + random.random() * max(0, SIDE - s - 1.2 * height) for s in (wide, high)
        )
    shake = 0.05 * height * random.random()
    result = []
    for row in range(rows):
        ragged = int(random.integers(0, columns)) if _chance(random, 0.3) else 0
        result.append(
            [
                (
                    left + column * gap + random.normal(0, shake),
                    top + row * lead + slope * (column * gap - wide / 2) + random.normal(0, shake),
                    height * random.uniform(0.85, 1.15),
                )
                for column in range(columns - ragged)
            ]
        )
    return result


class _Page:
    """A scene in the making: layers of ink, then light and camera."""

    def __init__(
        self, random: np.random.Generator, glyphs: Glyphs, features: frozenset[str]
    ) -> None:
        self.random, self.glyphs, self.features = random, glyphs, features
        self.owner = np.full((SIDE, SIDE), -1, np.int16)
        self.ink = np.zeros((SIDE, SIDE), np.float32)  # of digits
        self.same = np.zeros((SIDE, SIDE), np.uint8)  # of the same pen, but no digit
        self.other = np.zeros((SIDE, SIDE), np.uint8)  # of another
        self.digits: list[Placed] = []
        self.pen = self._some_pen()

    def has(self, feature: str) -> bool:
        return feature in self.features

    def _some_pen(self) -> Pen:
        random = self.random
        turn, slant = np.deg2rad(random.normal(0, 5)), random.normal(0, 0.12)
        if _chance(random, 0.12):
            slant = random.uniform(-0.6, 0.6)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        matrix = rotation @ np.array([[_log(random, 0.65, 1.5), slant], [0, 1]])
        fineness = random.random()
        if fineness < 0.25:
            radius = _log(random, 0.002, 0.015)
        else:
            radius = random.uniform(0.015, 0.075) if fineness < 0.8 else random.uniform(0.06, 0.14)
        return Pen(radius, random.choice([0, 0.3]), random.choice([0, 0.8, 1.8]), matrix)

    # What is written.

    def write(self, places: list[list[tuple[float, float, float]]]) -> None:
        broken = self.has("broken")
        for row, line in enumerate(places):
            for x, y, height in line:
                self._write_digit(x, y, height, row, broken and _chance(self.random, 0.7))
        if self.has("deleted"):
            self._delete()
        for number in range(len(self.digits)):
            self._forget_hidden(number)

    def _write_digit(self, x: float, y: float, height: float, row: int, broken: bool) -> None:
        number = int(self.random.integers(len(self.glyphs)))
        if _chance(self.random, 0.12):
            ink, mask = self._as_it_is(number, height)
        else:
            ink, mask = draw_glyph(self.random, self.glyphs, number, height, self.pen)
        if broken:
            self._break(ink, mask)
        ys, xs = np.nonzero(mask)
        if len(ys) < 4:
            return
        x0, x1, y0, y1 = xs.min(), xs.max() + 1, ys.min(), ys.max() + 1
        ink, mask = ink[y0:y1, x0:x1], mask[y0:y1, x0:x1]
        high, wide = mask.shape
        left, top = round(x - wide / 2), round(y - high / 2)
        if "window" not in self.features:  # all of it is to be seen
            left, top = (
                int(np.clip(left, 0, max(0, SIDE - wide))),
                int(np.clip(top, 0, max(0, SIDE - high))),
            )
        u0, v0, u1, v1 = max(0, left), max(0, top), min(SIDE, left + wide), min(SIDE, top + high)
        if u0 >= u1 or v0 >= v1:
            return
        ink, mask = (
            ink[v0 - top : v1 - top, u0 - left : u1 - left],
            mask[v0 - top : v1 - top, u0 - left : u1 - left],
        )
        under, owner = self.ink[v0:v1, u0:u1], self.owner[v0:v1, u0:u1]
        limit = 0.15 if self.has("touching") else 0.0
        if ((owner >= 0) & mask).sum() > limit * mask.sum():
            return
        size = max(high, 0.7 * wide)
        owner[mask & (ink >= under)] = len(self.digits)
        np.maximum(under, ink, out=under)
        label = int(self.glyphs.labels[number])
        box = (left, top, left + wide, top + high)
        self.digits.append(Placed(label, left + wide / 2, top + high / 2, size, row, box))

    def _as_it_is(self, number: int, height: float) -> tuple[Floats, NDArray[np.bool_]]:
        """An image of MNIST enlarged or reduced, with its own pen."""
        scale = height / 20
        side = int(28 * scale * np.abs(self.pen.matrix).sum(axis=1).max()) + 6
        turn = self.pen.matrix * scale
        matrix = np.column_stack([turn, side / 2 - turn @ [13.5, 13.5]])
        image = self.glyphs.images[number]
        grey = (
            cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_CUBIC).astype(np.float32)
            / 255
        )
        steep = max(1.0, scale * self.random.uniform(0.5, 1.5))
        ink = np.clip((grey - self.random.uniform(0.35, 0.55)) * steep + 0.5, 0, 1)
        return ink, ink > 0.4

    def _break(self, ink: Floats, mask: NDArray[np.bool_]) -> None:
        """Gaps, where the pen was lifted or did not write."""
        side = len(ink)
        for _ in range(self.random.integers(1, 3)):
            start = self.random.uniform(0.3, 0.7, 2) * side
            end = start + self.random.uniform(-0.5, 0.5, 2) * side
            gap = np.zeros(ink.shape, np.uint8)
            cv2.line(
                gap, *_points(start, end), 1, max(1, int(side * self.random.uniform(0.02, 0.06)))
            )
            ink[gap > 0] = 0
            mask &= gap == 0

    def _delete(self) -> None:
        """Some digits are scribbled over: they are not to be read."""
        for number, digit in enumerate(self.digits):
            if not _chance(self.random, 0.3):
                continue
            x0, y0, x1, y1 = digit.box
            count = int(self.random.integers(7, 16))
            xs = np.linspace(x0 - 3, x1 + 3, count)
            ys = np.where(np.arange(count) % 2, y0, y1) + self.random.normal(
                0, 0.06 * digit.size, count
            )
            self._polyline(np.column_stack([xs, ys]), self._thickness(digit.size, 0.03, 0.09))
            self.owner[self.owner == number] = -1

    def _forget_hidden(self, number: int) -> None:
        """What reaches out of the picture by more than a half is no digit to be found."""
        x0, y0, x1, y1 = self.digits[number].box
        seen = max(0, min(x1, SIDE) - max(x0, 0)) * max(0, min(y1, SIDE) - max(y0, 0))
        if seen < 0.55 * (x1 - x0) * (y1 - y0):
            self.owner[self.owner == number] = -2

    # What else is drawn.

    def decorate(self) -> None:
        random = self.random
        rows: dict[int, list[Placed]] = {}
        for digit in self.digits:
            rows.setdefault(digit.row, []).append(digit)
        for digit in self.digits:
            if self.has("boxed") and _chance(random, 0.85):
                self._box(digit)
            if self.has("circled") and _chance(random, 0.85):
                self._circle(digit)
        for row in rows.values():
            row.sort(key=lambda digit: digit.x)
            if self.has("underlined") and _chance(random, 0.85):
                self._underline(row)
            if self.has("crossed") and _chance(random, 0.8):
                self._cross(row)
            if self.has("marks"):
                self._marks(row)
        for feature in ("letters", "scribbles"):
            if self.has(feature):
                for _ in range(random.integers(1, 6 if not rows else 4)):
                    self._beside(getattr(self, f"_{feature}"))
        if self.has("marks") and not rows:
            self._marks(
                [Placed(0, *random.uniform(40, 216, 2), _log(random, 20, 100), 0, (0, 0, 0, 0))]
            )

    def _thickness(self, size: float, low: float, high: float) -> int:
        """Of a line, in sixteenths of a pixel."""
        return max(1, round(size * self.random.uniform(low, high)))

    def _line(
        self,
        start: Iterable[float],
        end: Iterable[float],
        thickness: int,
        layer: NDArray[np.uint8] | None = None,
    ) -> None:
        cv2.line(
            self.same if layer is None else layer,
            *_points(start, end),
            255,
            thickness,
            cv2.LINE_AA,
            4,
        )

    def _polyline(self, points: NDArray[np.float64], thickness: int, closed: bool = False) -> None:
        cv2.polylines(self.same, [_fixed(points)], closed, 255, thickness, cv2.LINE_AA, 4)

    def _box(self, digit: Placed) -> None:
        x0, y0, x1, y1 = digit.box
        room = digit.size * self.random.uniform(0.03, 0.45, 4)
        corners = np.array(
            [
                [x0 - room[0], y0 - room[1]],
                [x1 + room[2], y0 - room[1]],
                [x1 + room[2], y1 + room[3]],
                [x0 - room[0], y1 + room[3]],
            ]
        )
        corners += self.random.normal(0, 0.02 * digit.size, (4, 2))
        self._polyline(corners, self._thickness(digit.size, 0.01, 0.07), closed=True)

    def _circle(self, digit: Placed) -> None:
        x0, y0, x1, y1 = digit.box
        angle = np.linspace(
            0, 2 * np.pi * self.random.uniform(0.93, 1.08), 40
        ) + self.random.uniform(0, 7)
        half = 0.5 * np.hypot(x1 - x0, y1 - y0) * self.random.uniform(0.95, 1.5, 2)
        wobble = 1 + self.random.normal(0, 0.04) * np.cos(2 * angle + 1) + 0.03 * np.cos(3 * angle)
        ring = np.column_stack(
            [digit.x + half[0] * wobble * np.cos(angle), digit.y + half[1] * wobble * np.sin(angle)]
        )
        self._polyline(ring, self._thickness(digit.size, 0.01, 0.07))

    def _underline(self, row: list[Placed]) -> None:
        size = row[0].size
        x0, x1 = min(d.box[0] for d in row), max(d.box[2] for d in row)
        low = max(d.box[3] for d in row)
        for place in [low + size * self.random.uniform(-0.05, 0.35)] * (
            2 if _chance(self.random, 0.2) else 1
        ):
            start = (
                x0 - size * self.random.uniform(0, 0.8),
                place + self.random.normal(0, 0.05) * size,
            )
            end = (
                x1 + size * self.random.uniform(0, 0.8),
                place + self.random.normal(0, 0.05) * size,
            )
            self._line(start, end, self._thickness(size, 0.01, 0.07))
        if _chance(self.random, 0.15):  # and one above: a column of a sum
            top = min(d.box[1] for d in row) - size * self.random.uniform(0.1, 0.4)
            self._line(
                (x0 - size * 0.3, top), (x1 + size * 0.3, top), self._thickness(size, 0.01, 0.06)
            )

    def _cross(self, row: list[Placed]) -> None:
        """A line through the row at any height and angle: the digits are still to be read."""
        size = row[0].size
        x0, x1 = (
            row[0].box[0] - size * self.random.uniform(0.1, 0.8),
            row[-1].box[2] + size * self.random.uniform(0.1, 0.8),
        )
        y0, y1 = (
            np.array([row[0].y, row[-1].y])
            + size * self.random.uniform(-0.5, 0.5)
            + self.random.normal(0, 0.1 * size, 2)
        )
        thickness = self._thickness(size, 0.006, 0.05)
        if len(row) == 1 and _chance(self.random, 0.3):
            lean = self.random.uniform(-0.6, 0.6) * size
            x0, x1, y0, y1 = (
                row[0].x - lean,
                row[0].x + lean,
                row[0].y - size * 0.8,
                row[0].y + size * 0.8,
            )
        self._line(
            (x0, y0), (x1, y1), thickness, self.same if _chance(self.random, 0.5) else self.other
        )

    def _marks(self, row: list[Placed]) -> None:
        """Signs of arithmetic, points, commas and brackets at the ends of a row, or within."""
        random, size = self.random, row[0].size
        thickness = max(1, round(2 * self.pen.radius * size))
        x = (
            (row[0].box[0] - size * random.uniform(0.4, 0.7))
            if _chance(random, 0.5)
            else (row[-1].box[2] + size * random.uniform(0.4, 0.7))
        )
        y, r = row[0].y, size * random.uniform(0.18, 0.32)
        kind = random.integers(6)
        if kind == 0:
            self._line((x - r, y), (x + r, y), thickness)
            self._line((x, y - r), (x, y + r), thickness)
        elif kind == 1:
            self._line((x - r, y), (x + r, y), thickness)
        elif kind == 2:
            self._line((x - r, y - r / 3), (x + r, y - r / 3), thickness)
            self._line((x - r, y + r / 3), (x + r, y + r / 3), thickness)
        elif kind == 3:
            self._line((x - r, y - r), (x + r, y + r), thickness)
            self._line((x + r, y - r), (x - r, y + r), thickness)
        elif kind == 4:
            for side in (-1, 1):
                cv2.circle(
                    self.same,
                    (int(x), int(y + side * r * 0.8)),
                    max(1, thickness // 2 + 1),
                    255,
                    -1,
                    cv2.LINE_AA,
                )
        else:
            for digit in row[:-1]:
                if _chance(random, 0.5):
                    spot = np.array([digit.box[2] + 0.1 * size, digit.box[3]])
                    self._line(spot, spot + size * random.uniform(0, 0.12, 2) * [-1, 1], thickness)

    def _beside(self, draw: object) -> None:
        """Draw something, if it does not come to lie on a digit."""
        same, other = self.same, self.other
        self.same, self.other = np.zeros_like(same), np.zeros_like(other)
        draw()  # type: ignore[operator]
        near = cv2.dilate((self.ink > 0.2).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        drawn = np.maximum(self.same, self.other)
        if (drawn[near] > 0).sum() <= 0.02 * (drawn > 0).sum():
            same, other = np.maximum(same, self.same), np.maximum(other, self.other)
        self.same, self.other = same, other

    def _letters(self) -> None:
        """A word or a letter, written by hand or printed."""
        random, bank = self.random, letters()
        height = _log(random, 10, 120) if _chance(random, 0.5) else _log(random, 10, 40)
        x, y = random.uniform(-20, SIDE - 20), random.uniform(0, SIDE)
        layer = self.same if _chance(random, 0.6) else self.other
        pen = self.pen if _chance(random, 0.5) else self._some_pen()
        step = height * random.uniform(0.6, 0.95)
        for _ in range(1 if height > 60 else random.integers(1, 9)):
            ink, _mask = draw_glyph(
                random,
                bank,
                int(random.integers(len(bank))),
                height * random.uniform(0.8, 1.1),
                pen,
            )
            _pasted(layer, ink, x, y)
            x += step

    def _scribbles(self) -> None:
        random = self.random
        points = np.cumsum(
            random.normal(size=(random.integers(4, 14), 2)) * _log(random, 5, 45), axis=0
        )
        points += random.uniform(20, 236, 2)
        if _chance(random, 0.5):  # round instead of angular
            points = cv2.resize(
                points.astype(np.float32), (2, 8 * len(points)), interpolation=cv2.INTER_CUBIC
            ).astype(np.float64)
        cv2.polylines(
            self.other if _chance(random, 0.4) else self.same,
            [_fixed(points)],
            False,
            255,
            int(random.integers(1, 8)),
            cv2.LINE_AA,
            4,
        )

    # Paper, light and camera.

    def photographed(self) -> NDArray[np.uint8]:
        random = self.random
        paper = self._paper_colour()
        page = np.broadcast_to(paper, (SIDE, SIDE, 3)).astype(np.float32).copy()
        if self.has("grain") or not self.has("plain"):
            strong = 0.12 if self.has("grain") else 0.02
            page *= 1 + _noise(random, _log(random, 0.002, strong))[:, :, None]
            if self.has("grain") and _chance(random, 0.5):  # colour, too
                page *= 1 + _noise(random, 0.06)[:, :, None] * random.normal(0, 0.6, 3).astype(
                    np.float32
                )
        self._stain(page)
        self._rule(page, paper)
        self._thing(page)
        self._ink(page, paper)
        if self.has("sheet"):
            page = self._on_table(page)
        self._light(page)
        if self.has("inverted"):
            page = 1 - page
        return self._camera(page)

    def _paper_colour(self) -> Floats:
        random = self.random
        tint = 1 - np.abs(random.normal(size=3)) * random.choice([0, 0.04, 0.15, 0.35])
        bright = (
            random.uniform(0.35, 1)
            if not self.has("plain")
            else random.choice([1.0, 0.96, random.uniform(0.3, 1)])
        )
        return np.clip(bright * tint, 0.08, 1).astype(np.float32)

    def _contrasting(self, paper: Floats, low: float, high: float) -> Floats:
        """The colour of an ink, so much darker than the paper, as a fraction of it."""
        random = self.random
        colour = np.ones(3) if _chance(random, 0.5) else random.uniform(0.4, 1.2, 3)
        return np.clip(
            paper * (1 - random.uniform(low, high) * np.clip(colour, 0, 1)), 0, 1
        ).astype(np.float32)

    def _ink(self, page: Floats, paper: Floats) -> None:
        random = self.random
        # What is fine, or lies on grain, must be darker to be seen at all.
        sizes = [digit.size for digit in self.digits]
        cover = min(1.0, 2 * self.pen.radius * min(sizes, default=100))
        least = min(
            0.8, (0.1 if self.has("faint") else 0.25) * (1.5 if self.has("grain") else 1) / cover
        )
        colour = self._contrasting(paper, least, min(1.0, 2 * least) if self.has("faint") else 1.0)
        layers = [
            (
                self.other.astype(np.float32) / 255 * np.float32(random.uniform(0.4, 1)),
                self._contrasting(paper, 0.08, 0.95),
            ),
            (
                self.same.astype(np.float32) / 255,
                colour if _chance(random, 0.7) else self._contrasting(paper, 0.15, 1),
            ),
            (self.ink, colour),
        ]
        if _chance(random, 0.25):  # chalk, pencil, a brush running dry
            rough = np.clip(1 + _noise(random, random.uniform(0.05, 0.3)), 0.3, 1.1)
            layers = [(alpha * rough, shade) for alpha, shade in layers]
        for alpha, shade in layers:
            if alpha.any():
                page += alpha[:, :, None] * (shade - page)

    def _rule(self, page: Floats, paper: Floats) -> None:
        """Ruled or squared paper."""
        if not (self.has("ruled") or self.has("squared")):
            return
        random, lines = self.random, np.zeros((SIDE, SIDE), np.uint8)
        pitch, tilt = _log(random, 9, 80), random.normal(0, 8)
        thickness = 1 if _chance(random, 0.6) else int(random.integers(1, 4))
        start = random.uniform(-pitch, 0)
        for place in np.arange(start - 40, SIDE + 40, pitch):
            self._line((0, place), (SIDE, place + tilt), thickness, lines)
            if self.has("squared"):
                self._line((place, 0), (place - tilt, SIDE), thickness, lines)
        if _chance(random, 0.2):  # the margin
            place = random.uniform(10, 80)
            self._line((place, 0), (place - tilt, SIDE), 2, lines)
        alpha = lines.astype(np.float32)[:, :, None] / 255 * np.float32(random.uniform(0.4, 1))
        page += alpha * (self._contrasting(paper, 0.05, 0.6) - page)

    def _stain(self, page: Floats) -> None:
        if not self.has("stains"):
            return
        random = self.random
        for _ in range(random.integers(1, 5)):
            alpha = np.zeros((SIDE, SIDE), np.float32)
            self._blob(alpha, random.uniform(0, SIDE, 2), _log(random, 2, 90))
            if _chance(random, 0.6):
                alpha = cv2.GaussianBlur(alpha, (0, 0), _log(random, 0.5, 12))
            page *= 1 - alpha[:, :, None] * random.uniform(0, 0.5, 3).astype(np.float32)
        if _chance(random, 0.5):
            self._dust(page)

    def _dust(self, page: Floats) -> None:
        """Dots and hairs too small to be digits."""
        random, dust = self.random, np.zeros((SIDE, SIDE), np.uint8)
        for x, y in random.uniform(0, SIDE, (random.integers(2, 40), 2)):
            end = np.array([x, y]) + random.normal(0, 2.5, 2) * _chance(random, 0.5)
            self._line((x, y), end, int(random.integers(1, 4)), dust)
        clear = cv2.dilate((self.ink > 0.2).astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
        alpha = (dust * clear).astype(np.float32)[:, :, None] / 255
        page *= 1 - alpha * np.float32(random.uniform(0.1, 0.9))

    def _blob(
        self, layer: Floats, middle: NDArray[np.float64], size: float, symmetric: bool = False
    ) -> None:
        """A filled shape of any outline."""
        random = self.random
        angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        radius = np.ones(48)
        for wave in range(1, 6):
            radius += random.normal(0, 0.3 / wave) * np.cos(
                wave * angle + (0 if symmetric else random.uniform(0, 7))
            )
        reach = size * np.maximum(radius, 0.1)
        stretch = random.uniform(0.5, 1.5)
        outline = (
            np.column_stack([np.sin(angle) * reach, -np.cos(angle) * reach * stretch]) + middle
        )
        cv2.fillPoly(layer, [np.round(outline).astype(np.int32)], 1.0, cv2.LINE_AA)

    def _thing(self, page: Floats) -> None:
        """Things: fingers and edges that reach in, clothes, tools, and pictures of them."""
        if not self.has("things"):
            return
        random = self.random
        clear = cv2.dilate((self.ink > 0.2).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        alone = not self.digits
        for _ in range(random.integers(1, 4)):
            alpha = np.zeros((SIDE, SIDE), np.float32)
            kind = random.integers(4)
            if kind == 0:  # a finger, a pen, a ruler from outside
                edge = SIDE * np.array([random.choice([-0.05, 1.05]), random.uniform(0, 1)])
                edge = edge if _chance(random, 0.5) else edge[::-1]
                tip = edge + (SIDE / 2 - edge) * random.uniform(0.1, 0.8) + random.normal(0, 30, 2)
                cv2.line(
                    alpha, *[tuple(map(int, p)) for p in (edge, tip)], 1.0, int(_log(random, 4, 70))
                )
            elif kind == 1 and alone:
                middle = SIDE / 2 + random.normal(0, 10, 2)
                for _part in range(random.integers(1, 4)):
                    spot = middle + random.normal(0, 25, 2)
                    self._blob(alpha, spot, _log(random, 25, 100), symmetric=_chance(random, 0.7))
            elif kind == 2:
                corners = random.uniform(-0.2, 1.2, 2) * SIDE + random.uniform(
                    -1, 1, (random.integers(3, 6), 2)
                ) * _log(random, 15, 150)
                cv2.fillConvexPoly(
                    alpha, cv2.convexHull(corners.astype(np.int32)), 1.0, cv2.LINE_AA
                )
            else:
                self._blob(alpha, random.uniform(0, SIDE, 2), _log(random, 8, 60))
            if (alpha[clear] > 0).sum() > 0.01 * clear.sum():
                continue
            shade = (
                random.uniform(0, 1, 3).astype(np.float32)
                if _chance(random, 0.6)
                else np.full(3, random.uniform(0, 1), np.float32)
            )
            looks = shade * (1 + _noise(random, random.uniform(0.01, 0.25)))[:, :, None]
            if _chance(random, 0.3):  # a pattern
                y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) * _log(random, 0.05, 1.2)
                looks *= (1 + random.uniform(0.1, 0.6) * np.sin(x * random.uniform(-1, 1) + y))[
                    :, :, None
                ]
            page += alpha[:, :, None] * (looks - page)

    def _on_table(self, page: Floats) -> Floats:
        """The page as a sheet that does not fill the picture."""
        random, mask = self.random, np.zeros((SIDE, SIDE), np.float32)
        written = (
            np.maximum(self.ink, np.maximum(self.same, self.other).astype(np.float32) / 255) > 0.2
        )
        x, y, wide, high = (
            cv2.boundingRect(written.astype(np.uint8)) if written.any() else (100, 100, 50, 50)
        )
        share = random.uniform(0.1, 0.97, 4) * random.choice([0, 1], 4, p=[0.2, 0.8])
        left, top = x * share[0], y * share[1]
        right, bottom = SIDE - (SIDE - x - wide) * share[2], SIDE - (SIDE - y - high) * share[3]
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        corners += random.normal(0, 3, (4, 2)) * [[min(left, 1), min(top, 1)]]
        cv2.fillConvexPoly(mask, np.round(corners).astype(np.int32), 1.0, cv2.LINE_AA)
        table = random.uniform(0, 1, 3) * random.uniform(0.1, 1)
        ground = (
            table.astype(np.float32) * (1 + _noise(random, random.uniform(0, 0.15)))[:, :, None]
        )
        if _chance(random, 0.4):  # its own shadow on the table
            ground *= 1 - 0.4 * cv2.GaussianBlur(mask, (0, 0), _log(random, 1, 10))[:, :, None]
        soft = cv2.GaussianBlur(mask, (0, 0), 0.6)[:, :, None]
        if not _chance(random, 0.5):  # ink outside of the sheet lies on the table
            self.owner[(mask < 0.5) & (self.owner >= 0)] = -2
        else:
            soft = np.maximum(
                soft, cv2.dilate(written.astype(np.float32), np.ones((5, 5)))[:, :, None]
            )
        return page * soft + ground * (1 - soft)

    def _light(self, page: Floats) -> None:
        random = self.random
        y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j].astype(np.float32)
        if self.has("uneven"):
            slopes, bulge = (
                random.uniform(-0.4, 0.4, 2).astype(np.float32),
                np.float32(random.uniform(0, 0.3)),
            )
            page *= np.clip(1 + slopes[0] * x + slopes[1] * y - bulge * (x * x + y * y), 0.15, 1.5)[
                :, :, None
            ]
        if self.has("shadow"):
            shade = np.ones((SIDE, SIDE), np.float32)
            corners = random.uniform(-0.4, 1.4, (random.integers(3, 6), 2)) * SIDE
            cv2.fillConvexPoly(
                shade, cv2.convexHull(corners.astype(np.int32)), float(random.uniform(0.35, 0.85))
            )
            page *= cv2.GaussianBlur(shade, (0, 0), _log(random, 0.7, 25))[:, :, None]

    def _camera(self, page: Floats) -> NDArray[np.uint8]:
        random = self.random
        if self.has("blurred"):
            page = cv2.GaussianBlur(page, (0, 0), _log(random, 0.4, 1.8))
        if not self.has("plain") and _chance(random, 0.5):
            deviation = np.float32(_log(random, 0.003, 0.08 if self.has("grain") else 0.03))
            page = page + _static(random)[:, :, None] * deviation
        picture = (np.clip(page, 0, 1) * 255).astype(np.uint8)
        sizes = [digit.size for digit in self.digits]
        if self.has("enlarged") and min(sizes, default=100) > 40:
            picture = self._from_few_pixels(picture, min(sizes, default=100))
        if _chance(random, 0.3):
            picture = _jpeg(picture, int(random.integers(25, 92)))
        return picture

    def _from_few_pixels(self, picture: NDArray[np.uint8], size: float) -> NDArray[np.uint8]:
        """As if the picture had had so few pixels that a digit was 14 or more of them high."""
        side = int(_log(self.random, max(24, SIDE * 14 / size), 160))
        small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        if _chance(self.random, 0.4):
            small = _jpeg(small, int(self.random.integers(40, 95)))
        ways = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
        return cv2.resize(small, (SIDE, SIDE), interpolation=int(self.random.choice(ways)))


def _points(*points: Iterable[float]) -> list[tuple[int, ...]]:
    """In sixteenths of a pixel, as OpenCV takes them with a shift of 4."""
    return [tuple(round(16 * float(value)) for value in point) for point in points]


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.round(16 * points).astype(np.int32)


def _pasted(layer: NDArray[np.uint8], ink: Floats, x: float, y: float) -> None:
    """Lay ink (h, w) on a layer, with its middle at x, y; what reaches beyond is cut off."""
    high, wide = ink.shape
    left, top = round(x - wide / 2), round(y - high / 2)
    u0, v0, u1, v1 = max(0, left), max(0, top), min(SIDE, left + wide), min(SIDE, top + high)
    if u0 < u1 and v0 < v1:
        part = (ink[v0 - top : v1 - top, u0 - left : u1 - left] * 255).astype(np.uint8)
        np.maximum(layer[v0:v1, u0:u1], part, out=layer[v0:v1, u0:u1])


def _static(random: np.random.Generator) -> Floats:
    """Normal values (256, 256): grain of single pixels."""
    return random.standard_normal((SIDE, SIDE), np.float32)


def _noise(random: np.random.Generator, strength: float) -> Floats:
    """Grain of all sizes, (256, 256), about 0."""
    result = np.zeros((SIDE, SIDE), np.float32)
    for cell in (1, 2, 4, 8, 16, 32, 64):
        amount = np.float32(strength * random.random() ** 2)
        if cell == 1:
            result += amount * _static(random)
        else:
            coarse = random.standard_normal((SIDE // cell + 1,) * 2, np.float32)
            result += amount * cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return result


def _jpeg(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
