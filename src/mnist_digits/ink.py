"""Where there is ink in a picture, and how much.

    pixels (H, W, 3) -> ink (H, W) from 0 to 1, and a mask of the places that belong to strokes

Nothing here knows what a digit looks like. Ink is what is darker (or lighter) than the paper
around it, so that shadows, coloured paper, chalk on a board and faint pencils do not matter.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

# Ink is at least so much darker than paper, as a fraction of the paper's brightness ...
LEAST_CONTRAST = 0.035
# ... and so many times what the paper itself varies (standard deviations) ...
LEAST_SIGNAL = 5.0
# ... and this fraction of the strongest ink near by; what fades from there goes on to the other.
EDGE, FADING = 0.4, 0.2


def find_ink(
    pixels: NDArray[np.uint8], inverted: bool = False, plain: bool = False
) -> tuple[Floats, Mask]:
    """How strongly each pixel of (H, W, 3) is inked, float32 (H, W) 0 to 1, and where ink is.

    Whether ink is darker or lighter than paper is found out; `inverted` takes the other one.
    With `plain`, paper is the one level that `is_plain` has found, and all else may be ink.
    """
    grey = _grey(pixels)
    if plain:
        depth = _depth_on_plain(grey)
        least = np.full_like(depth, LEAST_CONTRAST)
    else:
        depth = _depth(grey, inverted)
        least = np.maximum(LEAST_CONTRAST, LEAST_SIGNAL * _grain(depth))
    peak = float(depth.max())
    if not (depth > least).any():
        return np.zeros_like(depth), np.zeros(depth.shape, bool)
    near = _strongest_near(depth, peak)
    strong = _without_rules(depth > np.maximum(least, EDGE * near), depth > least)
    mask = _grown(strong, depth > np.maximum(least, FADING * near))
    return np.clip(depth / near, 0, 1), mask


def is_covered(pixels: NDArray[np.uint8], ink: Floats) -> bool:
    """Whether the ink (H, W) is all that stands out from the ground, not just parts of it.

    Of a solid thing as large as a shirt on a picture `find_ink` finds the edges. Told only where
    the ground is of one level, as in drawings; of photos nothing is known, which gives True.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    counts = np.bincount(grey.ravel(), minlength=256)
    ground = int(counts.argmax())
    if counts[ground] < 0.15 * grey.size:
        return True
    offsets = cv2.absdiff(grey, np.full_like(grey, ground))
    standing = offsets > 0.25 * float(offsets.max())
    rim = 1 + 2 * (min(grey.shape) // 100)
    around = cv2.dilate((ink > 0.15).astype(np.uint8), np.ones((rim, rim), np.uint8)) > 0
    return bool((standing & ~around).sum() <= 0.1 * standing.sum())


def find_sheets(pixels: NDArray[np.uint8]) -> list[tuple[NDArray[np.uint8], int, int]]:
    """The light sheet on a darker table that (H, W, 3) may show, and the dark one on a lighter.

    Each alone, with where its left upper corner lies: x, y. What is not sheet is painted over.
    """
    small = _reduced(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), 400)
    # A median over twice the width of a stroke leaves out the writing, which has a third level.
    window = max(3, min(small.shape) // 12) | 1
    _, light = cv2.threshold(cv2.medianBlur(small, window), 0, 1, cv2.THRESH_OTSU)
    shapes = [shape for shape in (_sheet(light), _sheet(1 - light)) if shape is not None]
    sheets = []
    for shape in shapes:
        sheet = cv2.resize(shape, pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        x, y, wide, high = cv2.boundingRect(sheet)
        place = np.s_[y : y + high, x : x + wide]
        inside, part = sheet[place] > 0, pixels[place].copy()
        part[~inside] = np.median(part[inside], axis=0)
        sheets.append((part, x, y))
    return sheets


def _sheet(mask: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """The largest piece of the mask (H, W), without its rim, if it is a sheet on a table.

    It is convex, covers a sixth of the picture at least, and around it is hardly any of the mask.
    """
    edges, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    edge = max(edges, key=cv2.contourArea, default=None)
    if edge is None:
        return None
    hull = cv2.convexHull(edge)
    sheet = cv2.fillConvexPoly(np.zeros_like(mask), hull, 1)
    table = sheet == 0
    full = cv2.contourArea(edge) > 0.9 * cv2.contourArea(hull) and sheet.mean() > 0.15
    if not full or table.mean() < 0.1 or mask[table].mean() > 0.1:
        return None
    # The edge is not sharp, and lies a pixel off where it was reduced.
    rim = 1 + 2 * max(2, min(mask.shape) // 80)
    return cv2.erode(sheet, np.ones((rim, rim), np.uint8))


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
    if all(np.array_equal(pixels[:, :, 0], pixels[:, :, other]) for other in (1, 2)):
        return grey
    colours = _reduced(pixels, 200).reshape(-1, 3).astype(np.float32) / 255
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


def is_plain(pixels: NDArray[np.uint8]) -> bool:
    """Whether most of the rim of (H, W, 3) is of one level, and enough of the rest, as in drawings.

    Of photos not even overexposed paper is so plain, unless there is no shadow on it at all. What
    crosses the rim again and again are the lines of ruled paper.
    """
    levels = _levels(_grey(pixels))
    ground = levels == np.bincount(_rim(levels)).argmax()
    rim = _rim(ground)
    crossings = np.count_nonzero(rim[1:] != rim[:-1]) // 2
    clean, share = float(rim.mean()), float(ground.mean())
    # A bold digit in a tight crop leaves little of the ground, but the rim; a large one touches it.
    enough = (clean >= 0.95 and share >= 0.15) or (clean >= 0.7 and share >= 0.5)
    return crossings <= 4 and enough


def _levels(grey: Floats) -> NDArray[np.uint8]:
    return (grey * 255).astype(np.uint8)


def _rim(values: NDArray[Any]) -> NDArray[Any]:
    """What lies along the four sides of (H, W), once around."""
    return np.concatenate([values[0], values[:, -1], values[-1, ::-1], values[::-1, 0]])


def _depth_on_plain(grey: Floats) -> Floats:
    """How much darker or lighter than the plain ground each place is, as `_depth` has it.

    Ink is what there is more of: darker places or lighter ones.
    """
    rim = _rim(grey)
    levels = _levels(rim)
    ground = float(np.median(rim[levels == np.bincount(levels).argmax()]))
    offsets = ground - grey
    if float(np.einsum("ij,ij,ij", offsets, offsets, offsets)) < 0:
        offsets, ground = -offsets, 1 - ground
    return np.clip(offsets / max(ground, 0.4), 0, 1)


def _depth(grey: Floats, inverted: bool) -> Floats:
    """How much darker than its paper each place is, as a fraction; light ink is turned dark.

    Paper is what remains of the picture when everything dark and narrower than a third of
    it is filled up from its surroundings (a morphological closing): it follows shadows and
    the edges of a sheet. A fraction, because a shadow dims ink and paper alike.
    """
    side = min(grey.shape)
    if side > 100:
        grey = cv2.GaussianBlur(grey, (0, 0), max(0.8, side / 1000))
    grey = _evenly_lit(grey)
    if _is_light_on_dark(grey) != inverted:
        grey = 1 - grey
    small = _reduced(grey, 400)
    size = max(3, min(small.shape) // 3) | 1
    # From outside comes nothing, so that ink at the rim counts as ink.
    paper = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
    paper = cv2.blur(paper, (3, 3))
    paper = _enlarged(paper, grey)
    # Not below two fifths: what is nearly black has more grain than light.
    return np.clip((paper - grey) / np.maximum(paper, 0.4), 0, 1)


def _evenly_lit(grey: Floats) -> Floats:
    """The picture without the slow change of light across it: a quadratic surface, taken off.

    Fitted by least squares, three times, each with less weight on what lies far from the last one:
    ink, and whatever is not paper. A closing alone would take dark corners for ink.
    """
    small = _reduced(grey, 40)
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
    surface = (terms @ factors).reshape(small.shape).astype(np.float32)
    surface -= np.median(surface)
    return np.clip(grey - _enlarged(surface, grey), 0, 1)


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
    levels = (_reduced(grey, 120) * 255).astype(np.uint8)
    vote = 0.0
    for part in (2, 4, 8):
        window = min(levels.shape) // part | 1
        if part > 2 and window < 15:
            break  # no wider than a bold stroke
        offsets = levels.astype(np.float64) - cv2.medianBlur(levels, max(window, 3))
        vote += float((offsets**3).sum() / max((np.abs(offsets) ** 3).sum(), 1.0))
    return vote > 0


def _grain(depth: Floats) -> Floats:
    """How much the paper varies around each place: strokes are too few to count.

    The standard deviation in small squares, of which two fifths around are quieter.
    """
    if max(depth.shape) <= 100:
        return np.zeros_like(depth)
    mean, square = _reduced(depth, 100), _reduced(depth * depth, 100)
    deviation = np.sqrt(np.maximum(square - mean * mean, 0))
    # Where everything is a bit darker than its surroundings nothing is ink: the mean counts,
    # too, but only over large windows; of small ones a bold digit may cover most.
    noise = [_percentile(deviation + mean, 2, 40), _percentile(deviation, 4, 50)]
    return np.maximum(_enlarged(noise[0], depth), _enlarged(noise[1], depth))


def _percentile(values: Floats, part: int, percent: float) -> Floats:
    """The percentile of the values in windows of a part of the picture, at some places."""
    window = max(1, min(values.shape) // part)
    windows = np.lib.stride_tricks.sliding_window_view(values, (window, window))
    step = max(1, window // 6)
    flat = windows[::step, ::step].reshape(*windows[::step, ::step].shape[:2], -1)
    rank = round(percent / 100 * (flat.shape[2] - 1))
    return np.partition(flat, rank, axis=2)[:, :, rank]


def _strongest_near(depth: Floats, peak: float) -> Floats:
    """The depth of the strongest ink around each place, of a part of the peak at least."""
    small = _reduced(depth, 200)
    size = max(3, min(small.shape) // 4) | 1
    near = cv2.dilate(small, np.ones((size, size), np.uint8))
    near = cv2.blur(near, (size, size))
    # On a small picture there is no room for light that differs, only for one digit or a few.
    floor = 0.25 if max(depth.shape) > 100 else 0.5
    return np.maximum(_enlarged(near, depth), floor * peak)


def _without_rules(mask: Mask, anything: Mask) -> Mask:
    """The mask of ink without ruled lines: straight, thin, from one side to the other.

    They are looked for in `anything`, which has faint places, too. Where a stroke crosses a
    line it stays whole.
    """
    if min(mask.shape) < 64:
        return mask
    for turned in (False, True):
        rules = _rules(anything.T if turned else anything)
        if rules is None:
            continue
        kept = (mask.T if turned else mask) & ~rules
        # What goes on above and below the line.
        reach = np.ones((max(9, mask.shape[turned] // 80), 1), np.uint8)
        whole = cv2.morphologyEx(kept.astype(np.uint8), cv2.MORPH_CLOSE, reach) > 0
        kept |= whole & rules
        mask = kept.T if turned else kept
    return mask


def _rules(anything: Mask) -> Mask | None:
    """The ruled lines that cross the mask (H, W) from left to right, if there are any."""
    dots = np.ascontiguousarray(anything).astype(np.uint8)
    length = dots.shape[1]
    run = max(24, length // 12)
    runs = cv2.morphologyEx(dots, cv2.MORPH_OPEN, np.ones((1, run), np.uint8))
    margin = max(1, length // 10)
    if not (runs[:, :margin].any() or runs[:, -margin:].any()):
        return None  # one that counts comes near a side at least
    # Lines of photos tilt: their runs are linked across a few rows.
    linked = cv2.dilate(runs, np.ones((3, run), np.uint8))
    labels, stats = pieces(linked)
    rules = np.zeros(dots.shape, bool)
    for number, (x, y, wide, high, _) in list(enumerate(stats))[1:]:
        place = np.s_[y : y + high, x : x + wide]
        part = (labels[place] == number) & (runs[place] > 0)
        thickness = part.sum() / wide
        leaves = int(y == 0 or y + high == len(dots))  # through the top or the bottom
        ends = int(x == 0) + int(x + wide == length) + leaves
        thin = thickness < 2 + length / 60 and high < 0.15 * length
        if thin and (wide >= 0.9 * length or (ends >= 2 and wide >= 0.25 * length)):
            rules[place] |= part
    if not rules.any():
        return None
    # The edge of a line is fainter than its middle.
    return cv2.dilate(rules.astype(np.uint8), np.ones((3, 1), np.uint8)) > 0


def pieces(mask: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The connected pieces of a mask (H, W): each pixel's number, and of each x, y, w, h, area.

    Number 0 is the ground. Grana's algorithm takes a third of the time of OpenCV's usual one.
    """
    dots = mask.astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
        dots, 8, cv2.CV_32S, cv2.CCL_GRANA
    )
    return labels, stats


def _reduced(image: NDArray[Any], longest: int) -> NDArray[Any]:
    """The image with its longer side of so many pixels at most, each the mean of its area."""
    reach = longest / max(image.shape[:2])
    if reach >= 1:
        return image
    height, width = (max(1, round(side * reach)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _enlarged(image: Floats, like: Floats) -> Floats:
    return cv2.resize(image, like.shape[::-1], interpolation=cv2.INTER_LINEAR)
