"""How two answers become one, and its confidence: fitted on scenes that no network has seen.

That there is a digit, two networks say: the detector, which sees all of the picture, and the look.
The probability is a sigmoid of a weighted sum of their logits.

An answer's logits are those of the look and the logarithms of the classifier's probabilities, each
with a weight. Its confidence is its probability times the probability that there is a digit. The
latter is a sigmoid of a weighted sum of two: the logit of the look's score, and the logarithm of
the classifier's probability for this answer (Platt, "Probabilistic Outputs for Support Vector
Machines", 1999).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..classifier.calibration import lowest_threshold, rounded_up
from ..data.dataset import Digits
from ..reading.detection import READ, Detections, Detector, log_odds
from ..reading.reader import Reader
from ..synthesis.detected_digits import matched
from ..synthesis.scene import scene
from ..synthesis.templates import Templates, load_templates

# Part of the scenes' seeds, so that they differ from those that the networks learn from.
STREAM = 2
# Scenes with these are left out: some letters and scribbles look just like a digit.
MISTAKEN = frozenset(
    {"letters", "scribbles", "marks", "things", "print", "cursive", "form", "none"}
)
# At most this share of the sure digits may be wrong. Many scenes are worse than what people would
# photograph, and some of their digits are hardly legible.
SURE_ERRORS = 0.004
# A detection is the scene's digit if the intersection over union of their boxes is above this.
SAME_DIGIT = 0.45


class Answers(NamedTuple):
    """What was detected in scenes.

    Attributes:
        look, classifier: float64 (N, 10), logits and logarithms of probabilities.
        odds: float64 (N,), the logit of there being a digit.
        labels: int64 (N,), -1 where there is none.
    """

    look: Tensor
    classifier: Tensor
    odds: Tensor
    labels: Tensor


def fit_answer(reader: Reader, held_out: Digits, scenes: int = 4000) -> dict[str, Any]:
    """What `export_networks` writes: `presence`, `answer` and `sure_above`.

    Args:
        reader: with a classifier that has not learned from these digits.
        held_out: digits that no network has learned from.
        scenes: how many to fit on; half of them for the threshold.
    """
    # Half of them by other hands: those of MNIST's writers alone are easier than what people bring.
    templates = load_templates(held_out, len(held_out), STREAM)
    reader.detector.presence = fit_presence(reader.detector, templates, scenes // 4)
    values = answer_of(detected_in_scenes(reader, templates, scenes))
    return {"presence": reader.detector.presence, **values}


def fit_presence(detector: Detector, templates: Templates, count: int) -> list[float]:
    """The weights of the logits of both scores, and what is added, fitted on `count` scenes."""
    detector.presence = [1.0, 0.0, 0.0]
    odds, digits = [], []
    for detections, labels in _detected(detector, templates, count):
        odds.append(np.stack([log_odds(detections.scores), log_odds(detections.proposed)], axis=1))
        digits += [label >= 0 for label in labels]
    features, is_digit = torch.from_numpy(np.concatenate(odds)).double(), torch.tensor(digits)
    weights = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64, requires_grad=True)

    def wrong() -> Tensor:
        logits = features @ weights[:2] + weights[2]
        return functional.binary_cross_entropy_with_logits(logits, is_digit.double())

    _minimize(wrong, weights)
    return [round(weight, 4) for weight in weights.tolist()]


def _detected(
    detector: Detector, templates: Templates, count: int, above: float = 0.0
) -> Iterator[tuple[Detections, list[int]]]:
    """What scores more than `above` in each of up to `count` scenes; labels, -1 for no digit."""
    for number in range(count):
        made = scene(np.random.default_rng((0, STREAM, number)), templates)
        if made.features & MISTAKEN:
            continue
        detections, _ = detector.detect(made.pixels)
        detections = detections.chosen(detections.scores > above)
        matches = matched(detections, made)
        labels = [match.label if match.common > SAME_DIGIT else -1 for match in matches]
        yield detections.chosen(np.array([match.number for match in matches], np.int64)), labels


def answer_of(answers: Answers) -> dict[str, Any]:
    """The weights fitted on one half of the answers, the threshold on the other."""
    half = len(answers.labels) // 2
    weights = _fit(Answers(*(part[:half] for part in answers)))
    confidence, right = confidence_of(weights, Answers(*(part[half:] for part in answers)))
    return {
        "answer": [round(float(weight), 4) for weight in weights],
        "sure_above": rounded_up(lowest_threshold(confidence, ~right, SURE_ERRORS)),
    }


def detected_in_scenes(reader: Reader, templates: Templates, count: int) -> Answers:
    """The answers to what is detected in up to `count` scenes that are made with these digits."""
    looks, classes, scores, labels = [], [], [], []
    for detections, named in _detected(reader.detector, templates, count, READ):
        looks.append(detections.logits)
        classes.append(reader.classify(detections.frames))
        scores.append(detections.scores)
        labels += named
    smallest = float(np.finfo(np.float32).eps)
    logarithms = np.log(np.concatenate(classes) + smallest)
    return Answers(
        torch.from_numpy(np.concatenate(looks)).double(),
        torch.from_numpy(logarithms).double(),
        torch.from_numpy(log_odds(np.concatenate(scores))).double(),
        torch.tensor(labels),
    )


def _fit(answers: Answers) -> Tensor:
    """The five weights of `confidence_of` by which the true labels are most probable."""
    digit = answers.labels >= 0
    weights = torch.tensor([0.5, 0.5], dtype=torch.float64, requires_grad=True)
    mixed = (answers.look[digit], answers.classifier[digit])

    def unlikely() -> Tensor:
        logits = weights[0] * mixed[0] + weights[1] * mixed[1]
        return functional.cross_entropy(logits, answers.labels[digit])

    _minimize(unlikely, weights)
    line = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64, requires_grad=True)

    def wrong() -> Tensor:
        confidence, right = confidence_of(torch.cat([weights.detach(), line]), answers)
        return functional.binary_cross_entropy(confidence.clamp(1e-9, 1 - 1e-9), right.double())

    _minimize(wrong, line)
    return torch.cat([weights, line]).detach()


def _minimize(loss: Any, values: Tensor) -> None:
    optimizer = torch.optim.LBFGS([values], max_iter=200, line_search_fn="strong_wolfe")

    def step() -> Tensor:
        optimizer.zero_grad()
        value: Tensor = loss()
        value.backward()
        return value

    optimizer.step(step)


def confidence_of(weights: Tensor, answers: Answers) -> tuple[Tensor, Tensor]:
    """The confidence of each answer, and whether it is right, both (N,).

    Args:
        weights: (5,), of the look's logits and of the classifier's logarithms; of the score's
            logit and of the classifier's logarithm for the answer; and a number that is added.
    """
    logits = weights[0] * answers.look + weights[1] * answers.classifier
    probability, digit = logits.softmax(dim=1).max(dim=1)
    agreement = answers.classifier.gather(1, digit[:, None])[:, 0]
    score = torch.sigmoid(weights[2] * answers.odds + weights[3] * agreement + weights[4])
    return probability * score, digit == answers.labels
