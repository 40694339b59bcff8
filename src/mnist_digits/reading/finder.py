"""Where the digits of a picture are, and which ink is whose: a network, and its votes counted.

    pixels (H, W, 3) -> digits, each with its ink, its box and how surely it is one

The network gives for each place whether it is ink of a digit, and for ink where the middle of its
digit lies and how large that is. Ink whose votes meet is a digit: strokes that are broken come
together, digits that touch come apart. A first look sees the picture reduced; a second one sees
each digit alone, at one size. Runs on ONNX Runtime, without torch (`finder_model` is its network).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError
from .onnx_file import open_model

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
# x0, y0, x1, y1; the latter are just outside.
Box: TypeAlias = tuple[float, float, float, float]

# The network that the package brings along.
FINDER = Path(__file__).parent / "models" / "finder.onnx"
FORMAT = "mnist-digits finder 1"
# The first look's longer side, and the shortest to which small pictures are enlarged for it; the
# sides of a second look. The network was trained on 256.
LOOK, LEAST_LOOK, CLOSER = 256, 192, 128
# The network halves its input five times; of its votes there is one for so many pixels.
STRIDE, QUARTER = 32, 4
# A second look shows so many times the size of the digit: some of what is around it.
AROUND = 1.7
# In a first look digits should be so large, in pixels: otherwise the picture is reduced less.
LEGIBLE = 28.0
# Where they are smaller in its own pixels, a picture is enlarged to twice them, or up to this side.
ENLARGED = 1024
# The smallest that it was trained on; and what is smaller beside digits is dust, as a fraction of
# their size.
LEAST_SIZE, DUST = 9.0, 0.2
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
        surely: from 0.5 to 1, how much ink its places are, for all but the faintest quarter.
    """

    ink: Floats
    box: Box
    surely: float


@dataclass(frozen=True)
class Found:
    """What was found in a picture.

    Attributes:
        glyphs: in no order.
        missed: ink of digits that belongs to none of them, in digits.
        size: width and height of the picture.
        ink: float32 (h, w), 0 to 1, of the whole picture in the first look, at a half of its
            resolution.
        middles: float32 (N, 2), x and y of the digits' middles, in the picture.
        reaches: float32 (N,), how far from there votes may lie that are for the digit.
        places, votes: float32 (V, 2), x and y of what is ink in the first look, and of the
            middle that it points to.
    """

    glyphs: list[Glyph]
    missed: float
    size: tuple[float, float]
    ink: Floats
    middles: Floats
    reaches: Floats
    places: Floats
    votes: Floats

    def scaled(self, reduction: float) -> Found:
        """In pixels of a picture that was reduced so much to be searched."""
        factor = np.float32(reduction)
        return replace(
            self,
            size=(self.size[0] * reduction, self.size[1] * reduction),
            middles=self.middles * factor,
            reaches=self.reaches * factor,
            places=self.places * factor,
            votes=self.votes * factor,
        )

    def turned_back(self, turns: int, shape: tuple[int, ...]) -> Found:
        """As it lies in a picture (H, W) that was turned by quarters against the clock."""
        wide, high = shape[1], shape[0]

        def back(points: Floats) -> Floats:
            x, y = points.T
            sides = {1: (wide - y, x), 2: (wide - x, high - y), 3: (y, high - x)}[turns]
            return np.stack(sides, axis=1)

        return replace(
            self,
            size=(wide, high),
            ink=np.rot90(self.ink, -turns),
            middles=back(self.middles),
            places=back(self.places),
            votes=back(self.votes),
        )

    def owners(self) -> NDArray[np.int64]:
        """For each vote the number of the middle that it is for, or -1."""
        numbers = np.full(len(self.votes), -1, np.int64)
        if len(self.middles):
            # A carpet has thousands of both.
            for part in np.array_split(np.arange(len(numbers)), len(numbers) // 500 + 1):
                offsets = self.votes[part, None] - self.middles
                far = np.hypot(offsets[:, :, 0], offsets[:, :, 1]) / self.reaches
                numbers[part] = np.where(far.min(axis=1) < 1, far.argmin(axis=1), -1)
        return numbers


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

    def only(self, which: NDArray[np.bool_]) -> _Votes:
        """Some of them."""
        places = self.rows[which], self.columns[which]
        return _Votes(*places, self.middles[which], self.sizes[which], self.weights[which])


@dataclass(frozen=True)
class _Groups:
    """Ink whose votes meet, in pixels of the picture that was looked at.

    Attributes:
        middles: float32 (G, 2), x and y.
        sizes: float32 (G,).
        boxes: float32 (G, 4), x0, y0, x1, y1 of the ink.
    """

    middles: Floats
    sizes: Floats
    boxes: Floats

    def chosen(self, which: NDArray[np.bool_], scale: float = 1.0) -> _Groups:
        """Some of them, in pixels of a picture that was scaled by so much to be looked at."""
        parts = (self.middles, self.sizes, self.boxes)
        return _Groups(*(part[which] / np.float32(scale) for part in parts))

    def joined(self, other: _Groups) -> _Groups:
        return _Groups(
            np.concatenate([self.middles, other.middles]),
            np.concatenate([self.sizes, other.sizes]),
            np.concatenate([self.boxes, other.boxes]),
        )


NO_GROUPS = _Groups(
    np.empty((0, 2), np.float32), np.empty(0, np.float32), np.empty((0, 4), np.float32)
)


class Finder:
    """Finds digits with the network of an ONNX file."""

    def __init__(self, model: bytes, threads: int | None = None) -> None:
        self._session, values = open_model(model, FORMAT, threads)
        self._slope, self._offset = json.loads(values["certainty"])

    @classmethod
    def load(cls, threads: int | None = None) -> Finder:
        """The network that the package ships.

        Raises:
            CheckpointError: it is damaged, or missing.
        """
        try:
            return cls(FINDER.read_bytes(), threads)
        # The runtime has exceptions of its own, one for each of its status codes.
        except Exception as error:
            raise CheckpointError(f"{FINDER} cannot be used: install the package again") from error

    def find(self, pixels: Pixels) -> Found:
        """The digits in pixels (H, W, 3).

        Digits that are too small in a first look are looked for again where the picture is
        reduced by half as much, down to its own pixels; a small picture is enlarged for them.
        """
        longest = max(pixels.shape[:2])
        side = min(LOOK, max(longest, LEAST_LOOK))
        kept, seen = NO_GROUPS, None
        while True:
            scale = side / longest
            looked = resized(pixels, scale)
            ink, raw = self.look(looked[None])
            votes = _votes(ink[0], raw[0])
            seen = seen or _seen(pixels.shape, looked.shape, ink[0], votes)
            groups = _grouped(votes)
            new = groups.chosen(_is_new(groups, kept, scale), scale)
            legible = new.sizes * scale >= LEGIBLE
            kept = kept.joined(new.chosen(legible))
            smaller = new.chosen(~legible)
            most = max(longest, min(2 * longest, ENLARGED)) if len(smaller.sizes) else longest
            if side >= most or (len(kept.sizes) and not len(smaller.sizes)):
                break
            side = min(2 * side, most)
        kept = kept.joined(smaller)
        glyphs = self._second_looks(pixels, kept)
        return replace(
            seen,
            glyphs=[glyph for glyph in glyphs if glyph],
            missed=_missed(votes, kept, scale),
            # A digit that is cut off may have its middle outside.
            middles=np.clip(kept.middles, 0, np.array(seen.size, np.float32)),
            reaches=REACH * kept.sizes,
        )

    def as_one(self, pixels: Pixels, box: Box) -> Glyph | None:
        """All ink in a box, x0, y0, x1, y1 in pixels (H, W, 3), as that of one digit.

        One look at a part of the picture takes a fifth of the time of `find`.
        """
        view = _view(pixels, np.array(box, np.float32), 0.0)
        inks, raw = self.look(view.pixels[None])
        seen = _votes(inks[0], raw[0])
        return _glyph(inks[0], seen, np.ones(len(seen.sizes), bool), view)

    def certainty(self, surely: float) -> float:
        """The probability that ink of which the network is so sure is a digit's, and all of it."""
        odds = np.log(max(surely, 1e-4) / max(1 - surely, 1e-4))
        return float(1 / (1 + np.exp(-self._slope * odds - self._offset)))

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

    def _second_looks(self, pixels: Pixels, groups: _Groups) -> list[Glyph | None]:
        """The digits of a first look, each seen alone."""
        views = [_view(pixels, *group) for group in zip(groups.boxes, groups.sizes, strict=True)]
        glyphs: list[Glyph | None] = []
        for start in range(0, len(views), 32):
            part = views[start : start + 32]
            inks, votes = self.look(np.stack([view.pixels for view in part]))
            for place, view in enumerate(part):
                seen = _votes(inks[place], votes[place])
                own = _own(seen, view, groups, start + place)
                glyphs.append(_glyph(inks[place], seen, own, view))
        return glyphs


def resized(pixels: Pixels, scale: float) -> Pixels:
    """Pixels (h, w, 3) reduced or enlarged."""
    size = tuple(max(8, round(side * scale)) for side in pixels.shape[1::-1])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=way), np.uint8)


def _seen(shape: tuple[int, ...], looked: tuple[int, ...], ink: Floats, votes: _Votes) -> Found:
    """What a first look sees, before its digits are told apart.

    Args:
        shape: (H, W) of the picture.
        looked: of the picture as it was looked at.
    """
    size = shape[1], shape[0]
    factors = np.array([shape[1] / looked[1], shape[0] / looked[0]], np.float32)
    places = np.column_stack([votes.columns, votes.rows]).astype(np.float32) * QUARTER + 2
    # The network's input was filled up, which is no part of the picture.
    ink = ink[: (looked[0] + 1) // 2, : (looked[1] + 1) // 2]
    middles, reaches = NO_GROUPS.middles, NO_GROUPS.sizes
    return Found([], 0.0, size, ink, middles, reaches, places * factors, votes.middles * factors)


def _votes(ink: Floats, raw: Floats) -> _Votes:
    """The votes of a look; places are a quarter of the resolution, two by two of the ink's."""
    high, wide = raw.shape[1:]
    strongest = ink.reshape(high, 2, wide, 2).max(axis=(1, 3))
    rows, columns = np.nonzero(strongest > 0.5)
    x, y, sizes = raw[:, rows, columns]
    places = np.column_stack([columns, rows]) * QUARTER + (QUARTER - 1) / 2
    middles = (places + np.column_stack([x, y])).astype(np.float32)
    return _Votes(rows, columns, middles, sizes, strongest[rows, columns])


def _is_new(groups: _Groups, kept: _Groups, scale: float) -> NDArray[np.bool_]:
    """Which groups of a look are digits that are not known yet, nor a part of one, nor dust."""
    new = groups.sizes >= LEAST_SIZE
    if len(kept.sizes):
        offsets = groups.middles[:, None] / scale - kept.middles
        distance = np.hypot(offsets[:, :, 0], offsets[:, :, 1])
        new &= (distance > REACH * kept.sizes).all(axis=1)
        # What is large in this look was legible in the one before.
        new &= groups.sizes < 3 * LEGIBLE
        new &= groups.sizes > DUST * scale * np.median(kept.sizes)
    return new


def _missed(votes: _Votes, kept: _Groups, scale: float) -> float:
    """How much ink lies outside of all the digits' boxes, in digits of the median ink."""
    y, x = QUARTER * votes.rows + 2, QUARTER * votes.columns + 2
    covered = np.zeros((y.max(initial=0) + 1, x.max(initial=0) + 1), np.uint8)
    for x0, y0, x1, y1 in (kept.boxes * scale).round().astype(int):
        covered[max(0, y0 - 2) : y1 + 2, max(0, x0 - 2) : x1 + 2] = 1
    outside = covered[y, x] == 0
    inked = votes.weights[~outside].sum() / max(1, len(kept.sizes))
    # Where there is no digit, sixteen places are as much as one.
    return float(votes.weights[outside].sum() / max(inked, 1 if len(kept.sizes) else 16))


def _grouped(votes: _Votes) -> _Groups:
    """Digits: the places where votes meet, with the ink that points there."""
    if not len(votes.sizes):
        return NO_GROUPS
    # Cells of a sixth of the smaller digits' size: the votes for one fall into a few of them.
    cell = max(1.0, float(np.percentile(votes.sizes, 10)) / 6)
    places = np.maximum(votes.middles / cell, 0).astype(np.int64) + 1
    shape = (int(places[:, 1].max()) + 2, int(places[:, 0].max()) + 2)
    flat = places[:, 1] * shape[1] + places[:, 0]
    mass = QUARTER**2 * votes.weights / votes.sizes**2
    density = np.bincount(flat, mass, shape[0] * shape[1]).reshape(shape).astype(np.float32)
    density = cv2.GaussianBlur(density, (0, 0), 0.8)
    peaks = (density >= cv2.dilate(density, np.ones((3, 3), np.uint8))) & (density > 1e-4)
    means, masses = _means(votes, mass, _nearest(peaks, flat))
    means = means[_apart(means, masses)]
    grid = np.zeros(shape, bool)
    spots = np.maximum(means[:, :2] / cell, 0).astype(np.int64) + 1
    grid[np.minimum(spots[:, 1], shape[0] - 1), np.minimum(spots[:, 0], shape[1] - 1)] = True
    numbers = _nearest(grid, flat)
    means, masses = _means(votes, mass, numbers)
    offsets = votes.middles - means[numbers, :2]
    numbers[np.hypot(*offsets.T) >= REACH * means[numbers, 2]] = -1
    enough = np.bincount(numbers + 1, mass)[1:] >= LEAST_INK
    numbers[(numbers >= 0) & ~enough[numbers]] = -1
    return _boxed(votes, mass, _adopted(votes, numbers))


def _adopted(votes: _Votes, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The digits' numbers; ink that votes for none (-1) joins the one that it touches.

    But not where it touches several: the long stem of a 9 is meant.
    """
    inked = np.zeros((votes.rows.max(initial=0) + 1, votes.columns.max(initial=0) + 1), np.uint8)
    inked[votes.rows, votes.columns] = 1
    count, labels = cv2.connectedComponents(inked)
    pieces = labels[votes.rows, votes.columns]
    known = numbers >= 0
    low, high = np.full(count, np.iinfo(np.int64).max), np.full(count, -1)
    np.minimum.at(low, pieces[known], numbers[known])
    np.maximum.at(high, pieces[known], numbers[known])
    return np.where(~known & (low == high)[pieces], high[pieces], numbers)


def _boxed(votes: _Votes, mass: Floats, numbers: NDArray[np.int64]) -> _Groups:
    """The groups of these numbers; -1 is none."""
    known = numbers >= 0
    if not known.any():
        return NO_GROUPS
    _, numbers = np.unique(numbers[known], return_inverse=True)
    means, _ = _means(votes.only(known), mass[known], numbers)
    sides = np.empty((len(means), 4), np.float32)
    for side, values in ((0, votes.columns[known]), (1, votes.rows[known])):
        low, high = np.full(len(means), np.inf), np.zeros(len(means))
        np.minimum.at(low, numbers, values)
        np.maximum.at(high, numbers, values + 1)
        sides[:, side], sides[:, side + 2] = QUARTER * low, QUARTER * high
    return _Groups(means[:, :2].astype(np.float32), means[:, 2].astype(np.float32), sides)


def _means(
    votes: _Votes, mass: Floats, numbers: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each group the mean vote and size (G, 3), and its mass (G,)."""
    total = np.maximum(np.bincount(numbers, mass), 1e-9)
    values = (votes.middles[:, 0], votes.middles[:, 1], votes.sizes)
    sums = [np.bincount(numbers, mass * value) / total for value in values]
    return np.stack(sums, axis=1), total


def _nearest(peaks: NDArray[np.bool_], flat: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of the cells, counted row by row, the number of the peak that is nearest."""
    empty = (~peaks).astype(np.uint8)
    kind = cv2.DIST_LABEL_PIXEL
    _, labels = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=kind)
    return np.unique(labels.ravel()[flat], return_inverse=True)[1]


def _apart(means: NDArray[np.float64], mass: NDArray[np.float64]) -> list[int]:
    """The peaks that are digits of their own: none lies within a heavier one's inner part."""
    kept: list[int] = []
    for peak in mass.argsort()[::-1]:
        offsets = means[kept, :2] - means[peak, :2]
        size = np.maximum(means[kept, 2], means[peak, 2])
        if not (np.hypot(*offsets.T) < 0.35 * size).any():
            kept.append(int(peak))
    return kept


@dataclass(frozen=True)
class _View:
    """A digit and what is around it, as a second look sees it.

    Attributes:
        pixels: uint8 (128, 128, 3).
        corner: x and y in the picture, where it begins.
        sides: how wide and how high it is there.
        scale: pixels of the view to one of the picture.
    """

    pixels: Pixels
    corner: tuple[int, int]
    sides: tuple[int, int]
    scale: float


def _view(pixels: Pixels, box: NDArray[Any], size: float) -> _View:
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
    seen = np.pad(seen, ((0, below), (0, right), (0, 0)), "edge")
    return _View(seen, (left, top), (part.shape[1], part.shape[0]), scale)


def _own(seen: _Votes, view: _View, groups: _Groups, number: int) -> NDArray[np.bool_]:
    """Which votes of a second look are for the digit of this number, not for its neighbours."""
    middles = seen.middles / np.float32(view.scale) + np.array(view.corner, np.float32)
    far = np.hypot(*(groups.middles - groups.middles[number]).T)
    near = np.flatnonzero(far < 3 * np.maximum(groups.sizes, groups.sizes[number]))
    offsets = middles[:, None] - groups.middles[near]
    distance = np.hypot(offsets[:, :, 0], offsets[:, :, 1]) / groups.sizes[near]
    closest = distance.argmin(axis=1)
    far = distance[np.arange(len(closest)), closest] >= 1.5 * REACH
    numbers = _adopted(seen, np.where(far, -1, near[closest]))
    return numbers == number


def _glyph(ink: Floats, seen: _Votes, own: NDArray[np.bool_], view: _View) -> Glyph | None:
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
    # Ink may be seen a little beyond the picture, where the view is filled up.
    inside = np.minimum(np.array([x0, y0, x1, y1]) * 2 / view.scale, view.sides * 2)
    if (inside[2:] <= inside[:2]).any():
        return None
    sides = inside + np.tile(view.corner, 2)
    # Not the mean: strokes fade out at their rims, fine ones all over.
    surely = float(np.percentile(seen.weights[own], 25))
    return Glyph(np.where(part < 0.15, 0, part), tuple(sides.tolist()), surely)
