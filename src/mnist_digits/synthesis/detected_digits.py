"""Digits detected in scenes, as further training images for the classifier.

In use the classifier reads the ink of detections; these images have the errors of detection, and
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
from ..reading.mnist_frame import FRAME
from .canvas import HIDDEN, SIDE
from .scene import Scene, scene
from .templates import Templates, load_templates

# Digits taken from one scene at most: otherwise tables would outweigh everything else.
MAX_PER_SCENE = 6
# Part of the seed, so that these scenes differ from those that the detector learns from.
DETECTED_STREAM = 1
# Intersection over union of the boxes of a detection and of a digit of the scene. Above SAME it
# is that digit, below OTHER it is no digit. What lies in between is left out.
SAME, OTHER = 0.6, 0.25
# Scenes with these give no out-of-distribution examples: some letters and scribbles look like one.
WRITTEN = frozenset({"letters", "scribbles"})


def with_detected(digits: Digits, ratio: float, seed: int) -> tuple[Digits, Tensor]:
    """The digits, and `ratio` times as many detected in scenes; and detections of other things.

    The scenes are made with the digits and with synthetic ones. The other things have no labels:
    uint8 (N, 1, 28, 28).
    """
    templates = load_templates(digits, len(digits) // 3, seed)
    detected, others = detect_digits(
        Detector.load(threads=1), templates, round(ratio * len(digits)), seed
    )
    device = digits.device
    images = torch.cat([digits.images, detected.images.to(device)])
    return Digits(images, torch.cat([digits.labels, detected.labels.to(device)])), others.to(device)


def detect_digits(
    detector: Detector, templates: Templates, count: int, seed: int
) -> tuple[Digits, Tensor]:
    """`count` digits detected in scenes with these templates; and detections of other things.

    Both are framed as the classifier takes them; the other things are uint8 (N, 1, 28, 28).
    """
    frames: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    others: list[NDArray[np.uint8]] = []
    with tqdm(total=count, desc="digits in scenes", leave=False, disable=None) as bar:
        for number in itertools.count():
            if len(frames) >= count:
                break
            random = np.random.default_rng((seed, DETECTED_STREAM, number))
            made = scene(random, templates)
            detections, _ = detector.detect(made.pixels)
            pairs = matched(detections.chosen(detections.scores > READ), made)
            random.shuffle(pairs)
            known = [pair for pair in pairs if pair.common > SAME][:MAX_PER_SCENE]
            frames += [pair.frame for pair in known]
            labels += [pair.label for pair in known]
            if not made.features & WRITTEN:
                none = [pair for pair in pairs if pair.common < OTHER][:MAX_PER_SCENE]
                others += [pair.frame for pair in none]
            bar.update(len(known))
    digits = Digits(_images(frames[:count]), torch.tensor(labels[:count]))
    return digits, _images(others)


def _images(frames: list[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.array(frames, np.uint8).reshape(-1, 1, FRAME, FRAME))


@dataclass(frozen=True)
class Match:
    """A detection in a scene, and the digit of the scene whose box fits best.

    Attributes:
        number: of the detection.
        frame: uint8 (28, 28), its ink framed as in MNIST.
        label: of that digit; -1 if the scene has none.
        common: intersection over union of the two boxes.
    """

    number: int
    frame: NDArray[np.uint8]
    label: int
    common: float


def matched(detections: Detections, made: Scene) -> list[Match]:
    """Match detections with the digits of the scene.

    What lies mostly on digits that do not count (`Scene.owner`) is left out.
    """
    seen = np.unique(made.owner)
    digits = [digit for number, digit in enumerate(made.digits) if number in seen]
    boxes = [_filled(digit.box) for digit in digits]
    matches: list[Match] = []
    for number, box in enumerate(detections.boxes.tolist()):
        x0, y0, x1, y1 = (round(side) for side in box)
        owners = made.owner[y0:y1, x0:x1]
        if (owners == HIDDEN).sum() > (owners >= 0).sum():
            continue
        shares = [_in_common(_filled(box), other) for other in boxes]
        best = int(np.argmax(shares)) if shares else -1
        label, common = (digits[best].label, shares[best]) if shares else (-1, 0.0)
        matches.append(Match(number, detections.frames[number], label, common))
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
