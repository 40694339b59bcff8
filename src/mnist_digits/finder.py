"""Where the digits of a picture are, and which ink is whose: a network, and its votes counted.

    pixels (H, W, 3) -> digits, each with its ink, its box and how surely it is one

The network gives for each place whether it is ink of a digit, and for ink where the middle of its
digit lies and how large that is. Ink whose votes meet is a digit: strokes that are broken come
together, digits that touch come apart. A first look sees the picture reduced; a second one sees
each digit alone, at one size. Runs on ONNX Runtime, without torch (`finder_model` is its network).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

# The first look's longer side; the sides of a second look. The network was trained on 256.
LOOK, CLOSER = 256, 128
# The network halves its input five times.
STRIDE = 32
# A second look shows so many times the size of the digit: some of what is around it.
AROUND = 1.7
# In a first look digits should be so large, in pixels: otherwise the picture is reduced less.
LEGIBLE = 22.0
# Votes belong to a middle that is not farther off than so many times the digit's size.
REACH = 0.5
# The ink of a digit covers a hundredth of its square at least, even that of a thin 1.
LEAST_INK = 0.01


@dataclass(frozen=True)
class Glyph:
    """The ink of one digit, and where it is.

    Attributes:
        ink: float32 (h, w), 0 to 1.
        box: x0, y0, x1, y1 in pixels of what was searched.
        surely: from 0 to 1, how clearly it is the ink of one digit.
    """

    ink: Floats
    box: tuple[float, float, float, float]
    surely: float


@dataclass(frozen=True)
class Found:
    """What was found in a picture.

    Attributes:
        glyphs: in no order.
        missed: ink of digits that belongs to none of them, in digits.
        ink: float32 (h, w), 0 to 1, of the first look, at a half of its resolution.
        middles: (N, 2), x and y of the digits' middles in the picture.
    """

    glyphs: list[Glyph]
    missed: float
    ink: Floats
    middles: NDArray[np.float32]

    def scaled(self, reduction: float) -> Found:
        """With the middles in pixels of a picture that was reduced so much."""
        return replace(self, middles=self.middles * np.float32(reduction))

    def turned_back(self, turns: int, shape: tuple[int, ...]) -> Found:
        """As it lies in a picture (H, W) that was turned by quarters against the clock."""
        x, y = self.middles.T
        wide, high = shape[1], shape[0]
        middles = {1: (wide - y, x), 2: (wide - x, high - y), 3: (y, high - x)}[turns]
        return replace(self, ink=np.rot90(self.ink, -turns), middles=np.stack(middles, axis=1))


@dataclass(frozen=True)
class _Votes:
    """The places that are ink: each with its row and column, and its vote.

    Attributes:
        rows, columns: int64 (V,), in quarters of the resolution.
        middles: float32 (V, 2), x and y that it points to, in pixels.
        sizes: float32 (V,), of its digit, in pixels.
        weights: float32 (V,), how much ink it is, from 0.5 to 1.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    middles: Floats
    sizes: Floats
    weights: Floats


class Finder:
    """Finds digits with the network of an ONNX session."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def find(self, pixels: Pixels) -> Found:
        """The digits in pixels (H, W, 3)."""
        longest = max(pixels.shape[:2])
        side = min(LOOK, max(longest, CLOSER))
        while True:
            scale = side / longest
            ink, votes, groups, numbers = self._first_look(pixels, scale)
            size = min((group[2] for group in groups), default=0)
            if side >= longest or size >= LEGIBLE:
                break
            side = min(2 * side, longest)
        if not groups:
            return Found([], _area(votes) / 400, ink, np.empty((0, 2), np.float32))
        table = np.array([group[:3] for group in groups], np.float32)
        table[:, :3] /= scale
        glyphs = self._second_looks(pixels, table, [group[3] / scale for group in groups])
        return Found([g for g in glyphs if g], self._missed(votes, numbers), ink, table[:, :2])

    def look(self, pixels: Pixels) -> tuple[Floats, Floats]:
        """What the network makes of pixels (N, H, W, 3).

        The ink (N, H/2, W/2), 0 to 1, and the votes (N, 3, H/4, W/4): x and y offset, and size,
        in pixels; sides that are no multiples of 32 are filled up.
        """
        high, wide = pixels.shape[1:3]
        below, right = -high % STRIDE, -wide % STRIDE
        full = np.pad(pixels, ((0, 0), (0, below), (0, right), (0, 0)), "edge")
        ink, votes = self._session.run(None, {"pixels": full.transpose(0, 3, 1, 2)})
        ink[:, (high + 1) // 2 :] = 0
        ink[:, :, (wide + 1) // 2 :] = 0
        return ink, votes

    def _first_look(
        self, pixels: Pixels, scale: float
    ) -> tuple[Floats, _Votes, list[tuple[float, float, float, NDArray[Any]]], NDArray[np.int64]]:
        ink, raw = self.look(resized(pixels, scale)[None])
        votes = _votes(ink[0], raw[0])
        groups, numbers = _grouped(votes)
        return ink[0], votes, groups, numbers

    def _missed(self, votes: _Votes, numbers: NDArray[np.int64]) -> float:
        """The ink that points to no digit, in digits of the median ink."""
        counts = np.bincount(numbers[numbers >= 0], votes.weights[numbers >= 0])
        return float(votes.weights[numbers < 0].sum() / max(np.median(counts), 1))

    def _second_looks(
        self, pixels: Pixels, table: Floats, boxes: list[NDArray[Any]]
    ) -> list[Glyph | None]:
        """The digits of a first look, each seen alone.

        Args:
            table: (N, 3), their middles' x and y, and their sizes.
            boxes: of each, x0, y0, x1, y1 of its ink.
        """
        views = [_view(pixels, box, size) for box, size in zip(boxes, table[:, 2], strict=True)]
        glyphs: list[Glyph | None] = []
        for start in range(0, len(views), 32):
            part = views[start : start + 32]
            inks, votes = self.look(np.stack([view[0] for view in part]))
            for place, (_, corner, scale) in enumerate(part):
                seen = _votes(inks[place], votes[place])
                own = _own(seen, corner, scale, table, start + place)
                glyphs.append(_glyph(inks[place], seen, own, corner, scale))
        return glyphs


def resized(pixels: Pixels, scale: float) -> Pixels:
    """Pixels (h, w, 3) reduced or enlarged."""
    size = tuple(max(8, round(side * scale)) for side in pixels.shape[1::-1])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=way), np.uint8)


def _votes(ink: Floats, raw: Floats) -> _Votes:
    """The votes of a look; places are a quarter of the resolution, two by two of the ink's."""
    high, wide = raw.shape[1:]
    strongest = ink.reshape(high, 2, wide, 2).max(axis=(1, 3))
    rows, columns = np.nonzero(strongest > 0.5)
    x, y, sizes = raw[:, rows, columns]
    middles = np.column_stack([columns * 4 + 1.5 + x, rows * 4 + 1.5 + y]).astype(np.float32)
    return _Votes(rows, columns, middles, sizes, strongest[rows, columns])


def _area(votes: _Votes) -> float:
    """Pixels of ink."""
    return 16 * float(votes.weights.sum())


def _grouped(
    votes: _Votes,
) -> tuple[list[tuple[float, float, float, NDArray[Any]]], NDArray[np.int64]]:
    """Digits: the places where votes meet; and for each vote the number of its digit, or -1.

    Of each digit x and y of its middle, its size, and the box of its ink.
    """
    numbers = np.full(len(votes.sizes), -1)
    if not len(numbers):
        return [], numbers
    # Cells of a sixth of the smaller digits' size: the votes for one fall into a few of them.
    cell = max(1.0, float(np.percentile(votes.sizes, 10)) / 6)
    places = np.maximum(votes.middles / cell, 0).astype(np.int64)
    shape = (places[:, 1].max() + 3, places[:, 0].max() + 3)
    flat = (places[:, 1] + 1) * shape[1] + places[:, 0] + 1
    mass = 16 * votes.weights / votes.sizes**2
    density = np.bincount(flat, mass, shape[0] * shape[1]).reshape(shape).astype(np.float32)
    density = cv2.GaussianBlur(density, (0, 0), 0.8)
    peaks = (density >= cv2.dilate(density, np.ones((3, 3), np.uint8))) & (density > 1e-4)
    ys, xs = np.nonzero(peaks)
    order = density[ys, xs].argsort()[::-1]
    spots = np.column_stack([xs, ys])[order].astype(np.float32)
    nearest = _nearest(spots, shape, flat)
    # A first division; of each peak the mean vote and size, in pixels.
    total = np.maximum(np.bincount(nearest, mass, len(spots)), 1e-9)
    means = np.column_stack(
        [
            np.bincount(nearest, mass * values, len(spots)) / total
            for values in (votes.middles[:, 0], votes.middles[:, 1], votes.sizes)
        ]
    )
    kept = _apart(means, total)
    offsets = votes.middles[:, None] - means[kept, :2]
    distance = np.hypot(offsets[:, :, 0], offsets[:, :, 1]) / means[kept, 2]
    closest = distance.argmin(axis=1)
    belongs = distance[np.arange(len(closest)), closest] < REACH
    groups = []
    for number, peak in enumerate(kept):
        own = belongs & (closest == number)
        if mass[own].sum() < LEAST_INK or own.sum() < 2:
            continue
        rows, columns = votes.rows[own], votes.columns[own]
        box = 4 * np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        numbers[own] = len(groups)
        middle = np.average(votes.middles[own], axis=0, weights=votes.weights[own])
        size = float(np.median(votes.sizes[own]))
        groups.append((float(middle[0]), float(middle[1]), size, box))
    return groups, numbers


def _nearest(spots: Floats, shape: tuple[int, int], flat: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each cell in `flat` the number of the spot (N, 2) that is nearest."""
    empty = np.ones(shape, np.uint8)
    columns, rows = spots.T.astype(int)
    empty[rows, columns] = 0
    _, labels = cv2.distanceTransformWithLabels(
        empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    number = np.zeros(int(labels.max()) + 1, np.int64)
    number[labels[rows, columns]] = np.arange(len(spots))
    return number[labels.ravel()[flat]]


def _apart(means: NDArray[np.float64], mass: NDArray[np.float64]) -> list[int]:
    """The peaks that are digits of their own: none lies within a heavier one's inner part."""
    kept: list[int] = []
    for peak in mass.argsort()[::-1]:
        if kept:
            offsets = means[kept, :2] - means[peak, :2]
            size = np.maximum(means[kept, 2], means[peak, 2])
            if (np.hypot(*offsets.T) < 0.35 * size).any():
                continue
        kept.append(int(peak))
    return kept


def _view(pixels: Pixels, box: NDArray[Any], size: float) -> tuple[Pixels, tuple[int, int], float]:
    """A digit and what is around it, (128, 128, 3): with the view's corner, and its scale."""
    high, wide = pixels.shape[:2]
    x0, y0, x1, y1 = box
    side = AROUND * max(x1 - x0, y1 - y0, 0.8 * size)
    side = int(max(8, min(side, max(high, wide))))
    left = int(np.clip((x0 + x1 - side) / 2, 0, max(0, wide - side)))
    top = int(np.clip((y0 + y1 - side) / 2, 0, max(0, high - side)))
    part = pixels[top : top + side, left : left + side]
    scale = CLOSER / side
    seen = resized(part, scale)[:CLOSER, :CLOSER]
    below, right = CLOSER - seen.shape[0], CLOSER - seen.shape[1]
    if below or right:
        seen = np.pad(seen, ((0, below), (0, right), (0, 0)), "edge")
    return seen, (left, top), scale


def _own(
    seen: _Votes, corner: tuple[int, int], scale: float, table: Floats, number: int
) -> NDArray[np.bool_]:
    """Which votes of a second look are for the digit of this number, not for its neighbours."""
    middles = seen.middles / scale + np.array(corner, np.float32)
    near = np.flatnonzero(
        np.hypot(*(table[:, :2] - table[number, :2]).T)
        < 3 * np.maximum(table[:, 2], table[number, 2])
    )
    offsets = middles[:, None] - table[near, :2]
    distance = np.hypot(offsets[:, :, 0], offsets[:, :, 1]) / table[near, 2]
    if not len(distance):
        return np.zeros(0, bool)
    place = int(np.flatnonzero(near == number)[0])
    return (distance.argmin(axis=1) == place) & (distance[:, place] < 1.5 * REACH)


def _glyph(
    ink: Floats, seen: _Votes, own: NDArray[np.bool_], corner: tuple[int, int], scale: float
) -> Glyph | None:
    """The ink of a second look that is the digit's own; None where there is hardly any."""
    quarter = np.zeros((2, len(ink) // 2, len(ink) // 2), np.uint8)
    quarter[0, seen.rows[own], seen.columns[own]] = 1
    quarter[1, seen.rows[~own], seen.columns[~own]] = 1
    # A stroke fades out beyond the places that vote; but not into a neighbour's.
    mask = cv2.dilate(quarter[0], np.ones((3, 3), np.uint8)) & (1 - quarter[1])
    kept = ink * np.repeat(np.repeat(mask, 2, axis=0), 2, axis=1)
    ys, xs = np.nonzero(kept > 0.4)
    if len(ys) < 6:
        return None
    y0, x0, y1, x1 = ys.min(), xs.min(), ys.max() + 1, xs.max() + 1
    part = kept[y0:y1, x0:x1]
    sides = np.array([x0, y0, x1, y1]) * 2 / scale + np.tile(corner, 2)
    surely = float(part[part > 0.4].mean())
    return Glyph(np.where(part < 0.15, 0, part), tuple(sides.tolist()), surely)
