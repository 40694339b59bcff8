from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mnist_digits import FAST, Digits, Run, evaluate, train
from mnist_digits.synthesis.negatives import KINDS, negatives, sideways


def test_every_kind_makes_frames_that_differ(training_set: Digits) -> None:
    torch.manual_seed(0)
    part = training_set[:60]
    for kind in KINDS:
        frames = kind(part.images.float(), part.labels)
        assert frames.shape == (60, 1, 28, 28)
        assert frames.isfinite().all()
        assert len(torch.unique(frames.flatten(1), dim=0)) > 30, kind.__name__


@pytest.mark.parametrize("count", [1, 3, 100])
def test_they_are_as_many_as_the_digits_and_pixels(count: int, training_set: Digits) -> None:
    torch.manual_seed(0)
    part = training_set[:count]
    frames = negatives(part.images, part.labels)
    assert frames.shape == part.images.shape
    assert frames.min() >= 0
    assert frames.max() <= 255
    assert not torch.equal(frames, part.images.float())


def test_digits_that_look_the_same_on_their_side_are_not_used_so(training_set: Digits) -> None:
    images = training_set.images[training_set.labels == 8][:5].float()
    turned = sideways(images, torch.full((5,), 8))
    assert not any(torch.equal(a, b.rot90(1, (1, 2))) for a, b in zip(turned, images, strict=True))


@pytest.mark.slow
def test_trained_with_them_a_network_doubts_other_things(
    mnist: tuple[Digits, Digits], fast_run: Run
) -> None:
    doubting = train(replace(FAST, negatives=0.3, label_smoothing=0.0), mnist[0])
    torch.manual_seed(1)
    part = mnist[1][:2000]
    strange = Digits(negatives(part.images, part.labels).byte(), part.labels)
    doubts, trusts = (evaluate(run.model, strange).confidence for run in (doubting, fast_run))
    assert doubts.median() < 0.3
    assert trusts.median() > 0.6
    assert evaluate(doubting.model, mnist[1]).accuracy > 0.985
