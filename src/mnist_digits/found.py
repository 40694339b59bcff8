"""Digits as the finder finds them in scenes: what the network that reads them is trained on, too.

They are framed from the finder's ink, cut where it cuts and blurred as it blurs, with every pen,
slant and form that scenes have.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from .canvas import SIDE, Placed
from .dataset import Digits
from .finder import Finder, Glyph
from .framing import frame
from .glyphs import Glyphs, load_glyphs
from .scenes import Scene, scene

# Of a scene with more: a table would outweigh everything else.
MOST_OF_A_SCENE = 6
# Other scenes than those that the finder is trained on.
FOUND_STREAM = 1
# Less of what was found and what was drawn in common is another thing, or a part of a digit.
SAME = 0.6


def with_found(digits: Digits, share: float, seed: int) -> Digits:
    """The digits, followed by a share of them, and of drawn ones, as the finder finds them."""
    glyphs = load_glyphs(digits, len(digits) // 3, seed)
    found = find_digits(Finder.load(threads=1), glyphs, round(share * len(digits)), seed)
    images = torch.cat([digits.images, found.images.to(digits.device)])
    return Digits(images, torch.cat([digits.labels, found.labels.to(digits.device)]))


def find_digits(finder: Finder, glyphs: Glyphs, count: int, seed: int) -> Digits:
    """So many digits, framed, that the finder finds in scenes with these glyphs."""
    frames: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    with tqdm(total=count, desc="digits in scenes", leave=False, disable=None) as bar:
        for number in itertools.count():
            if len(frames) >= count:
                break
            random = np.random.default_rng((seed, FOUND_STREAM, number))
            made = scene(random, glyphs)
            pairs = matched(finder.find(made.pixels).glyphs, made)
            random.shuffle(pairs)
            known = [(glyph, digit) for glyph, digit in pairs if digit][:MOST_OF_A_SCENE]
            frames += [frame(glyph.ink) for glyph, _ in known]
            labels += [digit.label for _, digit in known]
            bar.update(len(known))
    images = torch.from_numpy(np.stack(frames[:count]))[:, None]
    return Digits(images, torch.tensor(labels[:count]))


def matched(
    glyphs: list[Glyph], made: Scene, same: float = SAME
) -> list[tuple[Glyph, Placed | None]]:
    """What was found in a scene, each with the digit that it is; None where it is none.

    What does not count there, as little is seen of it, is left out.
    """
    seen = np.unique(made.owner)
    digits = [digit for number, digit in enumerate(made.digits) if number in seen]
    boxes = [_filled(digit.box) for digit in digits]
    pairs: list[tuple[Glyph, Placed | None]] = []
    for glyph in glyphs:
        x0, y0, x1, y1 = (round(side) for side in glyph.box)
        owners = made.owner[y0:y1, x0:x1]
        if (owners == -2).sum() > (owners >= 0).sum():
            continue
        shares = [_in_common(_filled(glyph.box), box) for box in boxes]
        best = int(np.argmax(shares)) if shares else -1
        pairs.append((glyph, digits[best] if shares and shares[best] > same else None))
    return pairs


def _filled(box: tuple[float, ...]) -> tuple[float, ...]:
    """The part of a box that lies in the picture, made at least half as wide as it is high.

    The breadth of a 1 is that of the pen, and hardly to be found exactly.
    """
    x0, y0, x1, y1 = (min(max(side, 0), SIDE) for side in box)
    more = max(0.0, (y1 - y0) / 2 - (x1 - x0)) / 2
    return x0 - more, y0, x1 + more, y1


def _in_common(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The area that two boxes share, as a fraction of what they cover together."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    common = max(0.0, wide) * max(0.0, high)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return common / max(sum(areas) - common, 1e-9)
