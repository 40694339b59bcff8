"""A photographed sheet made straight: which way its rows and columns run, and the lines on it.

Rows of a flat sheet meet in one point, far away or not, and so do its columns. In coordinates x and
y around the digits, from -1 to 1, a row is y = m + (tilt + convergence * m) * x, for each m, and a
column likewise with x and y exchanged. The homography makes m and its like the coordinates.
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating]

# The longer side at which line segments are looked for, and how long they are, as a share of it.
LINES_AT, MIN_LENGTH = 800, 0.03
# The tilts and convergences that are tried; a sheet that is seen from farther aside is not read.
TILTS = np.linspace(-0.3, 0.3, 61)
CONVERGENCES = np.linspace(-0.3, 0.3, 13)
# Up to this, tilt and convergence are taken from lines.
MAX_OF_LINES = 0.4
# Lines that are as good as this share of the best alignment of digits are taken: they are exact.
AS_GOOD = 0.85


def segments(pixels: NDArray[np.uint8]) -> Floats:
    """The straight edges in pixels (H, W, 3): x0, y0, x1, y1 of each, (N, 4)."""
    longest = max(pixels.shape[:2])
    scale = min(1.0, LINES_AT / longest)
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    lines = cv2.createLineSegmentDetector().detect(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))[0]
    if lines is None:
        return np.empty((0, 4))
    found = lines.reshape(-1, 4) / scale
    return np.asarray(found[_lengths(found) > MIN_LENGTH * longest])


def direction(lines: Floats) -> float:
    """By how many degrees, -45 to 45, most lines fall to the right, or their normals; else 0."""
    angles = np.rad2deg(np.arctan2(*(lines[:, 2:] - lines[:, :2]).T[::-1]))
    weights, _ = np.histogram(angles % 90, np.arange(91), weights=_lengths(lines))
    around = np.sum([np.roll(weights, shift) for shift in (-1, 0, 1)], axis=0)
    best = int(np.argmax(around))
    if not len(lines) or around[best] < weights.sum() / 3:
        return 0.0
    off = (angles - best - 0.5 + 45) % 90 - 45
    near = np.abs(off) < 2
    angle = best + 0.5 + np.average(off[near], weights=_lengths(lines)[near])
    return float((angle + 45) % 90 - 45)


def turned(pixels: NDArray[np.uint8], degrees: float) -> tuple[NDArray[np.uint8], Floats]:
    """Pixels (H, W, 3) turned against the clock into a larger picture; and the matrix (3, 3)."""
    if not degrees:
        return pixels, np.eye(3)
    high, wide = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D(((wide - 1) / 2, (high - 1) / 2), degrees, 1)
    cosine, sine = np.abs(matrix[0, :2])
    size = np.round([wide * cosine + high * sine, wide * sine + high * cosine]).astype(int)
    matrix[:, 2] += (size - [wide, high]) / 2
    page = cv2.warpAffine(pixels, matrix, tuple(size.tolist()), borderMode=cv2.BORDER_REPLICATE)
    return page, np.vstack([matrix, [0, 0, 1]])


def homography(boxes: Floats, lines: Floats) -> Floats:
    """The matrix (3, 3) that makes rows and columns of digits run along the axes.

    Args:
        boxes: of the digits, (N, 4).
        lines: segments, (M, 4).
    """
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    unit = float((high - low).max()) / 2
    centred = np.array([[1, 0, 0], [0, 1, 0], [0, 0, unit]]) / unit
    centred[:2, 2] = -(low + high) / 2 / unit
    spots, edges = moved(boxes.reshape(-1, 2), centred), moved(lines.reshape(-1, 2), centred)
    spots, edges = spots.reshape(-1, 4), edges.reshape(-1, 4)
    a, b = _pencil(spots[:, [1, 0, 3, 2]], edges[:, [1, 0, 3, 2]])
    c, d = _pencil(spots, edges)
    straight = np.array(
        [[1, -c, 0], [-a, 1, 0], [(b - a * d) / (1 - a * c), (d - b * c) / (1 - a * c), 1]]
    )
    return np.asarray(unit * np.diag([1, 1, 1 / unit]) @ straight @ centred)


def moved(points: Floats, matrix: Floats) -> Floats:
    """Points (N, 2), x and y, as a matrix (3, 3) moves them."""
    if not len(points):
        return points
    return np.asarray(cv2.perspectiveTransform(points[None].astype(np.float64), matrix)[0])


def _lengths(lines: Floats) -> Floats:
    return np.asarray(np.hypot(*(lines[:, 2:] - lines[:, :2]).T))


def _pencil(boxes: Floats, lines: Floats) -> tuple[float, float]:
    """Tilt and convergence of the columns: by the lines, if the digits agree, or by the digits."""
    x, y = boxes[:, [0, 2]].mean(axis=1), boxes[:, [1, 3]].mean(axis=1)
    half = (boxes[:, 2] - boxes[:, 0]) / 4
    bins = max(float(np.median(boxes[:, 3] - boxes[:, 1])) / 8, 0.002)

    def alignment(tilts: Floats, convergences: Floats) -> Floats:
        k = (x - tilts[:, None] * y) / (1 + convergences[:, None] * y)
        score = _crowding(k - half, k + half, bins)
        # Of several that are alike, the one that changes least.
        return np.asarray(score * (1 - tilts**2 - convergences**2))

    tilts, convergences = (v.ravel() for v in np.meshgrid(TILTS, CONVERGENCES))
    scores = alignment(tilts, convergences)
    best = int(scores.argmax())
    of_lines = _fitted(lines)
    if of_lines is not None:
        score = alignment(*np.array(of_lines)[:, None])[0]
        if score > AS_GOOD * scores[best]:
            return of_lines
    return float(tilts[best]), float(convergences[best])


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


def _fitted(lines: Floats) -> tuple[float, float] | None:
    """Tilt and convergence of the lines that run down, if there are enough."""
    across, down = (lines[:, 2:] - lines[:, :2]).T
    steep = np.abs(across) < 0.4 * np.abs(down)
    slopes, lengths = across[steep] / down[steep], np.abs(down[steep])
    starts = lines[steep, 0] - slopes * lines[steep, 1]
    kept = np.abs(starts) < 1.5
    for _ in range(3):
        if lengths[kept].sum() < 1 or np.ptp(starts[kept]) < 0.3:
            return None
        convergence, tilt = np.polyfit(starts[kept], slopes[kept], 1, w=lengths[kept])
        miss = np.abs(slopes - tilt - convergence * starts)
        kept = (np.abs(starts) < 1.5) & (miss < max(2 * np.median(miss[kept]), 0.01))
    if max(abs(tilt), abs(convergence)) > MAX_OF_LINES:
        return None
    return float(tilt), float(convergence)
