"""Reading order: boxes in rows from top to bottom, each from left to right; rows may slope."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Boxes stand in one row if so much of the lower one's height is beside the other.
BESIDE = 0.3


def in_rows(boxes: NDArray[np.float64]) -> list[list[int]]:
    """The numbers of boxes (N, 4), each x0, y0, x1, y1, in the order in which they are read."""
    if not len(boxes):
        return []
    level = boxes.copy()
    level[:, [1, 3]] -= _slope(boxes) * boxes[:, [0, 2]].mean(axis=1, keepdims=True)
    rows: list[list[int]] = []
    for number in boxes[:, 0].argsort().tolist():
        shares = [_beside(level[number], level[row[-1]]) for row in rows]
        best = int(np.argmax(shares)) if shares else -1
        if shares and shares[best] > BESIDE:
            rows[best].append(number)
        else:
            rows.append([number])
    return sorted(rows, key=lambda row: float(level[row][:, [1, 3]].mean()))


def _slope(boxes: NDArray[np.float64]) -> float:
    """How far rows fall for each pixel to the right: the median over neighbours side by side."""
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    heights = boxes[:, 3] - boxes[:, 1]
    order = middles[:, 0].argsort()
    falls = []
    for index, number in enumerate(order):
        right = order[index + 1 : index + 100]
        steps = middles[right] - middles[number]
        near = (np.abs(steps[:, 1]) < 0.6 * heights[number]) & (steps[:, 0] > 0.4 * heights[number])
        if near.any():
            step = steps[near][0]
            falls.append(step[1] / step[0])
    return float(np.median(falls)) if len(falls) > 2 else 0.0


def _beside(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """How much of the lower box's height two boxes share."""
    common = min(one[3], other[3]) - max(one[1], other[1])
    return float(common / max(min(one[3] - one[1], other[3] - other[1]), 1e-6))
