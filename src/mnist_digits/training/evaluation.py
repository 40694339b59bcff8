"""evaluate(model, digits) -> Evaluation: counts first, everything else follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ..data.dataset import WRONG_TEST_LABELS, Digits

# Fixed, because with another batch size the last bits of a logit may differ.
EVALUATION_BATCH = 1000


@dataclass(frozen=True)
class Evaluation:
    """What a network made of labelled digits.

    Attributes:
        probabilities: float32 (N, 10) on the CPU, each row summing to 1.
        labels: int64 (N,) on the CPU.
    """

    probabilities: Tensor
    labels: Tensor

    @cached_property
    def predictions(self) -> Tensor:
        """int64 (N,): the most probable digit."""
        return self.probabilities.argmax(dim=1)

    @cached_property
    def confidence(self) -> Tensor:
        """float32 (N,): the probability of the prediction."""
        return self.probabilities.amax(dim=1)

    @cached_property
    def mistakes(self) -> Tensor:
        """int64: the indices of the wrong predictions, the most confident first."""
        wrong = (self.predictions != self.labels).nonzero()[:, 0]
        return wrong[self.confidence[wrong].argsort(descending=True, stable=True)]

    @cached_property
    def suspected_labels(self) -> Tensor:
        """int64: the indices of labels that may be wrong, the least believed label first.

        Of the images that are read otherwise than their label, by the probability of the
        label: the simplest of the methods in Northcutt, Jiang and Chuang, "Confident
        Learning: Estimating Uncertainty in Dataset Labels", 2021. Their thresholds by class
        leave a good network just one suspect in MNIST's test set. The network must not have
        learned from these labels.
        """
        belief = self.probabilities.gather(1, self.labels[:, None])[:, 0]
        wrong = (self.predictions != self.labels).nonzero()[:, 0]
        return wrong[belief[wrong].argsort(stable=True)]

    @property
    def count(self) -> int:
        return len(self.labels)

    @property
    def errors(self) -> int:
        return len(self.mistakes)

    @property
    def accuracy(self) -> float:
        """Fraction of 1."""
        return (self.count - self.errors) / self.count

    @property
    def interval(self) -> tuple[float, float]:
        """95% confidence interval of the accuracy (Wilson, 1927)."""
        return wilson_interval(self.count - self.errors, self.count)

    @cached_property
    def confusion(self) -> Tensor:
        """int64 (10, 10): how often the digit of the row was read as that of the column."""
        return torch.bincount(self.labels * 10 + self.predictions, minlength=100).reshape(10, 10)

    @property
    def precision(self) -> Tensor:
        """float64 (10,): of the images read as this digit, how many are; 0 of none is NaN."""
        return self.confusion.diagonal() / self.confusion.sum(dim=0).double()

    @property
    def recall(self) -> Tensor:
        """float64 (10,): of the images of this digit, how many are read as it."""
        return self.confusion.diagonal() / self.confusion.sum(dim=1).double()

    def without(self, indices: tuple[int, ...]) -> Evaluation:
        """The same, with the images with these indices left out."""
        kept = torch.ones(self.count, dtype=torch.bool)
        kept[list(indices)] = False
        return Evaluation(self.probabilities[kept], self.labels[kept])

    def calibration(self, bins: int = 10) -> list[CalibrationBin]:
        """Does 90% sure mean right 9 times of 10? Bins of as many predictions each.

        Nearly all confidences of a good network are close to 1: of bins of equal width most would
        be empty (Nixon et al., "Measuring Calibration in Deep Learning", 2019).
        """
        order = self.confidence.argsort(stable=True)
        right = (self.predictions == self.labels).double()
        return [
            CalibrationBin(
                confidence=self.confidence[indices].double().mean().item(),
                right=int(right[indices].sum()),
                count=len(indices),
            )
            for indices in order.tensor_split(min(bins, self.count))
        ]

    @property
    def calibration_error(self) -> float:
        """Mean distance of confidence and accuracy over the ten bins, by their numbers."""
        return (
            sum(abs(part.confidence * part.count - part.right) for part in self.calibration())
            / self.count
        )


@dataclass(frozen=True)
class CalibrationBin:
    """Predictions of about the same confidence: their mean confidence, how many are right."""

    confidence: float
    right: int
    count: int


def evaluate(model: nn.Module, digits: Digits) -> Evaluation:
    """Run the network over all the digits, on the device where they lie.

    Raises:
        ValueError: there are no digits.
    """
    if not len(digits):
        raise ValueError("there are no digits to evaluate on")
    model.eval()
    with torch.inference_mode():
        probabilities = [
            model(images.contiguous(memory_format=torch.channels_last)).float().softmax(dim=1).cpu()
            for images in digits.images.split(EVALUATION_BATCH)
        ]
    return Evaluation(torch.cat(probabilities), digits.labels.cpu())


def summary(on_train: Evaluation, on_test: Evaluation) -> dict[str, Any]:
    """The figures of a network, as `result.json` has them: accuracies as fractions of 1."""
    return {
        "train_accuracy": on_train.accuracy,
        "train_errors": on_train.errors,
        "train_images": on_train.count,
        "test_accuracy": on_test.accuracy,
        "test_errors": on_test.errors,
        "test_images": on_test.count,
        "test_accuracy_95_interval": list(on_test.interval),
        "test_accuracy_without_wrong_labels": on_test.without(WRONG_TEST_LABELS).accuracy,
        "test_calibration_error": on_test.calibration_error,
    }


def details(evaluation: Evaluation) -> dict[str, Any]:
    """Precision and recall of each digit, None of no images, and the confusion matrix, for JSON."""
    return {
        "precision": [None if math.isnan(p) else p for p in evaluation.precision.tolist()],
        "recall": [None if math.isnan(r) else r for r in evaluation.recall.tolist()],
        "confusion": evaluation.confusion.tolist(),
    }


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """95% confidence interval of a proportion, right also close to 0 and 1.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
    """
    z = 1.959964
    centre = (hits + z * z / 2) / (count + z * z)
    spread = z / (count + z * z) * math.sqrt(hits * (count - hits) / count + z * z / 4)
    return max(0.0, centre - spread), min(1.0, centre + spread)
