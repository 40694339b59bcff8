"""Calibrated confidences: temperature, and the threshold of `sure`.

Everything is fitted on digits and scenes that no network was trained on; never on the test set.
A network whose recipe has a `calibration_fraction` has its temperature already.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..data.dataset import Digits
from ..synthesis.negatives import negatives
from .augmentation import augment
from .evaluation import Evaluation, logits_of
from .model import DigitNet
from .recipe import Recipe
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


def calibrate(model: DigitNet, recipe: Recipe, held_out: Digits) -> Calibration:
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
    at_digits = lowest_threshold(confidence, wrong)
    at_negatives = float(doubtful.quantile(DOUBTED_NEGATIVES))
    return Calibration(own * missing, rounded_up(max(at_digits, at_negatives)))


def lowest_threshold(confidence: Tensor, wrong: Tensor, most: float = SURE_ERRORS) -> float:
    """The lowest one for which at most the fraction `most` of the answers above it is wrong."""
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
    at_pictures = lowest_threshold(evaluation.confidence, wrong, SURE_SCENE_ERRORS)
    return replace(calibration, sure_above=max(calibration.sure_above, rounded_up(at_pictures)))


# Of the sure answers in scenes. More may be wrong than of SURE_ERRORS: many scenes are worse than
# what people would photograph, and some of their digits hardly legible.
SURE_SCENE_ERRORS = 0.01


def rounded_up(threshold: float) -> float:
    """Rounded up to four decimals, but at most 0.9999: no confidence reaches 1."""
    return min(math.ceil(10_000 * threshold) / 10_000, 0.9999)
