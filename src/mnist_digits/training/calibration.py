"""What turns the networks' answers into a confidence that can be relied on.

Everything is fitted on digits and scenes that no network was trained on; never on the test set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..data.dataset import Digits
from ..reading.reader import Reader
from .augmentation import augment
from .found import matched
from .negatives import negatives
from .recipe import Recipe
from .scenes.glyphs import load_glyphs
from .scenes.scene import scene

# Of the answers marked sure at most one in a thousand may be wrong. Chosen at that very limit, a
# threshold would miss it on new digits every other time: a quarter is left to chance.
SURE_ERRORS = 0.00075
# The share of the recipe's negatives that are not to be sure. Any answer to them is wrong, but
# there are as many of them as digits here; in use there are few.
DOUBTED_NEGATIVES = 0.99


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities that can be relied on.

    Attributes:
        temperature: divides the logits (Guo, Pleiss, Sun and Weinberger, "On Calibration of
            Modern Neural Networks", 2017).
        sure_above: the confidence from which on an answer is called sure.
    """

    temperature: float = 1.0
    sure_above: float = 0.9


def calibrate(model: nn.Module, recipe: Recipe, held_out: Digits) -> Calibration:
    """Fit temperature and threshold on digits that the network was not trained on.

    The temperature is the one of the least cross-entropy. The threshold is the lowest at which
    at most SURE_ERRORS of the sure answers to the digits are wrong, and at most one in a hundred
    of the recipe's negatives is sure; but never higher than 0.9999.
    """
    logits = _logits(model, held_out.images)
    temperatures = torch.logspace(-1.5, 1, 400)
    losses = [functional.cross_entropy(logits / t, held_out.labels).item() for t in temperatures]
    temperature = float(temperatures[losses.index(min(losses))])
    probabilities = (logits / temperature).softmax(dim=1)
    confidence, answers = probabilities.max(dim=1)
    wrong = answers != held_out.labels
    moved = replace(recipe, appearance=0.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        other = augment(negatives(held_out.images, held_out.labels), moved)
    doubtful = (_logits(model, other) / temperature).softmax(dim=1).amax(dim=1)
    at_digits = _threshold(confidence, wrong)
    at_negatives = float(doubtful.quantile(DOUBTED_NEGATIVES))
    return Calibration(temperature, _rounded_up(max(at_digits, at_negatives)))


def _threshold(confidence: Tensor, wrong: Tensor, most: float = SURE_ERRORS) -> float:
    """The lowest confidence above which at most a share of the answers is wrong."""
    order = confidence.argsort(descending=True)
    errors = wrong[order].cumsum(0)
    allowed = errors <= most * torch.arange(1, len(order) + 1)
    return float(confidence[order][allowed.nonzero()[-1, 0]]) if allowed.any() else 1.0


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(part).float() for part in images.split(1000)])


@dataclass(frozen=True)
class Certainty:
    """How the finder's view of a digit becomes a probability: a logistic function of its logit."""

    slope: float
    offset: float


CERTAIN = Certainty(0.0, 10.0)
"""That of a finder that is believed as it is."""

# Scenes to calibrate on: other ones than the finder, and the network that reads, learned from.
SCENES, STREAM = 4000, 2
# But not with these: a letter l or O, a scribbled ring are digits for all that one can see.
MISTAKEN = frozenset({"letters", "scribbles", "marks", "things", "none"})
# What has so much in common with a digit is that one, well or badly found.
SAME_DIGIT = 0.45
# Of the sure answers in scenes. More may be wrong than of SURE_ERRORS: many scenes are worse than
# what people would photograph, and some of their digits hardly legible.
SURE_SCENE_ERRORS = 0.01


def calibrate_reading(
    model: Path, held_out: Digits, calibration: Calibration
) -> tuple[Certainty, Calibration]:
    """Fit the finder's certainty, and the threshold again, on scenes with these digits.

    The certainty is the one of the greatest likelihood, where an answer is right if the ink is
    one digit's and the network reads it right. The threshold becomes the least one at which at
    most SURE_SCENE_ERRORS of the sure answers are wrong, but no less than it was.
    """
    answers = scene_answers(Reader.load(model, threads=1), held_out)
    reads, finds, right = torch.from_numpy(answers).T
    logits = torch.logit(finds.clamp(1e-4, 1 - 1e-4))
    weights = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200)

    def loss() -> Tensor:
        optimizer.zero_grad()
        probability = reads * torch.sigmoid(weights[0] * logits + weights[1])
        value = functional.binary_cross_entropy(probability, right)
        value.backward()
        return value

    optimizer.step(loss)
    slope, offset = weights.detach().tolist()
    confidence = reads * torch.sigmoid(slope * logits + offset)
    at_scenes = _threshold(confidence, right == 0, SURE_SCENE_ERRORS)
    sure_above = max(calibration.sure_above, _rounded_up(at_scenes))
    return Certainty(slope, offset), replace(calibration, sure_above=sure_above)


def _rounded_up(threshold: float) -> float:
    """With four digits after the point, but never to 1, which nothing would reach."""
    return min(math.ceil(10_000 * threshold) / 10_000, 0.9999)


def scene_answers(reader: Reader, digits: Digits) -> NDArray[np.float64]:
    """What is found in scenes with these digits: (N, 3).

    Of each the greatest of the ten probabilities, the finder's view, and whether it was read
    right, 1 or 0.
    """
    glyphs = load_glyphs(digits, 0)
    rows = []
    for number in range(SCENES):
        made = scene(np.random.default_rng((0, STREAM, number)), glyphs)
        if made.features & MISTAKEN:
            continue
        matches = matched(reader.finder.find(made.pixels).glyphs, made)
        read = reader.answers([match.glyph for match in matches])
        for match, answer in zip(matches, read, strict=True):
            right = match.common > SAME_DIGIT and match.label == answer.digit
            rows.append((float(answer.probabilities.max()), match.glyph.surely, float(right)))
    return np.array(rows)
