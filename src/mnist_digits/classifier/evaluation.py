"""evaluate(model, digits) -> Evaluation: probabilities and labels, and the metrics of them."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ..data.dataset import WRONG_TEST_LABELS, Digits

# Fixed, because with another batch size the last bits of a logit may differ.
EVALUATION_BATCH = 500
# SHA-256 of the labels of MNIST's test set, int64.
MNIST_TEST_LABELS = "2fd8de6bdb8d11780b4b96dc57847bcfe6953f7c32aa48bfcd8237c3b7847243"


@dataclass(frozen=True)
class Evaluation:
    """A network's answers to labelled digits.

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
    def label_probability(self) -> Tensor:
        """float32 (N,): the probability of the label."""
        return self.probabilities.gather(1, self.labels[:, None])[:, 0]

    @cached_property
    def mistakes(self) -> Tensor:
        """int64: the indices of the wrong predictions, the most confident first."""
        wrong = (self.predictions != self.labels).nonzero()[:, 0]
        return wrong[self.confidence[wrong].argsort(descending=True, stable=True)]

    @cached_property
    def suspected_labels(self) -> Tensor:
        """int64: the indices of labels that may be wrong, the least probable label first.

        They are the images whose prediction is not their label, ranked by the probability of
        the label: the simplest of the methods in Northcutt, Jiang and Chuang, "Confident
        Learning: Estimating Uncertainty in Dataset Labels", 2021. Their thresholds by class
        leave a good network just one suspect in MNIST's test set. The network must not have
        learned from these labels.
        """
        wrong = (self.predictions != self.labels).nonzero()[:, 0]
        return wrong[self.label_probability[wrong].argsort(stable=True)]

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
        """float64 (10,): the fraction of the answers with this digit that are right.

        NaN if there are none.
        """
        return self.confusion.diagonal() / self.confusion.sum(dim=0).double()

    @property
    def recall(self) -> Tensor:
        """float64 (10,): the fraction of the images of this digit that are read right.

        NaN if there are none.
        """
        return self.confusion.diagonal() / self.confusion.sum(dim=1).double()

    @cached_property
    def labels_right(self) -> Evaluation | None:
        """The evaluation without the test images whose label is wrong; None if not MNIST's."""
        if hashlib.sha256(self.labels.numpy().data).hexdigest() != MNIST_TEST_LABELS:
            return None
        return self.without(WRONG_TEST_LABELS)

    def without(self, indices: tuple[int, ...]) -> Evaluation:
        """The evaluation without the images of these indices."""
        kept = torch.ones(self.count, dtype=torch.bool)
        kept[list(indices)] = False
        return Evaluation(self.probabilities[kept], self.labels[kept])

    def calibration(self, bins: int = 10) -> list[CalibrationBin]:
        """Confidence against accuracy, in bins of equally many predictions, by confidence.

        Nearly all confidences of a good network are close to 1, so that most bins of equal width
        would be nearly empty. Bins of equal count are the adaptive ones of Nixon et al.,
        "Measuring Calibration in Deep Learning", 2019, who apply them to the probabilities of
        all classes; here it is only that of the prediction.
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
        """Expected calibration error: mean |confidence - accuracy| of the bins of `calibration`.

        Weighted by count. Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities
        Using Bayesian Binning", 2015, but with bins of equal count instead of equal width.
        """
        gaps = [abs(part.confidence * part.count - part.right) for part in self.calibration()]
        return sum(gaps) / self.count

    @property
    def negative_log_likelihood(self) -> float:
        """Mean of -log(probability of the label), in nats.

        It is low if the network is in doubt where it is wrong.
        """
        least = torch.finfo(self.label_probability.dtype).tiny  # a probability may be rounded to 0
        return -self.label_probability.clamp_min(least).double().log().mean().item()


@dataclass(frozen=True)
class CalibrationBin:
    """Predictions of similar confidence: their mean confidence, how many are right, the count."""

    confidence: float
    right: int
    count: int


def evaluate(model: nn.Module, digits: Digits) -> Evaluation:
    """Run the network in evaluation mode over all the digits, on the device where they lie.

    Raises:
        ValueError: there are no digits.
    """
    if not len(digits):
        raise ValueError("there are no digits to evaluate on")
    probabilities = logits_of(model, digits.images).softmax(dim=1)
    return Evaluation(probabilities.cpu(), digits.labels.cpu())


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """The logits, float32 (N, 10), of images (N, 1, 28, 28) in evaluation mode."""
    model.eval()
    with torch.inference_mode():
        batches = images.split(EVALUATION_BATCH)
        return torch.cat(
            [model(part.contiguous(memory_format=torch.channels_last)).float() for part in batches]
        )


def summary(on_train: Evaluation, on_test: Evaluation) -> dict[str, Any]:
    """The metrics in `result.json`; accuracies and the calibration error are fractions of 1."""
    clean = on_test.labels_right
    return {
        "train_accuracy": on_train.accuracy,
        "train_errors": on_train.errors,
        "train_images": on_train.count,
        "test_accuracy": on_test.accuracy,
        "test_errors": on_test.errors,
        "test_images": on_test.count,
        "test_accuracy_95_interval": list(on_test.interval),
        "test_accuracy_without_wrong_labels": clean and clean.accuracy,
        "test_calibration_error": on_test.calibration_error,
        "test_negative_log_likelihood": on_test.negative_log_likelihood,
    }


def details(evaluation: Evaluation) -> dict[str, Any]:
    """For JSON: precision and recall of each digit, None instead of NaN; the confusion matrix."""
    return {
        "precision": [None if math.isnan(p) else p for p in evaluation.precision.tolist()],
        "recall": [None if math.isnan(r) else r for r in evaluation.recall.tolist()],
        "confusion": evaluation.confusion.tolist(),
    }


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """95% confidence interval of a proportion; it also holds close to 0 and 1.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
    """
    z = 1.959964
    centre = (hits + z * z / 2) / (count + z * z)
    spread = z / (count + z * z) * math.sqrt(hits * (count - hits) / count + z * z / 4)
    return max(0.0, centre - spread), min(1.0, centre + spread)
