"""Where the rows and columns of a table that lies straight begin and end."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .reading_order import corridors, reading_order
from .rulings import Rulings

Floats: TypeAlias = NDArray[np.floating]
Integers: TypeAlias = NDArray[np.int64]
Truths: TypeAlias = NDArray[np.bool_]

# In heights of a digit: what parts columns without lines, even if only one row tells of it.
MIN_SURE_GAP = 1.0
# In the same: what is narrower or lower between two lines, and empty, is no column and no row.
MIN_WIDE, MIN_HIGH = 0.7, 1.2
# The share of the digits' rows, or of the way between two lines, along which a line is seen.
MIN_SEEN = 0.5
# The share of the digits that a line of a table cuts, as far inside of them as a share of their
# width; and the share of the lines that cut more.
MAX_CUT, MIN_INSIDE, MAX_CUTTING = 0.03, 0.2, 0.25


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


def find_grid(
    boxes: Floats, number_of: Integers, sure: Truths, rulings: tuple[Rulings, Rulings]
) -> Grid:
    """The cells of a table: between lines where they rule it, elsewhere where numbers are.

    Args:
        boxes: of the digits, (N, 4), that lie straight, in reading order.
        number_of: (N,), to which number each belongs.
        sure: (N,), which of them are sure.
        rulings: that run down and across.
    """
    swapped, (down, across) = boxes[:, [1, 0, 3, 2]], rulings
    height = float(np.median(swapped[:, 2] - swapped[:, 0]))
    lines, crossing = _lines(boxes, down), _lines(swapped, across)
    middles = [boxes[row][:, [1, 3]].mean(axis=1) for row in reading_order(boxes)]
    # On a sheet that is bent, a line may run through a row.
    crossing = crossing[[not any(y.min() < line < y.max() for y in middles) for line in crossing]]
    levels = np.sort([y.mean() for y in middles])
    gaps, certain = _cuts(boxes, number_of)
    # Letters may stand alone in a column.
    told = np.searchsorted(gaps, boxes[sure][:, [0, 2]].mean(axis=1))
    certain = certain and len(np.unique(told)) == len(gaps) + 1
    columns = _edges(boxes, gaps, _enclosing(boxes, lines, across, crossing, MIN_WIDE * height))
    between = (levels[:-1] + levels[1:]) / 2
    rows = _edges(swapped, between, _enclosing(swapped, crossing, down, lines, MIN_HIGH * height))
    ruled = len(columns) > 2 and np.isin(columns[1:-1], lines).all()
    return Grid(columns, rows, bool(ruled if len(lines) else certain))


def crossings(lines: Floats, boxes: Floats) -> Truths:
    """Which lines (M,) that run down go through which boxes (N, 4): (M, N)."""
    core = (boxes[:, 2] - boxes[:, 0]) * MIN_INSIDE
    across = lines[:, None]
    return np.asarray((boxes[:, 0] + core < across) & (across < boxes[:, 2] - core))


def _edges(boxes: Floats, cuts: Floats, lines: Floats) -> Floats:
    """The edges of columns: lines that part digits, and cuts where a line is missing."""
    middles = np.sort(boxes[:, [0, 2]].mean(axis=1))
    strip = np.searchsorted(lines, middles)
    if len(np.unique(strip)) < 2:
        return np.concatenate([[boxes[:, 0].min()], cuts, [boxes[:, 2].max()]])
    places = np.searchsorted(middles, cuts)
    return np.sort(np.concatenate([lines, cuts[strip[places - 1] == strip[places]]]))


def _cuts(boxes: Floats, number_of: Integers) -> tuple[Floats, bool]:
    """Where columns are parted that no line parts, and whether these are surely all.

    A narrow gap needs several rows that tell of it.
    """
    gaps, width, apart, together = corridors(boxes, number_of)
    broad = width > MIN_SURE_GAP
    kept = broad | (2 * apart + together > 3)
    return gaps[kept], bool((broad | (kept & (together == 0))).all())


def _lines(boxes: Floats, rulings: Rulings) -> Floats:
    """Where lines run down beside most rows of digits, and between them, from the left.

    None if they run through digits, as those of squared paper do.
    """
    seen = rulings.shares(np.linspace(boxes[:, 1], boxes[:, 3], 5).ravel()) > MIN_SEEN
    starts, ends = np.flatnonzero(np.diff(seen, prepend=False, append=False)).reshape(-1, 2).T
    lines = rulings.start[0] + rulings.step * (starts + ends - 1) / 2
    if len(lines) < 2:
        return np.empty(0)
    cut = crossings(lines, boxes).sum(axis=1)
    few = MAX_CUT * len(boxes)
    middles = boxes[:, [0, 2]].mean(axis=1)
    inside = (middles > lines[0]) & (middles < lines[-1])
    if (cut > few).mean() > MAX_CUTTING or inside.mean() < 0.5:
        return np.empty(0)
    # One line alone may cut more: a number that is too wide for its column runs over it.
    return np.asarray(lines[cut <= max(few, min(len(boxes) / 10, 2))])


def _enclosing(
    boxes: Floats, lines: Floats, across: Rulings, crossing: Floats, room: float
) -> Floats:
    """The lines that are edges of columns: the outermost enclose digits, or lines across.

    So the edges of the paper are left out.
    """
    if not len(lines):
        return lines
    middles = boxes[:, [0, 2]].mean(axis=1)

    def empty(low: float, high: float) -> bool:
        return not ((middles > low) & (middles < high)).any()

    def of_paper(low: float, high: float) -> bool:
        shares = [across.share_at(y, low, high) for y in crossing]
        return empty(low, high) and float(np.mean([*shares, 0])) <= MIN_SEEN

    while len(lines) > 1 and empty(-np.inf, lines[0]) and of_paper(*lines[:2]):
        lines = lines[1:]
    while len(lines) > 1 and empty(lines[-1], np.inf) and of_paper(*lines[-2:]):
        lines = lines[:-1]
    low = boxes[:, 0].min() if middles.min() < lines[0] else lines[0]
    high = boxes[:, 2].max() if middles.max() > lines[-1] else lines[-1]
    edges = np.unique([low, *lines, high])
    # Between two lines where no digit would have room there is no column.
    without = np.array([empty(*ends) for ends in pairwise(edges)], bool)
    thin = np.flatnonzero(without & (np.diff(edges) < room))
    return np.delete(edges, thin + (thin == 0))
