"""Digits in a picture: found, boxed, put into rows, and framed as MNIST frames them.

    pixels (H, W, 3) -> ink_map -> marks, pieces of connected ink -> rows of Glyphs -> frames

Nothing here knows what a digit looks like. What is ink is decided by how much darker (or
lighter) a place is than the paper around it, so that shadows, coloured paper and faint
pencils do not matter; what belongs together, by where it lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

# The frame of MNIST: digits fit a box of 20 pixels, their centre of mass in the middle of 28.
FRAME, BOX = 28, 20
# Ink is at least so much darker than paper, as a fraction of the paper's brightness ...
LEAST_CONTRAST = 0.035
# ... and so many times what the paper itself varies (standard deviations) ...
LEAST_SIGNAL = 5.0
# ... and this fraction of the strongest ink near by; what fades from there goes on to the other.
EDGE, FADING = 0.4, 0.2


@dataclass(frozen=True)
class Glyph:
    """Ink that is taken to be one digit.

    Attributes:
        ink: float32 (h, w), 0 for paper to 1 for the strongest ink; the ink of others is 0.
        box: x0, y0, x1, y1 in pixels of what was searched; x1 and y1 are just outside.
    """

    ink: Floats
    box: tuple[int, int, int, int]

    @property
    def width(self) -> int:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> int:
        return self.box[3] - self.box[1]


@dataclass
class Mark:
    """A connected piece of ink: its box, its number in the map of labels, its area."""

    x0: int
    y0: int
    x1: int
    y1: int
    labels: list[int]
    area: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    def joined(self, other: Mark) -> Mark:
        return Mark(
            min(self.x0, other.x0),
            min(self.y0, other.y0),
            max(self.x1, other.x1),
            max(self.y1, other.y1),
            self.labels + other.labels,
            self.area + other.area,
        )


def find_rows(pixels: NDArray[np.uint8]) -> list[list[Glyph]]:
    """The digits in uint8 pixels (H, W, 3): rows from top to bottom, each from left to right.

    Blank paper gives no rows.
    """
    ink, labels, marks = _find_marks(pixels)
    return [[_glyph(mark, ink, labels) for mark in row] for row in _rows(_joined(marks))]


def find_single(pixels: NDArray[np.uint8]) -> list[Glyph]:
    """What the one digit in uint8 pixels (H, W, 3) may consist of: the likeliest first.

    The largest piece of ink and what clearly belongs to it; that and all that lies around.
    The same twice is left out; blank paper gives nothing.
    """
    ink, labels, marks = _find_marks(pixels)
    if not marks:
        return []
    wholes = [max(_joined(marks) or marks, key=lambda mark: mark.area)]
    for reach in (0.1, 0.35):
        wholes.append(_cluster(marks, reach))
    different = {tuple(sorted(whole.labels)): whole for whole in reversed(wholes)}
    return [_glyph(whole, ink, labels) for whole in reversed(different.values())]


def _find_marks(pixels: NDArray[np.uint8]) -> tuple[Floats, NDArray[np.int32], list[Mark]]:
    ink, mask = find_ink(pixels)
    marks, labels = _marks(mask)
    return ink, labels, _without_dirt(marks, mask)


def find_ink(pixels: NDArray[np.uint8]) -> tuple[Floats, Mask]:
    """How strongly each pixel of (H, W, 3) is inked, float32 (H, W) 0 to 1, and where ink is."""
    grey = _grey(pixels)
    depth = _depth(grey)
    least = np.maximum(LEAST_CONTRAST, LEAST_SIGNAL * _grain(depth))
    peak = float(depth.max())
    if not (depth > least).any():
        return np.zeros_like(depth), np.zeros(depth.shape, bool)
    near = _strongest_near(depth, peak)
    strong = _without_rules(depth > np.maximum(least, EDGE * near), depth > least)
    mask = _grown(strong, depth > np.maximum(least, FADING * near))
    return np.clip(depth / near, 0, 1), mask


def _grown(strong: Mask, weak: Mask) -> Mask:
    """The pieces of the weak mask that hold a place of the strong one (Canny's hysteresis)."""
    _, labels = cv2.connectedComponents((strong | weak).astype(np.uint8))
    held = np.zeros(labels.max() + 1, bool)
    held[labels[strong]] = True
    held[0] = False
    return held[labels]


def _grey(pixels: NDArray[np.uint8]) -> Floats:
    """One channel, 0 to 1, in which ink stands out: brightness, or the colour that differs most.

    Yellow on light blue is hardly darker or lighter: there the direction in which the
    colours spread most (their first principal component) is taken.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    small = (
        cv2.resize(pixels, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        if min(pixels.shape[:2]) > 256
        else pixels
    )
    colours = small.reshape(-1, 3).astype(np.float32) / 255
    offsets = colours - np.median(colours, axis=0)
    values, vectors = np.linalg.eigh(offsets.T @ offsets / len(offsets))
    direction = vectors[:, -1].astype(np.float32)
    spread = float(np.sqrt(max(values[-1], 0)))
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    if abs(float(direction @ weights)) * 1.7 >= 0.5 or spread < 0.02:
        return grey
    projected = (pixels.astype(np.float32) / 255) @ direction
    low, high = float(projected.min()), float(projected.max())
    return (projected - low) / max(high - low, 1e-6)


def _depth(grey: Floats) -> Floats:
    """How much darker than its paper each place is, as a fraction; light ink is turned dark.

    Paper is what remains of the picture when everything dark and narrower than a third of
    it is filled up from its surroundings (a morphological closing): it follows shadows and
    the edges of a sheet. A fraction, because a shadow dims ink and paper alike.
    """
    side = min(grey.shape)
    if side > 100:
        grey = cv2.GaussianBlur(grey, (0, 0), max(0.8, side / 1000))
    grey = _evenly_lit(grey)
    if _is_light_on_dark(grey):
        grey = 1 - grey
    size = max(3, side // 3) | 1
    reach = 400 / max(grey.shape)
    if reach < 1:
        small = cv2.resize(grey, None, fx=reach, fy=reach, interpolation=cv2.INTER_AREA)
        size = max(3, int(size * reach)) | 1
    else:
        small = grey
    # From outside comes nothing, so that ink at the rim counts as ink.
    paper = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
    paper = cv2.blur(paper, (3, 3))
    if reach < 1:
        paper = cv2.resize(paper, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.clip((paper - grey) / np.maximum(paper, 0.15), 0, 1)


def _evenly_lit(grey: Floats) -> Floats:
    """The picture without the slow change of light across it: a quadratic surface, taken off.

    Fitted by least squares, three times, each with less weight on what lies far from the last one:
    ink, and whatever is not paper. A closing alone would take dark corners for ink.
    """
    reach = min(1.0, 40 / max(grey.shape))
    small = cv2.resize(grey, None, fx=reach, fy=reach, interpolation=cv2.INTER_AREA)
    terms = _quadratic(small.shape)
    values = small.ravel().astype(np.float64)
    offsets = values - np.median(values)
    for _ in range(3):
        scale = 2 * np.median(np.abs(offsets)) + 0.01
        weights = (1 / (1 + (offsets / scale) ** 2))[:, None]
        factors = np.linalg.lstsq(terms * weights, values * weights[:, 0], rcond=None)[0]
        offsets = values - terms @ factors
    if np.median(np.abs(offsets)) > 0.02:
        return grey  # the light is not of this kind: a shadow, a sheet on a table
    surface = (_quadratic(grey.shape) @ factors).reshape(grey.shape)
    return np.clip(grey - surface + np.median(surface), 0, 1).astype(np.float32)


def _quadratic(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """1, x, y, x², xy and y² at each pixel, (H·W, 6); x and y go from -1 to 1."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=2).reshape(-1, 6)


def _is_light_on_dark(grey: Floats) -> bool:
    """Whether what stands out from its surroundings is lighter than they are.

    The surroundings are the median of a window, strokes lie to one side of it. Windows of three
    sizes vote: in the large ones a bold digit is seen whole, the small ones do not see the
    edges of a sheet.
    """
    reach = min(1.0, 160 / max(grey.shape))
    small = cv2.resize(grey, None, fx=reach, fy=reach, interpolation=cv2.INTER_AREA)
    levels = (small * 255).astype(np.uint8)
    vote = 0.0
    for part in (2, 4, 8):
        window = max(3, min(levels.shape) // part) | 1
        offsets = levels.astype(np.float64) - cv2.medianBlur(levels, min(window, 255))
        vote += float((offsets**3).sum() / max((np.abs(offsets) ** 3).sum(), 1.0))
    return vote > 0


def _grain(depth: Floats) -> Floats:
    """How much the paper varies around each place: strokes are too few to count.

    The standard deviation in small squares, of which two fifths around are quieter.
    """
    reach = min(1.0, 100 / max(depth.shape))
    if reach == 1:
        return np.zeros_like(depth)
    mean = cv2.resize(depth, None, fx=reach, fy=reach, interpolation=cv2.INTER_AREA)
    square = cv2.resize(depth * depth, None, fx=reach, fy=reach, interpolation=cv2.INTER_AREA)
    deviation = np.sqrt(np.maximum(square - mean * mean, 0))
    # Where everything is a bit darker than its surroundings nothing is ink: the mean counts,
    # too, but only over large windows; of small ones a bold digit may cover most.
    noise = [_percentile(deviation + mean, 2, 40), _percentile(deviation, 4, 50)]
    large, fine = (cv2.resize(n, depth.shape[::-1], interpolation=cv2.INTER_LINEAR) for n in noise)
    return np.maximum(large, fine)


def _percentile(values: Floats, part: int, percent: float) -> Floats:
    """The percentile of the values in windows of a part of the picture, at some places."""
    window = max(3, min(values.shape) // part)
    windows = np.lib.stride_tricks.sliding_window_view(values, (window, window))
    return np.percentile(windows[::4, ::4], percent, axis=(2, 3)).astype(np.float32)


def _strongest_near(depth: Floats, peak: float) -> Floats:
    """The depth of the strongest ink around each place, of a quarter of the peak at least."""
    reach = min(1.0, 200 / max(depth.shape))
    small = cv2.resize(depth, None, fx=reach, fy=reach, interpolation=cv2.INTER_AREA)
    size = max(3, min(small.shape) // 4) | 1
    near = cv2.dilate(small, np.ones((size, size), np.uint8))
    near = cv2.blur(near, (size, size))
    near = cv2.resize(near, depth.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.maximum(near, 0.25 * peak)


def _without_rules(mask: Mask, anything: Mask) -> Mask:
    """The mask of ink without ruled lines: straight, thin, from one side to the other.

    They are looked for in `anything`, which has faint places, too. Where a stroke crosses a
    line it stays whole.
    """
    if min(mask.shape) < 64:
        return mask
    for turned in (False, True):
        rules = _rules(anything.T if turned else anything)
        if not rules.any():
            continue
        kept = (mask.T if turned else mask) & ~rules
        # What goes on above and below the line.
        reach = np.ones((max(9, mask.shape[turned] // 80), 1), np.uint8)
        whole = cv2.morphologyEx(kept.astype(np.uint8), cv2.MORPH_CLOSE, reach) > 0
        kept |= whole & rules
        mask = kept.T if turned else kept
    return mask


def _rules(anything: Mask) -> Mask:
    """The ruled lines that cross the mask (H, W) from left to right."""
    dots = np.ascontiguousarray(anything).astype(np.uint8)
    length = dots.shape[1]
    run = max(24, length // 12)
    runs = cv2.morphologyEx(dots, cv2.MORPH_OPEN, np.ones((1, run), np.uint8))
    # Lines of photos tilt: their runs are linked across a few rows.
    linked = cv2.dilate(runs, np.ones((3, run), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(linked)
    rules = np.zeros(dots.shape, bool)
    for number, (x, y, wide, high, _) in enumerate(stats):
        place = np.s_[y : y + high, x : x + wide]
        part = (labels[place] == number) & (runs[place] > 0)
        thickness = part.sum() / wide
        leaves = int(y == 0 or y + high == len(dots))  # through the top or the bottom
        ends = int(x == 0) + int(x + wide == length) + leaves
        thin = thickness < 2 + length / 60 and high < 0.15 * length
        if number and thin and (wide >= 0.9 * length or (ends >= 2 and wide >= 0.25 * length)):
            rules[place] |= part
    # The edge of a line is fainter than its middle.
    return cv2.dilate(rules.astype(np.uint8), np.ones((3, 1), np.uint8)) > 0


def _marks(mask: Mask) -> tuple[list[Mark], NDArray[np.int32]]:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    marks = [
        Mark(int(x), int(y), int(x + wide), int(y + high), [number], int(area))
        for number, (x, y, wide, high, area) in enumerate(stats)
        if number
    ]
    return marks, labels


def _without_dirt(marks: list[Mark], mask: Mask) -> list[Mark]:
    """The marks that may be digits or parts of them: no specks, no edges of the sheet."""
    height, width = mask.shape

    def is_edge(mark: Mark) -> bool:
        sides = (mark.x0 == 0) + (mark.y0 == 0) + (mark.x1 == width) + (mark.y1 == height)
        return sides > 0 and (mark.width > 0.5 * width or mark.height > 0.5 * height)

    inner = [mark for mark in marks if not is_edge(mark) and not _is_solid(mark, mask)]
    size = _typical_height(inner)
    # A tight crop: the digit itself touches the edges.
    if size < 0.2 * height:
        tight = [m for m in marks if is_edge(m) and m.area < 0.6 * m.width * m.height]
        if tight and not any(m.height > 0.1 * height for m in inner):
            inner = marks
            size = _typical_height(inner)
    large = [mark for mark in inner if max(mark.width, mark.height) >= 0.3 * size]
    small = [
        mark
        for mark in inner
        if 0.08 * size <= max(mark.width, mark.height) < 0.3 * size
        and any(_gap(mark, other) < 0.15 * size for other in large)
    ]
    return large + small


def _is_solid(mark: Mark, mask: Mask) -> bool:
    """Whether it is a filled area rather than strokes: as thick as half its length."""
    part = mask[mark.y0 : mark.y1, mark.x0 : mark.x1].astype(np.uint8)
    length = max(part.shape)
    if mark.area < 0.25 * length**2 or length < 12:
        return False
    return 2 * cv2.distanceTransform(np.pad(part, 1), cv2.DIST_L2, 3).max() > 0.5 * length


def _typical_height(marks: list[Mark]) -> float:
    """The height that most ink has: the median over the marks, weighted by their area."""
    if not marks:
        return 0.0
    heights = np.array([max(mark.height, mark.width / 2) for mark in marks])
    weights = np.array([mark.area for mark in marks], float)
    order = heights.argsort()
    passed = weights[order].cumsum()
    return float(heights[order][np.searchsorted(passed, passed[-1] / 2)])


def _gap(one: Mark, other: Mark) -> float:
    """The distance between two boxes; 0 where they overlap."""
    x = max(one.x0 - other.x1, other.x0 - one.x1, 0)
    y = max(one.y0 - other.y1, other.y0 - one.y1, 0)
    return float(np.hypot(x, y))


def _cluster(marks: list[Mark], reach: float) -> Mark:
    """The largest mark and, joined to it, what lies within `reach` of its size, again and again."""
    whole = max(marks, key=lambda mark: mark.area)
    rest = [mark for mark in marks if mark is not whole]
    while True:
        distance = reach * max(whole.width, whole.height)
        near = [mark for mark in rest if _gap(mark, whole) <= distance]
        if not near:
            return whole
        rest = [mark for mark in rest if mark not in near]
        for mark in near:
            whole = whole.joined(mark)


def _joined(marks: list[Mark]) -> list[Mark]:
    """Marks of one digit joined: broken strokes, the bar of a 5, the two strokes of a 4."""
    size = _typical_height(marks)
    marks = sorted(marks, key=lambda mark: mark.x0)
    changed = True
    while changed:
        changed = False
        for index, one in enumerate(marks):
            for other in marks[index + 1 :]:
                if _belong_together(one, other, size):
                    marks = [m for m in marks if m is not one and m is not other]
                    marks.append(one.joined(other))
                    changed = True
                    break
            if changed:
                break
    return [mark for mark in marks if max(mark.height, mark.width) >= 0.35 * size]


def _belong_together(one: Mark, other: Mark, size: float) -> bool:
    common = min(one.x1, other.x1) - max(one.x0, other.x0)
    overlap = common / max(1, min(one.width, other.width))
    gap = max(one.y0 - other.y1, other.y0 - one.y1)
    whole = one.joined(other)
    if whole.height > 1.5 * size:
        return False
    fragment = min(one.height, other.height) < 0.6 * size
    if overlap > 0.5 and gap < 0.3 * size:
        return True
    return fragment and overlap > -0.15 and _gap(one, other) < 0.12 * size


def _rows(marks: list[Mark]) -> list[list[Mark]]:
    """Marks in rows from top to bottom, each from left to right; rows may slope."""
    rows: list[list[Mark]] = []
    for mark in sorted(marks, key=lambda mark: mark.x0):
        best, most = None, 0.3
        for row in rows:
            last = row[-1]
            common = min(mark.y1, last.y1) - max(mark.y0, last.y0)
            share = common / max(1, min(mark.height, last.height))
            if share > most:
                best, most = row, share
        if best is None:
            rows.append([mark])
        else:
            best.append(mark)
    return sorted(rows, key=lambda row: float(np.mean([m.y0 + m.y1 for m in row])))


def _glyph(mark: Mark, ink: Floats, labels: NDArray[np.int32]) -> Glyph:
    """The mark with a rim of one pixel, where a stroke fades out; no ink of other marks."""
    height, width = ink.shape
    x0, y0 = max(0, mark.x0 - 1), max(0, mark.y0 - 1)
    x1, y1 = min(width, mark.x1 + 1), min(height, mark.y1 + 1)
    own = np.isin(labels[y0:y1, x0:x1], mark.labels).astype(np.uint8)
    rim = cv2.dilate(own, np.ones((3, 3), np.uint8)) > 0
    return Glyph(ink[y0:y1, x0:x1] * rim, (x0, y0, x1, y1))


def frame(ink: Floats) -> NDArray[np.uint8]:
    """The ink of one digit, float32 (h, w) 0 to 1, as MNIST frames it: uint8 (28, 28).

    Scaled into a box of 20 × 20 pixels with its proportions kept, anti-aliased, its centre
    of mass in the middle. Thin strokes are made thicker first: they would fade away.
    """
    height, width = ink.shape
    scale = BOX / max(height, width)
    ink = _thickened(ink, scale)
    height, width = ink.shape
    scale = BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(ink, size, interpolation=method)
    peak = float(np.percentile(small, 99.5)) if small.size > 1 else 1.0
    small = np.clip(small / max(peak, 1e-6), 0, 1)
    total = float(small.sum()) or 1.0
    centre_x = float(small.sum(axis=0) @ np.arange(size[0])) / total
    centre_y = float(small.sum(axis=1) @ np.arange(size[1])) / total
    # Moved by whole pixels to within half a pixel of (14, 14), as all of MNIST is.
    x = int(np.clip(round(FRAME / 2 - centre_x), 0, FRAME - size[0]))
    y = int(np.clip(round(FRAME / 2 - centre_y), 0, FRAME - size[1]))
    result = np.zeros((FRAME, FRAME), np.uint8)
    result[y : y + size[1], x : x + size[0]] = (small * 255).round()
    return result


def _thickened(ink: Floats, scale: float) -> Floats:
    """The ink with strokes of at least 1.8 pixels of the frame (MNIST's have 2 to 4)."""
    solid = (ink > 0.5).astype(np.uint8)
    if not solid.any():
        return ink
    padded = np.pad(solid, 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)
    ridge = distance[(distance > 0) & (distance >= cv2.dilate(distance, np.ones((3, 3), np.uint8)))]
    thickness = 2 * float(np.median(ridge)) - 1
    missing = 1.8 / scale - thickness
    radius = round(missing / 2)
    if radius < 1:
        return ink
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(np.pad(ink, radius), kernel)


def halves(glyph: Glyph) -> list[tuple[Glyph, Glyph]]:
    """The glyph cut from top to bottom in two, at each of the places with the least ink.

    A place is a column, and the cut may lean by up to 20° either way, as writing does.
    """
    height, width = glyph.ink.shape
    ys = np.arange(height)[:, None]
    found = []
    for lean in (-0.35, -0.2, 0.0, 0.2, 0.35):
        offset = (lean * (ys - height / 2)).round().astype(int)
        xs = np.clip(np.arange(width)[None] + offset, 0, width - 1)
        crossed = np.take_along_axis(glyph.ink, xs, axis=1).sum(axis=0)
        low = cv2.erode(crossed[None], np.ones((1, max(3, height // 5)), np.uint8))[0]
        for x in np.flatnonzero(crossed <= low + 1e-6).tolist():
            if 0.15 * height <= x <= width - 0.15 * height:
                found.append((float(crossed[x]) + abs(lean), x, offset))
    found.sort(key=lambda item: item[:2])
    result = []
    for _, x, offset in found[:12]:
        side = np.arange(width)[None] < x + offset
        parts = [_trimmed(glyph, mask) for mask in (side, ~side)]
        if parts[0] and parts[1]:
            result.append((parts[0], parts[1]))
    return result


def _trimmed(glyph: Glyph, mask: Mask) -> Glyph | None:
    """The part of a glyph that the mask leaves, with its box; None where nothing is left."""
    ink = glyph.ink * mask
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return None
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    x0, x1 = int(columns[0]), int(columns[-1]) + 1
    left, top = glyph.box[:2]
    box = (left + x0, top + y0, left + x1, top + y1)
    return Glyph(ink[y0:y1, x0:x1], box)
