"""How two answers become one: the better one weighs more, sure answers are hardly ever wrong."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
import torch

from mnist_digits import Digits, Reader
from mnist_digits.detector import confidence
from mnist_digits.detector.confidence import (
    SURE_ERRORS,
    Answers,
    answer_of,
    confidence_of,
    fit_answer,
)


def invented(count: int, look: float, classifier: float) -> Answers:
    """Answers of which so many are right; nine tenths of what was found are digits."""
    random = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 10, (count,), generator=random)

    def logits(right: float) -> torch.Tensor:
        wrong = torch.rand(count, generator=random) > right
        said = torch.where(wrong, (truth + 1) % 10, truth)
        noise = torch.rand(count, 10, generator=random, dtype=torch.float64)
        return noise + 5 * torch.nn.functional.one_hot(said, 10)

    is_digit = torch.rand(count, generator=random) < 0.9
    odds = torch.where(is_digit, 3.0, -1.0) + torch.randn(count, generator=random)
    return Answers(
        logits(look),
        logits(classifier).log_softmax(dim=1),
        odds.double(),
        torch.where(is_digit, truth, -1),
    )


def test_the_better_answer_weighs_more() -> None:
    by_look, by_classifier, *_ = answer_of(invented(4000, 0.99, 0.8))["answer"]
    assert by_look > by_classifier
    by_look, by_classifier, *_ = answer_of(invented(4000, 0.8, 0.99))["answer"]
    assert by_classifier > by_look


def test_sure_answers_are_hardly_ever_wrong() -> None:
    answers = invented(20_000, 0.98, 0.98)
    fitted = answer_of(answers)
    confidences, right = confidence_of(torch.tensor(fitted["answer"]), answers)
    sure = confidences >= fitted["sure_above"]
    assert sure.any()
    assert (~right[sure]).float().mean() <= 2 * SURE_ERRORS


@pytest.mark.slow
def test_it_is_fitted_on_what_is_found_in_scenes(
    training_set: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Mock(wraps=answer_of)
    monkeypatch.setattr(confidence, "answer_of", watched)
    fitted = fit_answer(Reader.load(threads=1), training_set[:500], 40)
    (answers,) = watched.call_args.args
    assert len(answers.labels) == len(answers.look) == len(answers.odds) > 40
    is_digit = answers.labels >= 0
    assert is_digit.float().mean() > 0.3
    assert answers.odds[is_digit].mean() > answers.odds[~is_digit].mean()
    by_look, by_detector, _ = fitted["presence"]
    assert by_look > 0 < by_detector
    assert len(fitted["answer"]) == 5
    assert 0.5 < fitted["sure_above"] < 1
