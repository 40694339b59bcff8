from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from mnist_digits import Digits, Evaluation, Run, evaluate
from mnist_digits.classifier.evaluation import details, summary, wilson_interval
from mnist_digits.data.dataset import WRONG_TEST_LABELS
from mnist_digits.report import accuracy_table


def of(predictions: list[int], labels: list[int], confidence: float = 0.9) -> Evaluation:
    """An evaluation with these predictions, all of the same confidence."""
    probabilities = torch.full((len(labels), 10), (1 - confidence) / 9)
    probabilities[range(len(labels)), predictions] = confidence
    return Evaluation(probabilities, torch.tensor(labels))


pairs = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=200)


@given(pairs)
def test_all_figures_come_from_the_same_counts(answers: list[tuple[int, int]]) -> None:
    predictions, labels = map(list, zip(*answers, strict=True))
    evaluation = of(predictions, labels)
    errors = sum(p != t for p, t in answers)
    assert evaluation.errors == errors
    assert evaluation.accuracy == (len(answers) - errors) / len(answers)
    assert evaluation.confusion.sum() == len(answers)
    assert evaluation.confusion.diagonal().sum() == len(answers) - errors
    low, high = evaluation.interval
    assert 0 <= low <= evaluation.accuracy <= high <= 1
    assert sum(part.count for part in evaluation.calibration()) == len(answers)
    assert sum(part.right for part in evaluation.calibration()) == len(answers) - errors


def test_rows_are_labels_and_columns_predictions() -> None:
    evaluation = of(predictions=[3, 3, 8, 1], labels=[3, 5, 8, 8])
    assert evaluation.confusion[5, 3] == 1
    assert evaluation.confusion[8, 1] == 1
    # JSON has no NaN.
    values = json.loads(json.dumps(details(evaluation), allow_nan=False))
    assert (values["precision"][3], values["precision"][5]) == (0.5, None)
    assert (values["recall"][8], values["recall"][0]) == (0.5, None)
    assert evaluation.without((1, 3)).accuracy == 1
    assert evaluation.without((1, 3)).count == 2


def test_mistakes_are_sorted_by_confidence_suspects_by_the_belief_in_their_label() -> None:
    probabilities = torch.eye(10)[[1, 2, 3, 4]] * torch.tensor([[0.5], [0.7], [0.6], [0.5]])
    probabilities[:, 0] = torch.tensor([0.3, 0.25, 0.2, 0.4])
    evaluation = Evaluation(probabilities, torch.tensor([0, 0, 0, 4]))
    assert evaluation.mistakes.tolist() == [1, 2, 0]
    assert evaluation.suspected_labels.tolist() == [2, 1, 0]


def test_wilson_interval_is_that_of_the_literature() -> None:
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I.
    for hits, count, interval in (
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0, 0.1611)),
        (29, 29, (0.8830, 1)),
    ):
        assert wilson_interval(hits, count) == pytest.approx(interval, abs=1e-4)


def test_who_knows_how_sure_to_be_and_who_boasts() -> None:
    honest, boaster = (of([0, 0, 0, 0, 1] * 200, [0] * 1000, sure) for sure in (0.8, 1.0))
    assert honest.calibration_error == pytest.approx(0, abs=1e-6)
    assert boaster.calibration_error == pytest.approx(0.2, abs=1e-6)
    expected = -0.8 * math.log(0.8) - 0.2 * math.log(0.2 / 9)
    assert honest.negative_log_likelihood == pytest.approx(expected, abs=1e-6)
    # Who is certain and wrong is punished most, but by a number.
    assert expected < boaster.negative_log_likelihood < 100


class BrightestRow(nn.Module):
    """Reads an image as the number of its brightest row: a network without weights."""

    def forward(self, images: Tensor) -> Tensor:
        return images.float().sum(dim=(1, 3))[:, :10]


@pytest.mark.parametrize("count", [1, 499, 500, 501, 1250])
def test_every_image_counts_once_whatever_their_number(count: int) -> None:
    labels = torch.arange(count) % 10
    images = torch.zeros(count, 1, 28, 28, dtype=torch.uint8)
    images[range(count), 0, labels] = 255
    labels[-1] = (labels[-1] + 1) % 10
    assert evaluate(BrightestRow(), Digits(images, labels)).mistakes.tolist() == [count - 1]


def test_no_digits_is_an_error(test_set: Digits) -> None:
    with pytest.raises(ValueError, match="no digits"):
        evaluate(BrightestRow(), test_set[:0])


def test_the_wrong_labels_are_wrong(fast_run: Run, test_set: Digits) -> None:
    """The network disagrees with most of the labels that people say are wrong."""
    odd = evaluate(fast_run.model, test_set[list(WRONG_TEST_LABELS)])
    assert odd.errors >= 10


def test_only_of_mnist_are_they_left_out(mnist: tuple[Digits, Digits]) -> None:
    on_mnist, on_others = (evaluate(BrightestRow(), part) for part in (mnist[1], mnist[0][:10_000]))
    assert on_mnist.labels_right
    assert on_mnist.labels_right.count == 9_985
    assert "9,985" in accuracy_table(on_others, on_mnist)
    clean = summary(on_others, on_mnist)["test_accuracy_without_wrong_labels"]
    assert clean == on_mnist.labels_right.accuracy
    assert on_others.labels_right is None
    assert "labels right" not in accuracy_table(on_mnist, on_others)
    assert summary(on_mnist, on_others)["test_accuracy_without_wrong_labels"] is None
