"""How two answers become one: the better one weighs more, sure answers are hardly ever wrong."""

from __future__ import annotations

import pytest
import torch

from mnist_digits import Digits, Reader
from mnist_digits.detector.confidence import (
    SURE_ERRORS,
    Answers,
    answer_of,
    confidence_of,
    detected_in_scenes,
    fit_answer,
)
from mnist_digits.synthesis.templates import load_templates


def invented(count: int, look: float, classifier: float, digits: float) -> Answers:
    """Answers of which so many are right, and `digits` of what was found are digits."""
    random = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 10, (count,), generator=random)

    def logits(right: float) -> torch.Tensor:
        wrong = torch.rand(count, generator=random) > right
        said = torch.where(wrong, (truth + 1) % 10, truth)
        noise = torch.rand(count, 10, generator=random, dtype=torch.float64)
        return noise + 5 * torch.nn.functional.one_hot(said, 10)

    is_digit = torch.rand(count, generator=random) < digits
    odds = torch.where(is_digit, 3.0, -1.0) + torch.randn(count, generator=random)
    return Answers(
        logits(look),
        logits(classifier).log_softmax(dim=1),
        odds.double(),
        torch.where(is_digit, truth, -1),
    )


def test_the_better_answer_weighs_more() -> None:
    better_look = answer_of(invented(4000, 0.99, 0.8, 0.9))["answer"]
    better_classifier = answer_of(invented(4000, 0.8, 0.99, 0.9))["answer"]
    assert better_look[0] > better_look[1]
    assert better_classifier[1] > better_classifier[0]


def test_sure_answers_are_hardly_ever_wrong() -> None:
    fitted = answer_of(invented(20_000, 0.98, 0.98, 0.9))
    new = invented(20_000, 0.98, 0.98, 0.9)
    confidence, right = confidence_of(torch.tensor(fitted["answer"]), new)
    sure = confidence >= fitted["sure_above"]
    assert sure.any()
    assert (~right[sure]).float().mean() <= 2 * SURE_ERRORS


@pytest.mark.slow
def test_it_is_fitted_on_what_is_found_in_scenes(training_set: Digits) -> None:
    reader = Reader.load(threads=1)
    answers = detected_in_scenes(reader, load_templates(training_set[:500], 500), 40)
    assert len(answers.labels) == len(answers.look) == len(answers.odds) > 40
    is_digit = answers.labels >= 0
    assert is_digit.float().mean() > 0.3
    assert answers.odds[is_digit].mean() > answers.odds[~is_digit].mean()
    fitted = fit_answer(reader, training_set[:500], 40)
    by_look, by_detector, _ = fitted["presence"]
    assert by_look > 0 < by_detector
    assert len(fitted["answer"]) == 5
    assert 0.5 < fitted["sure_above"] < 1
