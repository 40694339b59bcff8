"""Digits found in scenes, as further training images for the classifier.

In use the classifier reads the ink that is found; these images have the errors of finding, and
all the pens, slants and forms of scenes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from ..data.dataset import Digits
from ..reading.detection import READ, Detections, Detector
from ..reading.framing import FRAME
from .scenes.canvas import HIDDEN, SIDE
from .scenes.glyphs import Glyphs, load_glyphs
from .scenes.scene import Scene, scene

# Digits taken from one scene at most: otherwise tables would outweigh everything else.
MOST_OF_A_SCENE = 6
# Part of the seed, so that these scenes differ from those that the detector learns from.
FOUND_STREAM = 1
# Intersection over union of the boxes of what was found and of a digit of the scene. Above SAME it
# is that digit, below OTHER it is no digit. What lies in between is left out.
SAME, OTHER = 0.6, 0.25
# Scenes with these give no examples of what is no digit: some letters and scribbles look like one.
WRITTEN = frozenset({"letters", "scribbles"})


def with_found(digits: Digits, share: float, seed: int) -> tuple[Digits, Tensor]:
    """The digits, and `share` times as many found in scenes; and what was found but is not a digit.

    The scenes are made with the digits and with synthetic ones. What is not a digit has no label:
    uint8 (N, 1, 28, 28).
    """
    glyphs = load_glyphs(digits, len(digits) // 3, seed)
    found, others = find_digits(Detector.load(threads=1), glyphs, round(share * len(digits)), seed)
    device = digits.device
    images = torch.cat([digits.images, found.images.to(device)])
    return Digits(images, torch.cat([digits.labels, found.labels.to(device)])), others.to(device)


def find_digits(detector: Detector, glyphs: Glyphs, count: int, seed: int) -> tuple[Digits, Tensor]:
    """`count` digits found in scenes with these glyphs; and what was found but is not a digit.

    Both are framed as the classifier takes them; what is not a digit is uint8 (N, 1, 28, 28).
    """
    frames: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    others: list[NDArray[np.uint8]] = []
    with tqdm(total=count, desc="digits in scenes", leave=False, disable=None) as bar:
        for number in itertools.count():
            if len(frames) >= count:
                break
            random = np.random.default_rng((seed, FOUND_STREAM, number))
            made = scene(random, glyphs)
            found, _ = detector.find(made.pixels)
            pairs = matched(found.chosen(found.scores > READ), made)
            random.shuffle(pairs)
            known = [pair for pair in pairs if pair.common > SAME][:MOST_OF_A_SCENE]
            frames += [pair.frame for pair in known]
            labels += [pair.label for pair in known]
            if not made.features & WRITTEN:
                none = [pair for pair in pairs if pair.common < OTHER][:MOST_OF_A_SCENE]
                others += [pair.frame for pair in none]
            bar.update(len(known))
    digits = Digits(_images(frames[:count]), torch.tensor(labels[:count]))
    return digits, _images(others)


def _images(frames: list[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.array(frames, np.uint8).reshape(-1, 1, FRAME, FRAME))


@dataclass(frozen=True)
class Match:
    """What was found in a scene, and the digit of the scene whose box fits best.

    Attributes:
        number: of what was found.
        frame: uint8 (28, 28), its ink framed as in MNIST.
        label: of that digit; -1 if the scene has none.
        common: intersection over union of the two boxes.
    """

    number: int
    frame: NDArray[np.uint8]
    label: int
    common: float


def matched(found: Detections, made: Scene) -> list[Match]:
    """Match what was found with the digits of the scene.

    What lies mostly on digits that do not count (`Scene.owner`) is left out.
    """
    seen = np.unique(made.owner)
    digits = [digit for number, digit in enumerate(made.digits) if number in seen]
    boxes = [_filled(digit.box) for digit in digits]
    matches: list[Match] = []
    for number, box in enumerate(found.boxes.tolist()):
        x0, y0, x1, y1 = (round(side) for side in box)
        owners = made.owner[y0:y1, x0:x1]
        if (owners == HIDDEN).sum() > (owners >= 0).sum():
            continue
        shares = [_in_common(_filled(box), other) for other in boxes]
        best = int(np.argmax(shares)) if shares else -1
        label, common = (digits[best].label, shares[best]) if shares else (-1, 0.0)
        matches.append(Match(number, found.frames[number], label, common))
    return matches


def _filled(box: tuple[float, ...]) -> tuple[float, ...]:
    """The part of a box that lies in the picture, widened to at least half its height.

    A 1 is as wide as the pen: an error of a pixel would halve the intersection over union.
    """
    x0, y0, x1, y1 = (min(max(side, 0), SIDE) for side in box)
    more = max(0.0, (y1 - y0) / 2 - (x1 - x0)) / 2
    return x0 - more, y0, x1 + more, y1


def _in_common(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union of two boxes."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    common = max(0.0, wide) * max(0.0, high)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return common / max(sum(areas) - common, 1e-9)
