"""Digits drawn stroke by stroke, a batch at a time, on the device: also in forms that MNIST lacks.

MNIST's writers were Americans of the 1990s. Elsewhere a one has a flag, which may reach down to
the line, and a foot; a four is closed like the printed one, or drawn like a flash of lightning; a
seven is crossed; a five's bar stands apart from its body; and in church books of the 1700s and
1800s figures lean, wave and curl. Here every form is a curve through a few points, which are
moved at random for each image.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

# digit: kind: forms, with commas between, common ones first. A form is written as the points that
# the pen passes, x and y from 0 to 9, y downwards; `!` makes a point a corner, `|` lifts the pen.
# Strokes that stay apart are 3 apart: that leaves a gap of at least 2 pixels where a digit has 20.
FORMS = {
    0: {
        "closed": "50 22 06 29 59 87 94 72 50, 50 12 05 17 49 79 97 94 82 50, 60 23 16 39 67 83 60",
        "overlapping": "60 31 05 28 49 78 93 71 40 11, 71 40 12 06 28 59 87 84 72 50 22",
        "from the left": "21 50 83 86 59 18 04 12 41",
        "pointed": "50! 14 06 29 59 77 84 50!",
        "open": "41 13 06 28 59 87 94 82 70, 31 04 17 49 88 94 81 60",
        "looped": "70 22 06 28 59 87 84 71 41 33 63",
        "slashed": "50 22 06 29 59 87 94 72 50 | 81 18",
        "dotted": "50 12 06 29 59 87 94 72 50 | 44 55",
        "narrow": "50 33 26 39 59 67 73 60, 60 42 26 38 59 67 73 62 60",
    },
    1: {
        "flag": "04 50! 59, 05 50! 49, 24 50! 59, 14 60! 49",
        "flag and foot": "15 50! 59 | 19 89, 24 50! 59 | 29 79",
        "flag to the line": "07 50! 49, 19 60! 59, 07 60! 59 | 39 89",
        "long entry": "07 25 50! 49, 08 36 60! 49, 08 17 34 50! 49",
        "exit": "06 40! 48 69, 09 50! 48 79",
        "short flag": "32 50! 59, 43 60! 59",
        "bare": "50 59, 60 39, 60 54 49",
        "foot": "50 59 | 19 89, 60 49 | 29 79",
    },
    2: {
        "foot": "12 50 82 55! 09! 99, 03 20 70 82 19! 79, 12 50 82 55 19! 97",
        "loop at the foot": "12 50 82 46 19 08 17 49 99, 12 40 71 64 28 09 07 27 59 98",
        "loop at the head": "32 23 12 40 80 83 55 09! 99, 43 33 22 31 60 82 75 47 08! 38 69 98",
        "closed head": "52 43 31 50 72 64 37 09! 39 68 97, 53 33 21 40 71 73 55 27 09! 28 59 98",
        "loops": "33 12 40 81 64 28 09 07 38 69 98",
        "swan": "23 21 50 71 65 18 09! 99, 13 21 50 82 56 18! 37 69 98",
        "like a z": "02 20 80! 19! 99, 00! 90! 09! 99, 02 30 80! 09! 99 | 25 75",
    },
    3: {
        "round": "11 50 82 44! 85 69 08, 11 50 82 54 45 86 59 08, 12 40 72 34! 76 88 59 07",
        "flat top": "00! 90! 44! 85 69 09, 00! 80! 43! 74 97 69 08",
        "apart": "11 50 81 72 42 | 45 75 87 59 08, 00! 80! 52 | 45 76 79 49 08",
        "loop": "11 50 82 64 35 24 43 75 87 59 08",
        "curls": "22 11 40 81 44! 86 59 17, 11 50 82 44! 85 69 18 27",
    },
    4: {
        "closed": "60 06! 96 | 73 59, 69 60! 06! 96, 59 70! 06! 96, 40 06! 96 | 74 69",
        "printed": "70 06! 96 | 70! 79",
        "open": "20 05! 95 | 70 69, 00 05! 85 | 80 79, 10 04! 75 | 90 69, 10 03 25 64 | 80 79",
        "apart": "20 05! 45 | 90 79, 21 06! 46 | 82 79",
        "flash": "60 06! 86! 69, 70 05! 95! 59, 60 05! 84! 39",
        "looped": "60 05 17 86! 79, 50 14 06 56 95! 79, 80 71 25 07 96 | 73 59",
        "curl": "60 25 06 17 26 95 | 73 59",
        "like an h": "20 06! 55 74! 79, 30 07! 56 64! 59",
    },
    5: {
        "bar": "80 20! 14! 54 87 59 08, 90 30! 24 64 77 49 09, 80 30! 25 65 77 49 08",
        "long bar": "20 14! 54 67 39 08 | 20 90, 10 90 | 30 24! 55 67 49 08",
        "bar apart": "22 14! 55 87 59 08 | 40 90, 23 15! 55 87 59 08 | 30 90",
        "short bar apart": "11 15! 54 87 59 08 | 61 91",
        "flag apart": "23 15! 55 77 59 08 | 41 60 81 90",
        "like an s": "80 30 12 24 64 87 59 08, 90 40 12 14 54 77 59 08",
        "like a root": "04 15 39! 30! 90, 20! 25 44 57 49 08 | 20 90, 13 24 37 49! 50! 90",
    },
    6: {
        "bowl": "70 24 06 39 87 65 17, 50 13 07 49 87 54 17, 81 60 22 06 29 69 87 64 25 17",
        "straight": "60 26 17 39 78 75 45 17",
        "ascender": "90 53 16 29 59 67 46 27, 80 43 16 29 59 76 55 27",
        "curl": "91 70 32 06 29 69 86 55 16, 92 80 50 13 07 39 78 75 45 16",
        "spiral": "70 24 06 29 69 87 74 45 37 57",
        "open": "60 24 06 38 69 87 75 45",
    },
    7: {
        "bar": "00! 90! 39 | 25 85, 00! 80! 69 | 35 95, 00! 90! 54 39 | 26 85",
        "serif": "02 00! 90! 49 | 25 85, 02 00! 90! 54 39",
        "plain": "00! 90! 39, 00! 90! 54 49, 00! 80 91 54 39",
        "short bar": "30! 70 49 | 14 84, 12 30 70! 64 49 | 25 85",
        "wave": "02 10 40 90! 49 | 26 85, 01 20 51 80! 49 | 25 75, 01 20 61 90! 49",
    },
    8: {
        "from the right": "71 40 12 45 87 59 18 45 82 71, 60 31 34 65 77 49 17 45 82 60",
        "from the left": "21 50 82 55 17 49 87 54 12 21",
        "from the middle": "45 12 40 82 45 17 49 87 45",
        "circles": "50 22 44 72 50 | 44 17 59 87 44, 40 12 44 72 40 | 54 27 59 87 54",
        "open": "80 40 12 45 77 59 17 45 92, 40 12 45 87 59 18 45 82 71",
        "closed s": "80 30 12 45 87 59 17 45 71",
    },
    9: {
        "straight": "82 50 12 45 82! 89, 82 50 12 45 82! 59, 82 50 22 44 82! 39",
        "curved": "82 50 12 45 82! 86 59 09, 72 40 11 34 72 85 69 09 08",
        "curl": "71 30 12 34 71 86 69 09! 89, 71 40 12 34 63 71 86 69 28 17",
        "tail": "71 40 12 34 63 71 66 39 09",
        "open": "70 40 12 34 64 82! 69",
        "like a g": "61 40 21 23 44 61! 74 87 69 09, 71 50 31 33 54 63 71! 86 58 09",
        "open tail": "72 60 31 13 34 63 82 86 69 38 17, 71 50 22 23 44 72 75 67 49 18",
        "crossing": "53 71 50 31 23 44 66 68 49 37, 43 62 61 40 21 23 44 57 59 38",
        "like a p": "39 33 50 80 83 65 34, 19 33 51 70 83 74 45 34",
        "descender": "82 51 22 45 82! 77 58 38, 71 40 21 33 63 71! 68 39 18",
    },
}
# Line segments between two points of a curve: with fewer it looks broken.
PIECES = 3
# Standard deviation of a point's random displacement, for the steadiest hand and the shakiest, as
# a fraction of the digit's height.
STEADY, SHAKY = 0.015, 0.06
# Degrees that writing leans at most, either way; half of it leans an eighth of that or less.
SLANT = 35


def draw(labels: Tensor, forms: Tensor | None = None) -> Tensor:
    """Drawn digits (N, 1, 28, 28), 0 to 255, framed about as in MNIST.

    Args:
        labels: int64 (N,), which digits.
        forms: int64 (N,), which of each digit's forms; chosen at random if not given.
    """
    return rasterize(*strokes(labels, forms)) * 255


def write(form: str, count: int) -> Tensor:
    """`count` digits (N, 1, 28, 28), 0 to 255, in a form that is described as in `FORMS`.

    For a writer with a habit that is in no data set. Draws from torch's global random state.
    """
    points, starts, ends = _parse(form)
    paths = points.expand(count, -1, -1)
    return rasterize(*_written(paths, starts, ends, torch.rand(5, count))) * 255


def rasterize(start: Tensor, end: Tensor, pen: Tensor) -> Tensor:
    """Ink (N, 1, 28, 28), 0 to 1, of line segments in each image.

    Args:
        start, end: (N, S, 2), x and y of S segments, in pixels from the upper left corner.
        pen: (N,), half the width of the image's strokes in pixels.
    """
    return stroke(distances(start, end), pen)


def distances(start: Tensor, end: Tensor, zoom: int = 1) -> Tensor:
    """How far each pixel is from the nearest of the segments (N, S, 2), in pixels.

    Float32 (N, 1, 28 * zoom, 28 * zoom): each pixel is divided into zoom * zoom.
    """
    side = 28 * zoom
    line = (torch.arange(side, device=start.device) + 0.5) / zoom
    step_x, step_y = (end - start).flatten(0, 1).view(-1, 2, 1, 1, 1).unbind(1)
    corner = start.flatten(0, 1)
    x = line.view(1, 1, 1, side) - corner[:, 0].view(-1, 1, 1, 1)
    y = line.view(1, 1, side, 1) - corner[:, 1].view(-1, 1, 1, 1)
    squared = (step_x**2 + step_y**2).clamp_min(1e-3)
    along = (x * (step_x / squared) + y * (step_y / squared)).clamp(0, 1)
    each = torch.hypot(x - along * step_x, y - along * step_y)
    return each.view(*start.shape[:2], side, side).amin(dim=1, keepdim=True)


def stroke(distance: Tensor, pen: Tensor) -> Tensor:
    """Ink, 0 to 1, at these distances (N, 1, H, W) from the middle of a stroke, in pixels.

    Args:
        pen: (N,) or (N, 1, 1, 1), half the width of the stroke in pixels.
    """
    return torch.sigmoid(4 * (pen.view(-1, 1, 1, 1) - distance))


def with_flags(images: Tensor, labels: Tensor, share: float) -> Tensor:
    """The images (N, 1, 28, 28), a `share` of the ones with a flag, and half of these with a foot.

    In MNIST, from America, a one is a bare stroke; elsewhere many people write it as it is
    printed, and such ones are read as 7 or 2. Takes pixels from 0 to 255, gives float32.
    """
    ink = images.float() / 255
    count, device = len(ink), ink.device
    top, bottom = _ends(ink)
    angle, length = torch.rand(2, count, device=device)
    angle, length = 0.4 + 0.8 * angle, (0.2 + 0.3 * length) * (bottom - top)[:, 1]
    tip = top + length[:, None] * torch.stack([-angle.sin(), angle.cos()], dim=1)
    pen = 0.6 + 0.8 * torch.rand(count, device=device)
    flag = rasterize(top[:, None], tip[:, None], pen)
    half = torch.stack([2 + 4 * torch.rand(count, device=device), torch.zeros_like(pen)], dim=1)
    foot = rasterize((bottom - half)[:, None], (bottom + half)[:, None], pen)
    lottery = torch.rand(count, 1, 1, 1, device=device)
    chosen = (labels == 1).view(-1, 1, 1, 1) & (lottery < share)
    added = torch.where(lottery < share / 2, torch.maximum(flag, foot), flag)
    return torch.where(chosen, torch.maximum(ink, added), ink) * 255


def _ends(ink: Tensor) -> tuple[Tensor, Tensor]:
    """The upper and the lower end of the ink (N, 1, 28, 28): x and y in pixels, (N, 2) each."""
    rows = ink.sum(dim=3)
    centres = (ink * (torch.arange(28, device=ink.device) + 0.5)).sum(dim=3)
    centres = centres / rows.clamp_min(1e-3)
    inked = (rows > 1).int()
    top, bottom = inked.argmax(dim=2), 27 - inked.flip(2).argmax(dim=2)
    high, low = (
        torch.cat([centres.gather(2, row[:, None])[:, 0], row + 0.5], dim=1)
        for row in (top, bottom)
    )
    return high, low


def strokes(labels: Tensor, forms: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """The line segments of synthetic digits, for `rasterize`: start, end (N, S, 2) and pen (N,).

    Takes what `draw` takes.
    """
    points, starts, ends, counts = (table.to(labels.device) for table in _forms())
    draws = torch.rand(5, len(labels), device=labels.device)
    if forms is None:
        forms = _chosen(draws[0], counts[labels])
    return _written(points[labels, forms], starts[labels, forms], ends[labels, forms], draws)


def habit(device: torch.device | str = "cpu") -> Tensor:
    """The form in which one hand writes each digit, int64 (10,); chosen at random."""
    return _chosen(torch.rand(10), _forms()[3]).to(device)


def _chosen(draws: Tensor, counts: Tensor) -> Tensor:
    """For each draw from 0 to 1, one of so many forms."""
    # The power makes the last of twelve forms a third as frequent as the first.
    return (draws**1.5 * counts).long()


def _written(
    paths: Tensor, starts: Tensor, ends: Tensor, draws: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Line segments along paths (N, P, 2), each written by a hand and a pen of its own.

    Args:
        starts, ends: the weights of the paths' points in the segments, (N, S, P) or (S, P).
        draws: (5, N), from 0 to 1, of which the last four are used.
    """
    tremble = STEADY + (SHAKY - STEADY) * draws[1].view(-1, 1, 1)
    paths = paths + tremble * torch.randn_like(paths)
    # Between half and all of the width of the form, and slanted.
    wide = 1 - draws[2] / 2
    lean = torch.tan(torch.deg2rad(SLANT * (2 * draws[3] - 1) ** 3))
    x, y = paths.unbind(2)
    paths = torch.stack([wide[:, None] * x - lean[:, None] * y, y], dim=2)
    pen = 0.6 + draws[4]
    return *_framed(starts @ paths, ends @ paths, pen), pen


def _framed(start: Tensor, end: Tensor, pen: Tensor) -> tuple[Tensor, Tensor]:
    """Line segments (N, S, 2) of digits of any size, scaled and moved into the frame."""
    both = torch.cat([start, end], dim=1)
    low, high = both.amin(dim=1, keepdim=True), both.amax(dim=1, keepdim=True)
    # As in MNIST the longer side is 20 pixels, here with the pen,
    size = (20 - 2 * pen).view(-1, 1, 1) / (high - low).amax(dim=2, keepdim=True)
    # and the centre of mass in the middle, as far as the frame allows.
    weight = (end - start).norm(dim=2, keepdim=True)
    middle = (weight * (start + end) / 2).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True)
    corner = torch.minimum(((low - middle) * size + 14).clamp_min(2), 26 - (high - low) * size)
    return (start - low) * size + corner, (end - low) * size + corner


@cache
def _forms() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All forms as tensors: points, the weights of the segments' starts and ends, and counts.

    Of shapes (10, F, P, 2), (10, F, S, P), (10, F, S, P) and (10,): `weights @ points` are the
    coordinates of starts and ends. Points that a form lacks are 0; segments that it lacks have
    no length and lie where its first one starts.
    """
    texts = {digit: ", ".join(kinds.values()).split(", ") for digit, kinds in FORMS.items()}
    parsed = {(d, f): _parse(text) for d in texts for f, text in enumerate(texts[d])}
    forms = max(map(len, texts.values()))
    most = max(len(places) for places, _, _ in parsed.values())
    segments = max(len(first) for _, first, _ in parsed.values())
    points = torch.zeros(10, forms, most, 2)
    starts, ends = torch.zeros(2, 10, forms, segments, most)
    for key, (places, first, last) in parsed.items():
        points[key][: len(places)] = places
        for table, rows in ((starts, first), (ends, last)):
            table[key][:, : len(places)] = first[0]
            table[key][: len(rows), : len(places)] = rows
    return points, starts, ends, torch.tensor([len(texts[digit]) for digit in range(10)])


def _parse(text: str) -> tuple[Tensor, Tensor, Tensor]:
    """A form's points (P, 2), 0 to 1, and the weights (S, P) of its segments' starts and ends."""
    words = [word for word in text.split() if word != "|"]
    points = torch.tensor([[int(word[0]), int(word[1])] for word in words]) / 9
    starts, ends, number = [], [], 0
    for passed in map(str.split, text.split("|")):
        count = len(passed)
        corners = [index for index, word in enumerate(passed) if word.endswith("!")]
        for first, last in pairwise(sorted({0, *corners, count - 1})):
            curve = _curve(last - first + 1, number + first, len(words))
            starts.append(curve[:-1])
            ends.append(curve[1:])
        number += count
    return points, torch.cat(starts), torch.cat(ends)


def _curve(count: int, first: int, total: int) -> Tensor:
    """A spline through `count` of `total` points, from the `first` on, as weights of the points.

    (V, total), for V vertices. Catmull and Rom, "A Class of Local Interpolating Splines", 1974.
    """
    matrix = torch.tensor([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    pieces = PIECES if count > 2 else 1
    steps = torch.arange((count - 1) * pieces + 1) / pieces
    spans = steps.long().clamp(max=count - 2)[:, None]
    weights = (steps[:, None] - spans) ** torch.arange(4) @ matrix
    neighbours = first + (spans + torch.arange(-1, 3)).clamp(0, count - 1)
    return torch.zeros(len(steps), total).scatter_add(1, neighbours, weights)
