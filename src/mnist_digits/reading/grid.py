"""Where the rows and columns of a table that lies straight begin and end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .reading_order import reading_order

Floats: TypeAlias = NDArray[np.floating]
Integers: TypeAlias = NDArray[np.int64]
Truths: TypeAlias = NDArray[np.bool_]

# In heights of a digit: what parts two lines; what parts two columns without lines, if several
# rows tell; and if one does.
MIN_APART, MIN_GAP, SURE_GAP = 0.3, 0.6, 1.0
# The share of the digits' extent along which a line of a table is seen.
MIN_SEEN = 0.5
# The share of the digits that a line of a table cuts, and of the lines that cut more.
MAX_CUT, MAX_CUTTING = 0.03, 0.25
# How far a line may fall to the side where all lies straight.
MAX_SLOPE = 0.06


@dataclass(frozen=True)
class Grid:
    """The edges of the columns, (C + 1,), and rows, (R + 1,); whether the columns are sure."""

    columns: Floats
    rows: Floats
    sure: bool

    def places(self, boxes: Floats) -> Integers:
        """Row and column of boxes, (2, N): what is outside of the table has none that exists."""
        x, y = (boxes[:, :2] + boxes[:, 2:]).T / 2
        return np.stack([np.searchsorted(self.rows, y), np.searchsorted(self.columns, x)]) - 1


def find_grid(boxes: Floats, number_of: Integers, sure: Truths, lines: Floats) -> Grid:
    """The cells of a table: between lines where they rule it, elsewhere where numbers are.

    Args:
        boxes: of the digits, (N, 4), that lie straight, in reading order.
        number_of: (N,), to which number each belongs.
        sure: (N,), which of them are sure.
        lines: segments, (M, 4): x0, y0, x1, y1.
    """
    swapped, across = boxes[:, [1, 0, 3, 2]], lines[:, [1, 0, 3, 2]]
    height = float(np.median(swapped[:, 2] - swapped[:, 0]))
    ruled_down, ruled_across = (
        _ruled(b, s, height) for b, s in ((boxes, lines), (swapped, across))
    )
    near = MIN_APART * height
    levels = np.sort([boxes[row][:, [1, 3]].mean() for row in reading_order(boxes)])
    gaps, certain = _corridors(boxes, number_of, height)
    # Letters may stand alone in a column.
    told = np.searchsorted(gaps, boxes[sure][:, [0, 2]].mean(axis=1))
    certain = certain and len(np.unique(told)) == len(gaps) + 1
    columns = _edges(boxes, gaps, ruled_down, across, ruled_across, near)
    rows = _edges(swapped, (levels[:-1] + levels[1:]) / 2, ruled_across, lines, ruled_down, near)
    ruled = len(columns) > 2 and np.isin(columns[1:-1], ruled_down).all()
    return Grid(columns, rows, bool(certain or ruled))


def _edges(
    boxes: Floats, cuts: Floats, ruled: Floats, others: Floats, across: Floats, near: float
) -> Floats:
    """The edges of columns: lines that part digits, and cuts where a line is missing."""
    middles = np.sort(boxes[:, [0, 2]].mean(axis=1))
    kept = _kept(boxes, ruled, others, across, near)
    strip = np.searchsorted(kept, middles)
    if len(np.unique(strip)) < 2:
        return np.concatenate([[boxes[:, 0].min()], cuts, [boxes[:, 2].max()]])
    places = np.searchsorted(middles, cuts)
    return np.sort(np.concatenate([kept, cuts[strip[places - 1] == strip[places]]]))


def _corridors(boxes: Floats, number_of: Integers, height: float) -> tuple[Floats, bool]:
    """The middles of the gaps that run down between all boxes, and whether they are surely all.

    A narrow gap needs several rows that tell of it.
    """
    ordered = boxes[boxes[:, 0].argsort()]
    reach = np.maximum.accumulate(ordered[:, 2])[:-1]
    width = ordered[1:, 0] - reach
    wide = width > MIN_GAP * height
    gaps = (reach + width / 2)[wide]
    strip = np.searchsorted(gaps, boxes[:, [0, 2]].mean(axis=1))
    level = boxes[:, [1, 3]].mean(axis=1)
    # Neighbours in a row, to both sides of a gap.
    left = np.flatnonzero((np.diff(strip) == 1) & (np.abs(np.diff(level)) < height))
    one = number_of[left] == number_of[left + 1]
    apart, together = (
        np.bincount(strip[left[which]], minlength=len(gaps) + 1)[:-1] for which in (~one, one)
    )
    broad = width[wide] > SURE_GAP * height
    kept = broad | (2 * apart + together > 3)
    return gaps[kept], bool((broad | (kept & (together == 0))).all())


def _ruled(boxes: Floats, lines: Floats, height: float) -> Floats:
    """Where lines run down between digits, from the left.

    None if they run through digits, as those of squared paper do.
    """
    low, high = boxes[:, 1].min(), boxes[:, 3].max()
    spots = _spots(lines, MIN_APART * height)
    shares = [_seen(lines, spot, MIN_APART * height, low, high) for spot in spots]
    spots = spots[np.array(shares) > MIN_SEEN] if len(spots) else spots
    if len(spots) < 2:
        return np.empty(0)
    core = (boxes[:, 2] - boxes[:, 0]) * 0.2
    left, right = boxes[:, 0] + core, boxes[:, 2] - core
    cut = ((left < spots[:, None]) & (spots[:, None] < right)).mean(axis=1) > MAX_CUT
    middles = (left + right) / 2
    inside = (middles > spots[0]) & (middles < spots[-1])
    if cut.mean() > MAX_CUTTING or inside.mean() < 0.5:
        return np.empty(0)
    return np.asarray(spots[~cut])


def _steep(lines: Floats) -> NDArray[np.bool_]:
    across, down = np.abs(lines[:, 2:] - lines[:, :2]).T
    return np.asarray(across < MAX_SLOPE * down)


def _spots(lines: Floats, near: float) -> Floats:
    """The places of lines that run down, from the left; segments near one another are one line."""
    lines = lines[_steep(lines)]
    lines = lines[lines[:, [0, 2]].sum(axis=1).argsort()]
    x, lengths = lines[:, [0, 2]].mean(axis=1), np.abs(lines[:, 3] - lines[:, 1])
    ends = np.flatnonzero(np.diff(x) > near) + 1
    groups = [group for group in np.split(np.arange(len(x)), ends) if len(group)]
    return np.array([np.average(x[group], weights=lengths[group]) for group in groups])


def _seen(lines: Floats, spot: float, near: float, low: float, high: float) -> float:
    """The share of the way from low to high along which lines run down at a place."""
    at = _steep(lines) & (np.abs(lines[:, [0, 2]].mean(axis=1) - spot) < near)
    ends = np.sort(lines[at][:, [1, 3]], axis=1).clip(low, high)
    ends = ends[ends[:, 0].argsort()]
    before = np.maximum.accumulate(np.concatenate([[low], ends[:, 1]]))[:-1]
    return float((ends[:, 1] - np.maximum(ends[:, 0], before)).clip(0).sum() / max(high - low, 1))


def _kept(boxes: Floats, ruled: Floats, others: Floats, across: Floats, near: float) -> Floats:
    """The lines that are edges of columns: the outermost enclose digits, or lines across.

    So the edges of the paper are left out.

    Args:
        others: segments, with x and y exchanged.
        across: where those that part rows are.
    """
    middles, edges = boxes[:, [0, 2]].mean(axis=1), ruled
    if not len(edges):
        return edges
    for inwards in (1, -1):
        edges = edges[::inwards]
        while len(edges) > 1:
            low, high = sorted(edges[:2])
            shares = [_seen(others, y, near, low, high) for y in across]
            if ((middles > low) & (middles < high)).any() or np.mean([*shares, 0]) > MIN_SEEN:
                break
            edges = edges[1:]
        edges = edges[::inwards]
    low = boxes[:, 0].min() if middles.min() < edges[0] else edges[0]
    high = boxes[:, 2].max() if middles.max() > edges[-1] else edges[-1]
    edges = np.unique([low, *edges, high])
    # Between two lines where no digit would have room there is no column.
    empty = np.bincount(np.searchsorted(edges, middles), minlength=len(edges))[1:] == 0
    thin = empty & (np.diff(edges) < near / MIN_APART)
    return np.delete(edges, np.flatnonzero(thin) + (np.flatnonzero(thin) == 0))
