"""What the figures of a run show, in plain numbers: `results` draws it where there is no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..data.dataset import Digits
    from ..training.evaluation import Evaluation
    from ..training.loop import Epoch

# Digits in a row.
COLUMNS = 10


@dataclass(frozen=True)
class Answer:
    """A digit, and what was read: pixels uint8 (28, 28), the confidence as a fraction of 1."""

    pixels: NDArray[np.uint8]
    label: int
    predicted: int
    confidence: float


@dataclass(frozen=True)
class Samples:
    """The first digits as they come, the first that went wrong, and how many went wrong."""

    first: list[Answer]
    wrong: list[Answer]
    errors: int


@dataclass(frozen=True)
class Mistakes:
    """The wrong answers in which the network had the most confidence, and how many there are."""

    worst: list[Answer]
    errors: int


@dataclass(frozen=True)
class Calibration:
    """Bins of predictions by confidence.

    Attributes:
        doubt, wrong: float64 (B,), 1 - the mean confidence, and the fraction of wrong answers.
        interval: float64 (2, B), the ends of the 95% intervals of `wrong`.
        size: predictions in a bin.
        error: the expected calibration error, a fraction of 1.
    """

    doubt: NDArray[np.float64]
    wrong: NDArray[np.float64]
    interval: NDArray[np.float64]
    size: int
    error: float


@dataclass(frozen=True)
class Curves:
    """A training, in parts of an epoch.

    Attributes:
        count: of the epochs.
        epochs, losses, accuracies: float64 (P,), where each part ends, in epochs, and its means.
        validated: number and validation accuracy of the epochs that were validated.
    """

    count: int
    epochs: NDArray[np.float64]
    losses: NDArray[np.float64]
    accuracies: NDArray[np.float64]
    validated: list[tuple[int, float]]


def answers(digits: Digits, evaluation: Evaluation, indices: Iterable[int]) -> list[Answer]:
    """The digits of these indices with their answers."""
    return [
        Answer(
            digits.images[index, 0].cpu().numpy(),
            int(evaluation.labels[index]),
            int(evaluation.predictions[index]),
            float(evaluation.confidence[index]),
        )
        for index in indices
    ]


def samples(digits: Digits, evaluation: Evaluation, columns: int = COLUMNS) -> Samples:
    """Three rows of the first digits, and a row of the first that went wrong."""
    first = range(min(3 * columns, len(digits)))
    wrong = evaluation.mistakes.sort().values[:columns].tolist()
    told = answers(digits, evaluation, first), answers(digits, evaluation, wrong)
    return Samples(*told, evaluation.errors)


def mistakes(digits: Digits, evaluation: Evaluation, columns: int = COLUMNS) -> Mistakes:
    """Three rows of the worst mistakes."""
    worst = evaluation.mistakes[: 3 * columns].tolist()
    return Mistakes(answers(digits, evaluation, worst), evaluation.errors)


def confusion(evaluation: Evaluation) -> NDArray[np.int64]:
    """How often the digit of the row was read as that of the column: (10, 10)."""
    counts: NDArray[Any] = evaluation.confusion.numpy()
    return counts


def calibration(evaluation: Evaluation) -> Calibration:
    """Confidence against how often it is right, in bins."""
    from ..training.evaluation import wilson_interval

    bins = evaluation.calibration()
    return Calibration(
        doubt=np.array([1 - part.confidence for part in bins]),
        wrong=np.array([1 - part.right / part.count for part in bins]),
        interval=np.array([wilson_interval(p.count - p.right, p.count) for p in bins]).T,
        size=bins[0].count,
        error=evaluation.calibration_error,
    )


def curves(history: Sequence[Epoch]) -> Curves:
    """Loss and accuracy while training, in twentieths of an epoch."""
    parts = [np.arange(len(epoch.loss_curve)) + 1 for epoch in history]
    ends = [e.epoch - 1 + part / len(part) for e, part in zip(history, parts, strict=True)]
    return Curves(
        len(history),
        np.concatenate(ends),
        np.concatenate([epoch.loss_curve for epoch in history]),
        np.concatenate([epoch.accuracy_curve for epoch in history]),
        [(e.epoch, e.validation_accuracy) for e in history if e.validation_accuracy],
    )
