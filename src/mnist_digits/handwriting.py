"""Digits drawn stroke by stroke, a batch at a time, on the device: also in forms that MNIST lacks.

MNIST's writers were Americans. Elsewhere a one has a flag, which may reach down to the line, and
a foot; a four is closed like the printed one, or drawn like a flash of lightning; a seven is
crossed; a nine curls like a g or stands on a straight leg. Here every form is a curve through a
few places, which are moved at random for each image.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

from .augmentation import distance, stroke

# digit: its forms. A form is written as the places that the pen passes, x and y from 0 to 9, y
# downwards; `!` makes a corner of a place, `|` lifts the pen.
FORMS = {
    0: ("50 22 06 29 59 87 94 72 50", "60 31 05 28 49 78 93 71 40 11"),
    1: (
        *("03 50! 59", "15 60! 69 | 39 99", "07 60! 59", "09 50! 69", "06 40! 49 89"),
        *("08 50! 39 79", "14 50! 59 | 19 99", "07 70! 49", "04 80! 69", "05 90! 59"),
    ),
    2: ("12 50 82 55! 09! 99", "12 50 82 46 19 08 17 49 99"),
    3: ("11 50 82 44! 85 69 08", "00! 90! 44! 85 69 09"),
    4: (
        *("60 06! 96! | 73 59", "60 06! 86! 69", "69 60! 06! 96", "59 70! 06! 96"),
        *("20 05! 95 | 70 69", "60 05 17 86! 79", "40 06! 96 | 74 69", "70 05! 95! 59"),
        *("50 14 06 56 95! 79", "80 71 25 07 96 | 73 59"),
    ),
    5: ("80 20! 14! 54 87 59 08", "90 30! 24 64 77 49 09"),
    6: ("70 24 06 39 87 65 17", "50 13 07 49 87 54 17"),
    7: (
        *("00! 90! 39 | 25 85", "02 00! 90! 49 | 24 84", "00! 90! 39", "03 11 40 90! 49 | 25 85"),
        "12 21 41 90! 19 | 15 85",
    ),
    8: ("71 40 12 45 87 59 18 45 82 71",),
    9: (
        *("82 50 12 45 82! 89", "82 50 12 45 82! 86 59 09", "72 40 11 34 72 85 69 09 08"),
        *("82 50 22 44 82! 39", "71 30 12 34 71 86 69 09! 89", "82 50 12 45 82! 59"),
        *(
            "61 40 21 23 44 61! 74 87 69 09",
            "71 50 31 33 54 63 71! 86 58 09",
            "82 51 22 45 82! 77 58 38",
        ),
    ),
}
# Straight pieces between two places: with fewer a bend looks broken.
PIECES = 3
# How far places are moved, as a deviation, where the digit is 1 high.
TREMBLE = 0.045


def draw(labels: Tensor) -> Tensor:
    """Drawn digits (N, 1, 28, 28), 0 to 255, framed about as in MNIST.

    Args:
        labels: int64 (N,), which digits; the form of each is drawn at random.
    """
    places, starts, ends, counts = (table.to(labels.device) for table in _forms())
    count, device = len(labels), labels.device
    forms = (torch.rand(count, device=device) * counts[labels]).long()
    paths = places[labels, forms]
    paths = paths + TREMBLE * torch.randn_like(paths)
    start, end = starts[labels, forms] @ paths, ends[labels, forms] @ paths
    pen = 0.6 + torch.rand(count, device=device)
    both = torch.cat([start, end], dim=1)
    low, high = both.amin(dim=1, keepdim=True), both.amax(dim=1, keepdim=True)
    # 20 pixels high with the pen; half as wide to as wide, some ones less.
    tall = 20 - 2 * pen
    share = 1 - torch.rand(count, device=device) * torch.where(labels == 1, 0.7, 0.5)
    size = torch.stack([share * tall, tall], dim=1)[:, None] / (high - low)
    # The centre of mass in the middle, as MNIST has it, as far as the frame allows.
    weight = ((end - start) * size).norm(dim=2, keepdim=True)
    middle = (weight * (start + end) / 2).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True)
    corner = torch.minimum(((low - middle) * size + 14).clamp_min(2), 26 - (high - low) * size)
    start, end = (start - low) * size + corner, (end - low) * size + corner
    distances = distance(start.flatten(0, 1), end.flatten(0, 1)).view(*start.shape[:2], 28, 28)
    return stroke(distances.amin(dim=1, keepdim=True), pen) * 255


@cache
def _forms() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All forms as tensors: places, the pieces' starts and ends as sums of places, and counts.

    Of shapes (10, F, P, 2), (10, F, S, P), (10, F, S, P) and (10,); places that a form lacks
    are 0, and pieces that it lacks are points where its first one starts.
    """
    parsed = {(d, f): _parse(text) for d, texts in FORMS.items() for f, text in enumerate(texts)}
    forms = max(map(len, FORMS.values()))
    most = max(len(places) for places, _, _ in parsed.values())
    pieces = max(len(starts) for _, starts, _ in parsed.values())
    places = torch.zeros(10, forms, most, 2)
    starts, ends = torch.zeros(2, 10, forms, pieces, most)
    for key, (points, first, last) in parsed.items():
        places[key][: len(points)] = points
        for table, rows in ((starts, first), (ends, last)):
            table[key][:, : len(points)] = first[0]
            table[key][: len(rows), : len(points)] = rows
    return places, starts, ends, torch.tensor([len(FORMS[digit]) for digit in range(10)])


def _parse(text: str) -> tuple[Tensor, Tensor, Tensor]:
    """A form's places (P, 2), 0 to 1, and its pieces' starts and ends (S, P) as sums of them."""
    words = [word for word in text.split() if word != "|"]
    points = torch.tensor([[int(word[0]), int(word[1])] for word in words]) / 9
    starts, ends, number = [], [], 0
    for passed in map(str.split, text.split("|")):
        count = len(passed)
        corners = [place for place, word in enumerate(passed) if word.endswith("!")]
        for first, last in pairwise(sorted({0, *corners, count - 1})):
            curve = _curve(last - first + 1, number + first, len(words))
            starts.append(curve[:-1])
            ends.append(curve[1:])
        number += count
    return points, torch.cat(starts), torch.cat(ends)


def _curve(count: int, first: int, total: int) -> Tensor:
    """A curve through `count` of `total` places, as sums of them: (pieces + 1, total).

    Catmull and Rom, "A Class of Local Interpolating Splines", 1974.
    """
    matrix = torch.tensor([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    steps = torch.arange((count - 1) * PIECES + 1) / PIECES
    result = torch.zeros(len(steps), total)
    for row, step in enumerate(steps.tolist()):
        span = min(int(step), count - 2)
        powers = torch.tensor([(step - span) ** power for power in range(4)])
        for offset, weight in zip(range(-1, 3), powers @ matrix, strict=True):
            result[row, first + min(max(span + offset, 0), count - 1)] += weight
    return result
