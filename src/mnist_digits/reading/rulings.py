"""The ruled lines of a sheet, where they are seen once it lies straight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from .straight import homography, warped_boxes

Floats: TypeAlias = NDArray[np.floating]

# Pixels of a digit's height, where lines are looked for; of a band, in which one is seen; and how
# far one runs through all bands, at least, so that it is no stroke of a digit.
HEIGHT, BAND, MIN_LENGTH = 24, 6, 42
# How far to both sides of a line the paper is, in pixels, and by how much it is lighter or darker.
REACH, MIN_CONTRAST = 3, 6
# If around the digits more than this share of the places is seen as lines, in four heights of a
# digit along and across, it is the texture of a table top: 0.25 to 0.35, half at a picture's edge.
MAX_SHARE = 0.15
# How far a line may be from where it was a band before, or is expected; in pixels.
DRIFT, NEAR = 2, 5
# How far around the digits lines are looked for, in heights of a digit and in widths of them all.
AROUND_HEIGHTS, AROUND_WIDTHS = 16, 0.3
MAX_SIDE = 2500
# How many lines, as long as the digits reach, tell more of a sheet than the digits; and how many
# of their points tell as much as all.
MIN_LINES, MAX_POINTS = 3, 800


@dataclass(frozen=True)
class Rulings:
    """Lines that run down, seen in bands from the top.

    Attributes:
        seen: bool (bands, places): where a line is.
        start: x of the first place, and y of the first band.
        step: from one place to the next.
    """

    seen: NDArray[np.bool_]
    start: tuple[float, float]
    step: float

    def shares(self, y: Floats) -> Floats:
        """For each place, the share of the bands at y, (N,), in which a line is near."""
        bands = ((y - self.start[1]) / self.step / BAND).astype(int).clip(0, len(self.seen) - 1)
        return np.asarray(_widened(self.seen[np.unique(bands)], NEAR).mean(axis=0))

    @property
    def points(self) -> Floats:
        """Where lines are: x and y twice, as of boxes, (N, 4)."""
        band, place = np.nonzero(self.seen)
        y = self.start[1] + self.step * BAND * (band + 0.5)
        return np.stack([self.start[0] + self.step * place, y] * 2, axis=1)

    def share_at(self, x: float, low: float, high: float) -> float:
        """That at x, of the way from y = low to high."""
        place = round((x - self.start[0]) / self.step)
        way = np.append(np.arange(low, high, self.step * BAND), high)
        return float(self.shares(way)[place]) if 0 <= place < self.seen.shape[1] else 0.0


def straightened(grey: NDArray[np.uint8], boxes: Floats) -> tuple[Floats, tuple[Rulings, Rulings]]:
    """The matrix (3, 3) that makes a page straight: by its lines, or if it has none by its digits.

    Lines are also looked for where the digits make it straight.

    Args:
        grey: pixels of the page, (H, W).
        boxes: of its digits, (N, 4).

    Returns:
        It, and the lines that run down and across where all is straight.
    """
    for by_digits in (False, True):
        matrix = homography(boxes, boxes, boxes) if by_digits else np.eye(3)
        straight = warped_boxes(boxes, matrix)
        rulings = find_rulings(grey, matrix, straight)
        down, across = (lines.points for lines in rulings)
        wide, high = straight[:, 2:].max(axis=0) - straight[:, :2].min(axis=0)
        needed = MIN_LINES / rulings[0].step / BAND
        if len(down) > needed * high and len(across) > needed * wide:
            down, across = (points[:: len(points) // MAX_POINTS + 1] for points in (down, across))
            by_lines = homography(straight, down, across[:, [1, 0, 3, 2]]) @ matrix
            return by_lines, find_rulings(grey, by_lines, warped_boxes(boxes, by_lines))
    return matrix, rulings


def find_rulings(grey: NDArray[np.uint8], matrix: Floats, boxes: Floats) -> tuple[Rulings, Rulings]:
    """Lines that run down, and with x and y exchanged those that run across.

    Args:
        grey: pixels of a page, (H, W).
        matrix: (3, 3), that makes it straight.
        boxes: of its digits where it is straight, (N, 4).
    """
    step = float(np.median(boxes[:, 3] - boxes[:, 1])) / HEIGHT
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    around = AROUND_HEIGHTS * HEIGHT * step + AROUND_WIDTHS * (high - low)
    low, high = low - around, high + around
    step = max(step, float((high - low).max()) / MAX_SIDE)
    to_places = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, step]]) / step
    size = tuple(np.ceil((high - low) / step).astype(int).tolist())
    straight = cv2.warpPerspective(grey, to_places @ matrix, size)
    (x, y), (beside, above) = low.tolist(), (around / step).astype(int).tolist()
    down, across = _seen(straight, beside, above), _seen(straight.T, above, beside)
    return Rulings(down, (x, y), step), Rulings(across, (y, x), step)


def _seen(grey: NDArray[np.uint8], beside: int, above: int) -> NDArray[np.bool_]:
    """Whether a thin line runs down near each place of each band, (bands, W).

    Args:
        grey: pixels, (H, W).
        beside, above: how far they reach beyond the digits, to both sides.
    """
    bands = len(grey) // BAND
    profile = grey[: bands * BAND].reshape(bands, BAND, -1).mean(axis=1, dtype=np.float32)
    middle = profile[:, REACH:-REACH]
    left, right = middle - profile[:, : -2 * REACH], middle - profile[:, 2 * REACH :]
    contrast = np.maximum(np.minimum(left, right), np.minimum(-left, -right))
    line = np.pad(contrast > MIN_CONTRAST, ((0, 0), (REACH, REACH)))
    around = 4 * HEIGHT + 1, 4 * HEIGHT // BAND + 1
    share = cv2.blur(line.astype(np.float32), around, borderType=cv2.BORDER_CONSTANT)
    share[above // BAND : -(above // BAND), beside:-beside] = 0
    line &= share < MAX_SHARE
    near, long = _widened(line, DRIFT), np.ones((MIN_LENGTH // BAND, 1), np.uint8)
    runs = cv2.erode(near.astype(np.uint8), long, borderValue=0)
    return line & (cv2.dilate(runs, long) > 0)


def _widened(seen: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """What is seen, to both sides by so many places, too."""
    if not seen.size:
        return seen
    return cv2.dilate(seen.astype(np.uint8), np.ones((1, 2 * by + 1), np.uint8)) > 0
