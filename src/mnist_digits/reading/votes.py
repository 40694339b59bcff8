"""The finder's votes, and the digits that they are for: ink whose votes meet is one digit.

Strokes that are broken come together, digits that touch come apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# The network gives one vote for so many pixels along a side.
QUARTER = 4
# Digits that are smaller in a first look, in pixels, are looked at again with less reduction.
LEGIBLE = 28.0
# The smallest size that the network was trained on, in pixels. Beside digits, what is smaller than
# this fraction of their median size is dust.
LEAST_SIZE, DUST = 9.0, 0.2
# A vote belongs to a middle within this distance, in units of the digit's size.
REACH = 0.5
# The ink of a digit covers a hundredth of its square at least, even that of a thin 1.
LEAST_INK = 0.01


@dataclass(frozen=True)
class Votes:
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

    def only(self, which: NDArray[np.bool_]) -> Votes:
        """Some of them."""
        places = self.rows[which], self.columns[which]
        return Votes(*places, self.middles[which], self.sizes[which], self.weights[which])


@dataclass(frozen=True)
class Groups:
    """Ink whose votes meet, in pixels of the picture that was looked at.

    Attributes:
        middles: float32 (G, 2), x and y.
        sizes: float32 (G,).
        boxes: float32 (G, 4), x0, y0, x1, y1 of the ink.
    """

    middles: Floats
    sizes: Floats
    boxes: Floats

    def chosen(self, which: NDArray[np.bool_], scale: float = 1.0) -> Groups:
        """Some of them, in pixels of a picture that was scaled by so much to be looked at."""
        parts = (self.middles, self.sizes, self.boxes)
        return Groups(*(part[which] / np.float32(scale) for part in parts))

    def joined(self, other: Groups) -> Groups:
        return Groups(
            np.concatenate([self.middles, other.middles]),
            np.concatenate([self.sizes, other.sizes]),
            np.concatenate([self.boxes, other.boxes]),
        )


NO_GROUPS = Groups(
    np.empty((0, 2), np.float32), np.empty(0, np.float32), np.empty((0, 4), np.float32)
)


def votes_of(ink: Floats, raw: Floats) -> Votes:
    """The votes of a look; places are a quarter of the resolution, two by two of the ink's."""
    # NumPy's max over two axes takes ten times as long.
    upper, lower = ink[::2], ink[1::2]
    strongest = np.maximum(
        np.maximum(upper[:, ::2], upper[:, 1::2]), np.maximum(lower[:, ::2], lower[:, 1::2])
    )
    rows, columns = np.nonzero(strongest > 0.5)
    x, y, sizes = raw[:, rows, columns]
    places = np.column_stack([columns, rows]) * QUARTER + (QUARTER - 1) / 2
    middles = (places + np.column_stack([x, y])).astype(np.float32)
    return Votes(rows, columns, middles, sizes, strongest[rows, columns])


def grouped(votes: Votes) -> Groups:
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
    means, masses = _means(votes, mass, _nearest_peak(peaks, flat))
    means = means[_apart(means, masses)]
    grid = np.zeros(shape, bool)
    spots = np.maximum(means[:, :2] / cell, 0).astype(np.int64) + 1
    grid[np.minimum(spots[:, 1], shape[0] - 1), np.minimum(spots[:, 0], shape[1] - 1)] = True
    numbers = _nearest_peak(grid, flat)
    means, masses = _means(votes, mass, numbers)
    offsets = votes.middles - means[numbers, :2]
    numbers[np.hypot(*offsets.T) >= REACH * means[numbers, 2]] = -1
    enough = np.bincount(numbers + 1, mass)[1:] >= LEAST_INK
    numbers[(numbers >= 0) & ~enough[numbers]] = -1
    return _boxed(votes, mass, adopted(votes, numbers))


def adopted(votes: Votes, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
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


def _boxed(votes: Votes, mass: Floats, numbers: NDArray[np.int64]) -> Groups:
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
    return Groups(means[:, :2].astype(np.float32), means[:, 2].astype(np.float32), sides)


def _means(
    votes: Votes, mass: Floats, numbers: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each group the mean vote and size (G, 3), and its mass (G,)."""
    total = np.maximum(np.bincount(numbers, mass), 1e-9)
    values = (votes.middles[:, 0], votes.middles[:, 1], votes.sizes)
    sums = [np.bincount(numbers, mass * value) / total for value in values]
    return np.stack(sums, axis=1), total


def _nearest_peak(peaks: NDArray[np.bool_], flat: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of the cells, counted row by row, the number of the peak that is nearest."""
    empty = (~peaks).astype(np.uint8)
    kind = cv2.DIST_LABEL_PIXEL
    _, labels = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=kind)
    return np.unique(labels.ravel()[flat], return_inverse=True)[1]


def _apart(means: NDArray[np.float64], mass: NDArray[np.float64]) -> list[int]:
    """The peaks that are digits of their own: none lies within a heavier one's inner part."""
    kept: list[int] = []
    # A texture has thousands: their columns are kept together, x, y and size.
    known = np.empty_like(means.T)
    for peak in mass.argsort()[::-1]:
        x, y, size = means[peak]
        others = known[:, : len(kept)]
        away = np.hypot(others[0] - x, others[1] - y)
        if not (away < 0.35 * np.maximum(others[2], size)).any():
            known[:, len(kept)] = means[peak]
            kept.append(int(peak))
    return kept


def distances(points: Floats, others: Floats) -> Floats:
    """From each of (N, 2) points to each of (M, 2) others: (N, M)."""
    offsets = points[:, None] - others
    return np.hypot(offsets[:, :, 0], offsets[:, :, 1])


def nearest(points: Floats, middles: Floats, units: Floats, limit: float) -> NDArray[np.int64]:
    """For each of (V, 2) points the number of the nearest of (M, 2) middles; -1 if it is too far.

    Args:
        units: float32 (M,), the length that distances from each middle are measured in.
        limit: points at this distance, or more, are too far.
    """
    away = distances(points, middles) / units
    return np.where(away.min(axis=1) < limit, away.argmin(axis=1), -1)


def is_new(groups: Groups, kept: Groups, scale: float) -> NDArray[np.bool_]:
    """Which groups of a look are digits that are not known yet, nor a part of one, nor dust."""
    new = groups.sizes >= LEAST_SIZE
    if len(kept.sizes):
        distance = distances(groups.middles / scale, kept.middles)
        new &= (distance > REACH * kept.sizes).all(axis=1)
        # What is large in this look was legible in the one before.
        new &= groups.sizes < 3 * LEGIBLE
        new &= groups.sizes > DUST * scale * np.median(kept.sizes)
    return new


def missed_ink(votes: Votes, kept: Groups, scale: float) -> float:
    """How much ink lies outside of all the digits' boxes, in digits of the median ink."""
    y, x = QUARTER * votes.rows + 2, QUARTER * votes.columns + 2
    covered = np.zeros((y.max(initial=0) + 1, x.max(initial=0) + 1), np.uint8)
    for x0, y0, x1, y1 in (kept.boxes * scale).round().astype(int):
        covered[max(0, y0 - 2) : y1 + 2, max(0, x0 - 2) : x1 + 2] = 1
    outside = covered[y, x] == 0
    inked = votes.weights[~outside].sum() / max(1, len(kept.sizes))
    # Where there is no digit, sixteen places are as much as one.
    return float(votes.weights[outside].sum() / max(inked, 1 if len(kept.sizes) else 16))
