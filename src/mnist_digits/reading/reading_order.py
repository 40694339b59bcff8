"""Reading order: boxes in rows from top to bottom, each from left to right; rows may slope."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .separators import Signs

# Two boxes stand in one row if more than this share of the smaller height is beside the other box.
MIN_OVERLAP = 0.3
# No slope is taken from neighbours whose slopes differ by more than this.
MAX_SPREAD = 0.25
# In heights of a digit: nearer ones are of one number, and ones that are farther apart are not;
# what parts columns.
MIN_NUMBER_GAP, NUMBER_GAP, MIN_GAP = 0.7, 2.0, 0.6
# The width that a 1 has in a row, at least.
MIN_WIDTH = 0.4


def reading_order(boxes: NDArray[np.floating]) -> list[list[int]]:
    """The numbers of boxes (N, 4), each x0, y0, x1, y1, in the order in which they are read."""
    if not len(boxes):
        return []
    level = boxes.copy()
    level[:, [1, 3]] -= slope(boxes) * boxes[:, [0, 2]].mean(axis=1, keepdims=True)
    rows: list[list[int]] = []
    for number in boxes[:, [0, 2]].mean(axis=1).argsort().tolist():
        shares = [_beside(level[number], level[row[-1]]) for row in rows]
        best = int(np.argmax(shares)) if shares else -1
        if shares and shares[best] > MIN_OVERLAP:
            rows[best].append(number)
        else:
            rows.append([number])
    return sorted(rows, key=lambda row: float(level[row][:, [1, 3]].mean()))


def slope(boxes: NDArray[np.floating]) -> float:
    """How far rows fall for each pixel to the right: the median over neighbours in a row.

    Two boxes are neighbours if the second is the nearest to the right of the first, and the first
    is the nearest to the left of the second. So the ends of a row have none in other rows.
    """
    if len(boxes) < 2:
        return 0.0
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    x, y = np.moveaxis(middles - middles[:, None], 2, 0)
    away = np.where((x > 0) & (np.abs(y) < 2 * x), np.hypot(x, y), np.inf)
    numbers, right, left = np.arange(len(boxes)), away.argmin(axis=1), away.argmin(axis=0)
    linked = numbers[(left[right] == numbers) & np.isfinite(away[numbers, right])]
    falls = y[linked, right[linked]] / x[linked, right[linked]]
    if len(falls) < 2:
        return 0.0
    slope = float(np.median(falls))
    return slope if np.median(np.abs(falls - slope)) < MAX_SPREAD else 0.0


def _beside(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """The share of the smaller height of two boxes at which they are beside each other."""
    common = min(one[3], other[3]) - max(one[1], other[1])
    return float(common / max(min(one[3] - one[1], other[3] - other[1]), 1))


def in_numbers(
    boxes: NDArray[np.floating], rows: list[list[int]], signs: Signs
) -> list[list[list[int]]]:
    """The boxes of each row in numbers: parted where a gap is wide, or a dash stands.

    How wide that is, is learned from the gaps of the row, or if they do not tell, of all rows. A
    gap through all rows that parts numbers in half of them, or more, parts them in all.
    """
    gaps = [_gaps(boxes[row]) for row in rows]
    page = _cut(np.concatenate([*gaps, np.empty(0)]))
    result = []
    for row, wide in zip(rows, gaps, strict=True):
        least = _cut(wide) or page or NUMBER_GAP
        numbers = [row[:1]]
        for number, gap in zip(row[1:], wide.tolist(), strict=True):
            sign = signs.written.get(number, "")
            if sign in ("-", " ") or (not sign and gap > least):
                numbers.append([number])
            else:
                numbers[-1].append(number)
        result.append(numbers)
    return _by_columns(boxes, result, signs)


def _by_columns(
    boxes: NDArray[np.floating], rows: list[list[list[int]]], signs: Signs
) -> list[list[list[int]]]:
    """Rows of numbers, parted where columns end, too."""
    numbers = [number for row in rows for number in row]
    order = [n for number in numbers for n in number]
    number_of = np.repeat(np.arange(len(numbers)), [len(number) for number in numbers])
    level = boxes.copy()  # columns stand on rows that slope
    level[:, [0, 2]] += slope(boxes) * boxes[:, [1, 3]].mean(axis=1, keepdims=True)
    gaps, _, apart, together = corridors(level[order], number_of)
    ends = gaps[(apart > 0) & (apart >= together)]
    column = np.searchsorted(ends, level[:, [0, 2]].mean(axis=1))

    def parted(number: list[int]) -> list[list[int]]:
        cuts = [
            place
            for place, (former, n) in enumerate(pairwise(number), 1)
            if column[n] > column[former] and not signs.written.get(n)
        ]
        return [number[start:end] for start, end in pairwise([0, *cuts, len(number)])]

    return [[part for number in row for part in parted(number)] for row in rows]


def corridors(
    boxes: NDArray[np.floating], number_of: NDArray[np.int64]
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.int64], NDArray[np.int64]]:
    """The gaps that run down between all boxes.

    Args:
        boxes: of digits, (N, 4), that lie straight, in reading order.
        number_of: (N,), to which number each belongs.

    Returns:
        For each gap, from the left, (M,): its middle, its width in heights, and in how many rows
        the digits to both sides of it are of two numbers, and of one.
    """
    if not len(boxes):
        return (np.empty(0),) * 2 + (np.empty(0, np.int64),) * 2
    height = max(float(np.median(boxes[:, 3] - boxes[:, 1])), 1)
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
    return gaps, width[wide] / height, apart, together


def _gaps(boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    """The gaps between the boxes (N, 4) of a row, (N - 1,), in units of their median height."""
    sides = boxes[:, 2:] - boxes[:, :2]
    height = np.median(sides[:, 1])
    # A 1 is narrow, but stands as far from its neighbours as other digits.
    wide = np.maximum(sides[:, 0], MIN_WIDTH * height)
    apart = np.hypot(*np.diff((boxes[:, :2] + boxes[:, 2:]) / 2, axis=0).T)
    return np.asarray((apart - (wide[:-1] + wide[1:]) / 2) / max(height, 1))


def _cut(gaps: NDArray[np.floating]) -> float:
    """What parts narrow gaps from wide ones; 0 if they are not of two kinds."""
    ordered = np.sort(gaps).clip(0)
    narrow, wide = ordered[:-1], ordered[1:]
    ratios = (wide + 0.2) / (narrow + 0.2)
    ratios[wide < MIN_NUMBER_GAP] = 0
    if not len(ratios) or ratios.max() < 2:
        return 0.0
    best = int(ratios.argmax())
    return float((narrow[best] + wide[best]) / 2)
