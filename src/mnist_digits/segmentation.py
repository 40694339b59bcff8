"""Digits in a picture: found, boxed and put into rows.

    pixels (H, W, 3) -> ink -> marks, pieces of connected ink -> rows of Glyphs

Nothing here knows what a digit looks like: what belongs together is decided by where it lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from .ink import Floats, Mask, find_ink, is_covered, pieces

# More pieces of ink than this are a texture: the smaller ones are left out.
MAXIMUM_MARKS = 600


@dataclass(frozen=True)
class Glyph:
    """Ink that is taken to be one digit.

    Attributes:
        ink: float32 (h, w), 0 for paper to 1 for the strongest ink; the ink of others is 0.
        box: x0, y0, x1, y1 in pixels of what was searched; x1 and y1 are just outside.
    """

    ink: Floats
    box: tuple[int, int, int, int]

    @property
    def width(self) -> int:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> int:
        return self.box[3] - self.box[1]


@dataclass
class Mark:
    """A connected piece of ink: its box, its number in the map of labels, its area."""

    x0: int
    y0: int
    x1: int
    y1: int
    labels: list[int]
    area: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    def joined(self, other: Mark) -> Mark:
        return Mark(
            min(self.x0, other.x0),
            min(self.y0, other.y0),
            max(self.x1, other.x1),
            max(self.y1, other.y1),
            self.labels + other.labels,
            self.area + other.area,
        )


def find_rows(
    pixels: NDArray[np.uint8], inverted: bool = False, plain: bool = False
) -> tuple[list[list[Glyph]], bool]:
    """The digits in uint8 pixels (H, W, 3): rows from top to bottom, each from left to right.

    Blank paper gives no rows. `inverted` and `plain` are as `find_ink` takes them. Also tells
    whether all that there is was looked at: of solid things only the edges are, and of marks
    much smaller than the rest nothing.
    """
    found = _find_marks(pixels, inverted, plain)
    wholes = _joined(found.marks)
    rows = [[_glyph(mark, found.ink, found.labels) for mark in row] for row in _rows(wholes)]
    return rows, found.complete and not _passed_over(found.written, wholes, found.labels)


def find_single(
    pixels: NDArray[np.uint8], inverted: bool = False, plain: bool = False
) -> tuple[list[Glyph], bool]:
    """What the one digit in uint8 pixels (H, W, 3) may consist of: the likeliest first.

    The largest piece of ink and what clearly belongs to it; that and all that lies around.
    The same twice is left out; blank paper gives nothing. Also tells whether all that there is
    was looked at, but for marks that are too small to be the digit.
    """
    found = _find_marks(pixels, inverted, plain)
    marks = found.marks
    if not marks:
        return [], found.complete
    wholes = [max(_joined(marks) or marks, key=lambda mark: mark.area)]
    for reach in (0.1, 0.35):
        wholes.append(_cluster(marks, reach))
    different = {tuple(sorted(whole.labels)): whole for whole in reversed(wholes)}
    glyphs = [_glyph(whole, found.ink, found.labels) for whole in reversed(different.values())]
    return glyphs, found.complete


class _Found(NamedTuple):
    """What a picture has of marks.

    Attributes:
        labels: the map of their numbers.
        marks: those that may be digits.
        written: these and the smaller ones, but no frames and no bars.
        complete: whether nothing else may be a digit.
    """

    ink: Floats
    labels: NDArray[np.int32]
    marks: list[Mark]
    written: list[Mark]
    complete: bool


def _find_marks(pixels: NDArray[np.uint8], inverted: bool, plain: bool) -> _Found:
    ink, mask = find_ink(pixels, inverted, plain)
    marks, labels = _marks(mask)
    frames = _frames(marks, labels)
    inner = [mark for mark in marks if mark not in frames]
    # A stroke in a ring is a 1 with a circle around it, or a 0 that is crossed out.
    clear = not any(_holds_a_stroke(mark, inner, labels) for mark in frames)
    written = _without_bars(inner)
    complete = clear and (plain or is_covered(pixels, ink))
    return _Found(ink, labels, _without_dirt(written, mask), written, complete)


def _marks(mask: Mask) -> tuple[list[Mark], NDArray[np.int32]]:
    """The connected pieces of the mask, the largest first, and the map of their numbers."""
    labels, stats = pieces(mask)
    order = (-stats[1:, cv2.CC_STAT_AREA]).argsort(kind="stable")[:MAXIMUM_MARKS] + 1
    marks = []
    for number in order.tolist():
        x, y, wide, high, area = stats[number].tolist()
        marks.append(Mark(x, y, x + wide, y + high, [number], area))
    return marks, labels


def _frames(marks: list[Mark], labels: NDArray[np.int32]) -> list[Mark]:
    """The marks drawn around others: circles and boxes, and the lines of a form.

    What lies in one is 0.35 of its height in all, not counting specks; a dot in a 0 is a quarter.
    """
    if len(marks) < 2:
        return []
    sides = np.array([[m.x0, m.y0, -m.x1, -m.y1] for m in marks])
    heights = np.array([mark.height for mark in marks])
    held = (sides[:, None] < sides).all(axis=2) & (heights >= 0.1 * heights[:, None])
    full = np.flatnonzero(held @ heights >= 0.35 * heights)
    return [marks[place] for place in full if _is_convex(marks[place], labels)]


def _is_convex(mark: Mark, labels: NDArray[np.int32]) -> bool:
    """Whether its outer edge bulges everywhere, as that of a ring or a box does.

    It fills 0.92 of its hull: of MNIST's zeros 99% do, drawn in outline of sixes and nines 1%.
    """
    part = (labels[mark.y0 : mark.y1, mark.x0 : mark.x1] == mark.labels[0]).astype(np.uint8)
    edges, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    area = cv2.contourArea(edges[0])
    return area > 0.92 * cv2.contourArea(cv2.convexHull(edges[0]))


def _holds_a_stroke(frame: Mark, marks: list[Mark], labels: NDArray[np.int32]) -> bool:
    """Whether what lies in the frame is one straight stroke: a third as wide as long."""
    held = [mark for mark in marks if _gap(mark, frame) == 0 and mark.height >= 0.1 * frame.height]
    if len(held) != 1:
        return False
    (mark,) = held
    places = np.argwhere(labels[mark.y0 : mark.y1, mark.x0 : mark.x1] == mark.labels[0])
    sides = cv2.minAreaRect(places.astype(np.float32))[1]
    return min(sides) < max(sides) / 3


def _without_bars(marks: list[Mark]) -> list[Mark]:
    """The marks without lines under digits, or between them, as in sums and fractions.

    They are flat, and longer than the digits are high, as the bar of a 5 or the foot of a 1 is not.
    """
    flat = [mark for mark in marks if mark.width > 6 * mark.height]
    size = _typical_height([mark for mark in marks if mark.width < 3 * mark.height])
    bars = [mark for mark in flat if mark.width > size > 2 * mark.height]
    return [mark for mark in marks if mark not in bars]


def _without_dirt(marks: list[Mark], mask: Mask) -> list[Mark]:
    """The marks that may be digits or parts of them: no specks, no edges of the sheet."""
    inner = [m for m in marks if not _is_edge(m, mask.shape) and not _is_solid(m, mask)]
    tallest = max((mark.height for mark in inner), default=0)
    legible = sum(mark.height >= max(8, 0.03 * len(mask)) for mark in inner)
    if legible < 3 and tallest < 0.2 * max((mark.height for mark in marks), default=0):
        inner = marks  # a tight crop: the digit itself touches the edges, or it is a bold dot
    free = [mark for mark in inner if not _touches(mark, mask.shape)]
    if len(free) >= 3:
        # Among digits that lie free, what comes in from a side and is larger is no digit.
        limit = 1.5 * _typical_height(free)
        inner = [m for m in inner if m in free or max(m.height, m.width / 1.5) <= limit]
    size = _typical_height(inner)
    large = [mark for mark in inner if max(mark.width, mark.height) >= 0.3 * size]
    small = [
        mark
        for mark in inner
        if 0.08 * size <= max(mark.width, mark.height) < 0.3 * size
        and any(_gap(mark, other) < 0.15 * size for other in large)
    ]
    return large + small


def _passed_over(written: list[Mark], wholes: list[Mark], labels: NDArray[np.int32]) -> bool:
    """Whether a mark that is in none of the wholes may be a digit, if a small one.

    As an exponent is, or a row in smaller writing; a decimal point has a tenth of the height.
    """
    least = max(12, 0.15 * _typical_height(wholes))
    looked_at = {label for whole in wholes for label in whole.labels}
    return any(
        mark.height >= max(least, mark.width / 3)
        and not looked_at.issuperset(mark.labels)
        and not _touches(mark, labels.shape)
        and not _is_solid(mark, labels > 0)
        for mark in written
    )


def _is_edge(mark: Mark, shape: tuple[int, ...]) -> bool:
    """Whether it lies along a side of the picture, as the edge of a sheet or a shadow does."""
    height, width = shape
    return _touches(mark, shape) and (mark.width > width / 2 or mark.height > height / 2)


def _touches(mark: Mark, shape: tuple[int, ...]) -> bool:
    """Whether it reaches a side of the picture."""
    return 0 in (mark.x0, mark.y0, shape[1] - mark.x1, shape[0] - mark.y1)


def _is_solid(mark: Mark, mask: Mask) -> bool:
    """Whether it is a filled area rather than strokes: as thick as half its length."""
    part = mask[mark.y0 : mark.y1, mark.x0 : mark.x1].astype(np.uint8)
    length = max(part.shape)
    if mark.area < 0.5 * length**2 or length < 12:
        return False
    return 2 * cv2.distanceTransform(np.pad(part, 1), cv2.DIST_L2, 3).max() > 0.5 * length


def _typical_height(marks: list[Mark]) -> float:
    """The median height of the marks, in which large ones count by their square.

    Otherwise a page full of specks would have the size of a speck.
    """
    if not marks:
        return 0.0
    heights = np.array([max(mark.height, mark.width / 2) for mark in marks])
    weights = heights**2
    order = heights.argsort()
    passed = weights[order].cumsum()
    return float(heights[order][np.searchsorted(passed, passed[-1] / 2)])


def _gap(one: Mark, other: Mark) -> float:
    """The distance between two boxes; 0 where they overlap."""
    x = max(one.x0 - other.x1, other.x0 - one.x1, 0)
    y = max(one.y0 - other.y1, other.y0 - one.y1, 0)
    return float(np.hypot(x, y))


def _cluster(marks: list[Mark], reach: float) -> Mark:
    """The largest mark and, joined to it, what lies within `reach` of its size, again and again."""
    whole = max(marks, key=lambda mark: mark.area)
    rest = [mark for mark in marks if mark is not whole]
    while True:
        distance = reach * max(whole.width, whole.height)
        near = [mark for mark in rest if _gap(mark, whole) <= distance]
        if not near:
            return whole
        rest = [mark for mark in rest if mark not in near]
        for mark in near:
            whole = whole.joined(mark)


def _joined(marks: list[Mark]) -> list[Mark]:
    """Marks of one digit joined: broken strokes, the bar of a 5, the two strokes of a 4."""
    size = _typical_height(marks)
    wholes: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: -mark.area):
        whole = mark
        while friends := [other for other in wholes if _belong_together(whole, other, size)]:
            wholes.remove(friends[0])
            whole = whole.joined(friends[0])
        wholes.append(whole)
    return [mark for mark in wholes if mark.height >= 0.35 * size]


def _belong_together(one: Mark, other: Mark, size: float) -> bool:
    common = min(one.x1, other.x1) - max(one.x0, other.x0)
    overlap = common / max(1, min(one.width, other.width))
    gap = max(one.y0 - other.y1, other.y0 - one.y1)
    whole = one.joined(other)
    if whole.height > 1.5 * size:
        return False
    fragment = min(one.height, other.height) < 0.6 * size
    if overlap > 0.5 and gap < 0.3 * size:
        return True
    return fragment and overlap > -0.15 and _gap(one, other) < 0.12 * size


def _rows(marks: list[Mark]) -> list[list[Mark]]:
    """Marks in rows from top to bottom, each from left to right; rows may slope."""
    rows: list[list[Mark]] = []
    for mark in sorted(marks, key=lambda mark: mark.x0):
        best, most = None, 0.3
        for row in rows:
            last = row[-1]
            common = min(mark.y1, last.y1) - max(mark.y0, last.y0)
            share = common / max(1, min(mark.height, last.height))
            if share > most:
                best, most = row, share
        if best is None:
            rows.append([mark])
        else:
            best.append(mark)
    return sorted(rows, key=lambda row: float(np.mean([m.y0 + m.y1 for m in row])))


def _glyph(mark: Mark, ink: Floats, labels: NDArray[np.int32]) -> Glyph:
    """The mark with a rim of one pixel, where a stroke fades out; no ink of other marks."""
    height, width = ink.shape
    x0, y0 = max(0, mark.x0 - 1), max(0, mark.y0 - 1)
    x1, y1 = min(width, mark.x1 + 1), min(height, mark.y1 + 1)
    own = np.isin(labels[y0:y1, x0:x1], mark.labels).astype(np.uint8)
    rim = cv2.dilate(own, np.ones((3, 3), np.uint8)) > 0
    return Glyph(ink[y0:y1, x0:x1] * rim, (x0, y0, x1, y1))


def halves(glyph: Glyph) -> list[tuple[Glyph, Glyph]]:
    """The glyph cut from top to bottom in two, at each of the places with the least ink.

    A place is a column, and the cut may lean by up to 20° either way, as writing does.
    """
    height, width = glyph.ink.shape
    ys = np.arange(height)[:, None]
    found = []
    for lean in (-0.35, -0.2, 0.0, 0.2, 0.35):
        offset = (lean * (ys - height / 2)).round().astype(int)
        xs = np.clip(np.arange(width)[None] + offset, 0, width - 1)
        crossed = np.take_along_axis(glyph.ink, xs, axis=1).sum(axis=0)
        low = cv2.erode(crossed[None], np.ones((1, max(3, height // 5)), np.uint8))[0]
        for x in np.flatnonzero(crossed <= low + 1e-6).tolist():
            if 0.15 * height <= x <= width - 0.15 * height:
                found.append((float(crossed[x]) + abs(lean), x, offset))
    found.sort(key=lambda item: item[:2])
    result = []
    for _, x, offset in found[:12]:
        side = np.arange(width)[None] < x + offset
        left, right = _trimmed(glyph, side), _trimmed(glyph, ~side)
        # The digits of a number are about of one height.
        if left and right and min(left.height, right.height) >= 0.6 * height:
            result.append((left, right))
    return result


def _trimmed(glyph: Glyph, mask: Mask) -> Glyph | None:
    """The part of a glyph that the mask leaves, with its box; None where nothing is left."""
    ink = glyph.ink * mask
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return None
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    x0, x1 = int(columns[0]), int(columns[-1]) + 1
    left, top = glyph.box[:2]
    box = (left + x0, top + y0, left + x1, top + y1)
    return Glyph(ink[y0:y1, x0:x1], box)
