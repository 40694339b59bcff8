"""Reading order: boxes in rows from top to bottom, each from left to right; rows may slope."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Two boxes stand in one row if more than this share of the smaller height is beside the other box.
BESIDE = 0.3
# No slope is taken from neighbours whose slopes differ by more than this.
AGREE = 0.25


def in_rows(boxes: NDArray[np.floating]) -> list[list[int]]:
    """The numbers of boxes (N, 4), each x0, y0, x1, y1, in the order in which they are read."""
    if not len(boxes):
        return []
    level = boxes.copy()
    level[:, [1, 3]] -= _slope(boxes) * boxes[:, [0, 2]].mean(axis=1, keepdims=True)
    rows: list[list[int]] = []
    for number in boxes[:, [0, 2]].mean(axis=1).argsort().tolist():
        shares = [_beside(level[number], level[row[-1]]) for row in rows]
        best = int(np.argmax(shares)) if shares else -1
        if shares and shares[best] > BESIDE:
            rows[best].append(number)
        else:
            rows.append([number])
    return sorted(rows, key=lambda row: float(level[row][:, [1, 3]].mean()))


def _slope(boxes: NDArray[np.floating]) -> float:
    """How far rows fall for each pixel to the right: the median over neighbours in a row.

    Two boxes are neighbours if the second is the nearest to the right of the first, and the first
    is the nearest to the left of the second. So the ends of a row have none in other rows.
    """
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    x, y = np.moveaxis(middles - middles[:, None], 2, 0)
    away = np.where((x > 0) & (np.abs(y) < 2 * x), np.hypot(x, y), np.inf)
    numbers, right, left = np.arange(len(boxes)), away.argmin(axis=1), away.argmin(axis=0)
    linked = numbers[(left[right] == numbers) & np.isfinite(away[numbers, right])]
    falls = y[linked, right[linked]] / x[linked, right[linked]]
    if len(falls) < 2:
        return 0.0
    slope = float(np.median(falls))
    return slope if np.median(np.abs(falls - slope)) < AGREE else 0.0


def _beside(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """The share of the smaller height of two boxes at which they are beside each other."""
    common = min(one[3], other[3]) - max(one[1], other[1])
    return float(common / max(min(one[3] - one[1], other[3] - other[1]), 1))
