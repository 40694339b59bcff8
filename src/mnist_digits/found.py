"""Digits as the finder finds them in scenes: what the network that reads them is trained on, too.

They are framed from the finder's ink, cut where it cuts and blurred as it blurs, with every pen,
slant and form that scenes have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .canvas import Placed
from .finder import Finder, Glyph
from .framing import frame
from .glyphs import Glyphs
from .scenes import Scene, scene

if TYPE_CHECKING:
    from .dataset import Digits

# Of a scene with more: a table would outweigh everything else.
MOST_OF_A_SCENE = 6
# Less of what was found and what was drawn in common is another thing, or a part of a digit.
SAME = 0.6


def find_digits(finder: Finder, glyphs: Glyphs, count: int, seed: int) -> Digits:
    """So many digits, framed, that the finder finds in scenes with these glyphs."""
    import torch

    from .dataset import Digits

    frames: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    number = 0
    while len(frames) < count:
        random = np.random.default_rng((seed, number))
        made = scene(random, glyphs)
        pairs = matched(finder.find(made.pixels).glyphs, made)
        random.shuffle(pairs)
        for glyph, digit in pairs[:MOST_OF_A_SCENE]:
            if digit:
                frames.append(frame(glyph.ink))
                labels.append(digit.label)
        number += 1
    images = torch.from_numpy(np.stack(frames[:count]))[:, None]
    return Digits(images, torch.tensor(labels[:count]))


def matched(glyphs: list[Glyph], made: Scene) -> list[tuple[Glyph, Placed | None]]:
    """What was found in a scene, each with the digit that it is; None where it is none."""
    seen = np.unique(made.owner)
    digits = [digit for number, digit in enumerate(made.digits) if number in seen]
    pairs: list[tuple[Glyph, Placed | None]] = []
    for glyph in glyphs:
        shares = [_in_common(glyph.box, digit.box) for digit in digits]
        best = int(np.argmax(shares)) if shares else -1
        pairs.append((glyph, digits[best] if shares and shares[best] > SAME else None))
    return pairs


def _in_common(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The area that two boxes share, as a fraction of what they cover together."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    common = max(0.0, wide) * max(0.0, high)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return common / max(sum(areas) - common, 1e-9)
