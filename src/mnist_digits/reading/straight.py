"""A photographed sheet made straight: which way its rows and columns run.

Rows of a flat sheet meet in one point, far away or not, and so do its columns. In coordinates x and
y around the digits, from -1 to 1, a row is y = m + (tilt + convergence * m) * x, for each m, and a
column likewise with x and y exchanged. The homography makes m and its like the coordinates.
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from .picture import WORKING_SIZE

Floats: TypeAlias = NDArray[np.floating]

# The longer side, at most, at which edges are looked at, smoothed over so many pixels.
EDGES_AT, SMOOTH = 800, 5
# How much stronger than most pixels edges are.
MIN_STRENGTH = 10
# The least share of the edges, by their strength, that a sheet has within 1.5 degrees of its sides.
MIN_EDGES = 0.1
# The tilts and convergences that are tried; a sheet that is seen from farther aside is not read.
TILTS = np.linspace(-0.3, 0.3, 61)
CONVERGENCES = np.linspace(-0.3, 0.3, 13)
# How far from the middle lines are looked at: a little farther, columns that converge would meet.
MAX_AWAY = 2
# The corners of a box, from the left upper one, clockwise.
CORNERS = [0, 1, 2, 1, 2, 3, 0, 3]


def lean(pixels: NDArray[np.uint8]) -> float:
    """By how many degrees, -45 to 45, most edges fall to the right, or their normals; else 0.

    Args:
        pixels: of a picture, (H, W, 3).
    """
    high, wide = pixels.shape[:2]
    by = -(-max(high, wide) // EDGES_AT)
    if min(high, wide) < 2 * by:
        return 0.0
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[: high // by * by, : wide // by * by]
    small = grey.reshape(high // by, by, wide // by, by).mean(axis=(1, 3), dtype=np.float32)
    for _ in range(2):  # differences of neighbours tell the direction only of what is smooth
        small = cv2.blur(small, (SMOOTH, SMOOTH), borderType=cv2.BORDER_REPLICATE)
    down, across = np.gradient(small)
    strength = down**2 + across**2
    strength[strength < MIN_STRENGTH * np.median(strength)] = 0  # grain
    angles = np.rad2deg(np.arctan2(down, across)) % 90
    weights, _ = np.histogram(angles, np.arange(91), weights=strength)
    around = np.roll(weights, 1) + weights + np.roll(weights, -1)
    best = int(around.argmax())
    if around[best] < MIN_EDGES * max(weights.sum(), 1):
        return 0.0
    before, at, after = weights[[best - 1, best, (best + 1) % 90]]
    angle = best + 0.5 + (after - before) / (before + at + after)
    return float((angle + 45) % 90 - 45)


def turned(pixels: NDArray[np.uint8], degrees: float) -> tuple[NDArray[np.uint8], Floats]:
    """Pixels (H, W, 3) turned against the clock, whole; and the matrix (3, 3) that does it.

    What would be larger than WORKING_SIZE is reduced to that.
    """
    if not degrees:
        return pixels, np.eye(3)
    high, wide = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D((0, 0), degrees, 1)
    cosine, sine = np.abs(turn[0, :2])
    size = np.array([wide * cosine + high * sine, wide * sine + high * cosine])
    scale = min(1.0, WORKING_SIZE / size.max())
    size = np.maximum((scale * size).round(), 1).astype(int)
    matrix = scale * turn
    matrix[:, 2] = (size - 1 - matrix[:, :2] @ [wide - 1, high - 1]) / 2
    page = cv2.warpAffine(pixels, matrix, tuple(size.tolist()), borderMode=cv2.BORDER_REPLICATE)
    return page, np.vstack([matrix, [0, 0, 1]])


def homography(boxes: Floats, columns: Floats, rows: Floats) -> Floats:
    """The matrix (3, 3) that makes rows and columns run along the axes.

    Args:
        boxes: of the digits, (N, 4), around which that is right.
        columns, rows: boxes or points (M, 4) of what stands in them.
    """
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    unit = float((high - low).max()) / 2
    centred = np.array([[1, 0, 0], [0, 1, 0], [0, 0, unit]]) / unit
    centred[:2, 2] = -(low + high) / 2 / unit
    bins = max(float(np.median(boxes[:, 3] - boxes[:, 1])) / unit / 8, 0.002)
    across, down = (moved(v.reshape(-1, 2), centred).reshape(-1, 4) for v in (rows, columns))
    a, b = _pencil(across[:, [1, 0, 3, 2]], bins)
    c, d = _pencil(down, bins)
    straight = np.array(
        [[1, -c, 0], [-a, 1, 0], [(b - a * d) / (1 - a * c), (d - b * c) / (1 - a * c), 1]]
    )
    return np.asarray(unit * np.diag([1, 1, 1 / unit]) @ straight @ centred)


def moved(points: Floats, matrix: Floats) -> Floats:
    """Points (N, 2), x and y, as a matrix (3, 3) moves them."""
    if not len(points):
        return points
    return np.asarray(cv2.perspectiveTransform(points[None].astype(np.float64), matrix)[0])


def warped_boxes(boxes: Floats, matrix: Floats) -> Floats:
    """Boxes (N, 4) around the middles of the sides that a matrix (3, 3) moves."""
    x, y = moved(boxes[:, CORNERS].reshape(-1, 2), matrix).reshape(-1, 4, 2).transpose(2, 0, 1)
    sides = [x[:, [0, 3]], y[:, :2], x[:, 1:3], y[:, 2:]]
    return np.stack([side.mean(axis=1) for side in sides], axis=1)


def _pencil(boxes: Floats, bins: float) -> tuple[float, float]:
    """Tilt and convergence of the columns in which boxes (N, 4) cover one another most."""
    boxes = boxes[np.abs(boxes[:, [1, 3]].mean(axis=1)) < MAX_AWAY]
    x, y = boxes[:, [0, 2]].mean(axis=1), boxes[:, [1, 3]].mean(axis=1)
    half = (boxes[:, 2] - boxes[:, 0]) / 4
    tilts, convergences = (v.reshape(-1, 1) for v in np.meshgrid(TILTS, CONVERGENCES))
    k = (x - tilts * y) / (1 + convergences * y)
    # Of several that are alike, the one that changes least.
    least = (1 - tilts**2 - convergences**2)[:, 0]
    best = int((_crowding(k - half, k + half, bins) * least).argmax())
    return float(tilts[best, 0]), float(convergences[best, 0])


def _crowding(low: Floats, high: Floats, bins: float) -> Floats:
    """How much intervals (M, N) on a line cover one another, for each of M cases."""
    start = low.min()
    first, last = ((ends - start) // bins for ends in (low, high))
    cases, count = len(low), int(last.max()) + 2
    rows = np.arange(cases)[:, None] * count
    changes = np.bincount((rows + first).astype(int).ravel(), minlength=cases * count)
    changes = changes - np.bincount((rows + last + 1).astype(int).ravel(), minlength=cases * count)
    cover = changes.reshape(cases, count).cumsum(axis=1)
    return np.asarray((cover.astype(float) ** 2).sum(axis=1))
