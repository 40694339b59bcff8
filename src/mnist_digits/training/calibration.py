"""Calibrated confidences: temperature, the threshold of `sure`, and the finder's certainty.

Everything is fitted on digits and scenes that no network was trained on; never on the test set.
A network whose recipe has a `calibration_fraction` has its temperature already.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..data.dataset import Digits
from ..reading.reader import Reader
from .augmentation import augment
from .evaluation import Evaluation, logits_of
from .found import matched
from .model import DigitNet, Ensemble
from .negatives import negatives
from .recipe import Recipe
from .scenes.glyphs import load_glyphs
from .scenes.scene import scene
from .temperature import fit_temperature

# Of the answers marked sure at most one in a thousand may be wrong. A threshold fitted to exactly
# that would exceed it on every other set of new digits: a quarter less leaves room for chance.
SURE_ERRORS = 0.00075
# The fraction of the recipe's negatives that must not be sure. Any answer to them is wrong, but
# there are as many of them as digits here; in use there are few.
DOUBTED_NEGATIVES = 0.99


@dataclass(frozen=True)
class Calibration:
    """How logits become calibrated probabilities, and which of them count as sure.

    Attributes:
        temperature: that of the network: divides its logits as they come from its last layer.
        sure_above: the least confidence of an answer that is marked sure.
    """

    temperature: float = 1.0
    sure_above: float = 0.9


def calibrate(model: DigitNet | Ensemble, recipe: Recipe, held_out: Digits) -> Calibration:
    """Fit temperature and threshold on digits that the network was not trained on.

    A network that has a temperature other than 1 keeps it. The threshold is the lowest at which
    at most SURE_ERRORS of the sure answers to the digits are wrong, and at most one in a hundred
    of the recipe's negatives is sure; but never higher than 0.9999.
    """
    logits, own = logits_of(model, held_out.images), float(model.temperature)
    missing = fit_temperature(logits, held_out.labels) if own == 1 else 1.0
    probabilities = (logits / missing).softmax(dim=1)
    confidence, answers = probabilities.max(dim=1)
    wrong = answers != held_out.labels
    moved = replace(recipe, appearance=0.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        other = augment(negatives(held_out.images, held_out.labels), moved)
    doubtful = (logits_of(model, other) / missing).softmax(dim=1).amax(dim=1)
    at_digits = _threshold(confidence, wrong)
    at_negatives = float(doubtful.quantile(DOUBTED_NEGATIVES))
    return Calibration(own * missing, _rounded_up(max(at_digits, at_negatives)))


def _threshold(confidence: Tensor, wrong: Tensor, most: float = SURE_ERRORS) -> float:
    """The lowest confidence from which on at most the fraction `most` of the answers is wrong."""
    order = confidence.argsort(descending=True)
    errors = wrong[order].cumsum(0)
    allowed = errors <= most * torch.arange(1, len(order) + 1)
    return float(confidence[order][allowed.nonzero()[-1, 0]]) if allowed.any() else 1.0


def raised(calibration: Calibration, evaluation: Evaluation) -> Calibration:
    """With a higher threshold, if more than one in a hundred of the sure answers is wrong.

    For answers to a user's pictures, of which some labels may be wrong, at the calibration's
    temperature.
    """
    wrong = evaluation.predictions != evaluation.labels
    sure = evaluation.confidence >= calibration.sure_above
    if int((wrong & sure).sum()) <= SURE_SCENE_ERRORS * int(sure.sum()):
        return calibration
    at_pictures = _threshold(evaluation.confidence, wrong, SURE_SCENE_ERRORS)
    return replace(calibration, sure_above=max(calibration.sure_above, _rounded_up(at_pictures)))


@dataclass(frozen=True)
class Certainty:
    """Platt scaling of the finder's probability p: sigmoid(slope * logit(p) + offset).

    Platt, "Probabilistic Outputs for Support Vector Machines", 1999.
    """

    slope: float
    offset: float


CERTAIN = Certainty(0.0, 10.0)
"""Takes every digit of the finder for certain: its probability is ignored."""

# How many scenes to calibrate on, and a seed of their own: neither network has learned from them.
SCENES, STREAM = 4000, 2
# Scenes with these are left out: a letter l or O, or a scribbled ring, looks just like a digit.
MISTAKEN = frozenset({"letters", "scribbles", "marks", "things", "none"})
# The least intersection over union of boxes at which what was found counts as the scene's digit.
SAME_DIGIT = 0.45
# Of the sure answers in scenes. More may be wrong than of SURE_ERRORS: many scenes are worse than
# what people would photograph, and some of their digits hardly legible.
SURE_SCENE_ERRORS = 0.01


def calibrate_reading(
    model: Path, held_out: Digits, calibration: Calibration
) -> tuple[Certainty, Calibration]:
    """Fit the finder's certainty, and the threshold again, on scenes with these digits.

    An answer is right if its ink is that of one digit, and the network reads it right; its
    confidence is the product of the network's and the finder's. The certainty maximizes the
    likelihood of right and wrong answers. The threshold becomes the lowest at which at most
    SURE_SCENE_ERRORS of the sure answers are wrong, but never lower than it was.

    Args:
        model: the ONNX file of the network that reads.
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
    """Rounded up to four decimals, but at most 0.9999: no confidence reaches 1."""
    return min(math.ceil(10_000 * threshold) / 10_000, 0.9999)


def scene_answers(reader: Reader, digits: Digits) -> NDArray[np.float64]:
    """The answers to what is found in scenes with these digits, (N, 3).

    Columns: the greatest of the ten probabilities, the finder's probability that it is a digit,
    and 1 if it was read right, else 0.
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
