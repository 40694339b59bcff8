from __future__ import annotations

import numpy as np
import pytest
import torch

from mnist_digits import Reader
from mnist_digits.handwriting import FORMS, draw

LABELS = torch.arange(10).repeat(60)


@pytest.fixture(scope="module")
def drawn() -> torch.Tensor:
    torch.manual_seed(0)
    return draw(LABELS)


def test_each_drawing_is_a_frame_of_its_own(drawn: torch.Tensor) -> None:
    assert drawn.shape == (600, 1, 28, 28)
    assert drawn.min() >= 0
    assert drawn.max() <= 255
    assert len(torch.unique(drawn.flatten(1), dim=0)) == 600


def test_they_are_framed_about_as_in_mnist(drawn: torch.Tensor) -> None:
    ink = drawn[:, 0] > 128
    assert not ink[:, 0].any()
    assert not ink[:, :, 0].any()
    heights = ink.any(dim=2).sum(dim=1)
    assert heights.min() >= 19
    assert heights.max() <= 21
    line = torch.arange(28) + 0.5
    mass = drawn[:, 0] / drawn.sum(dim=(1, 2, 3)).view(-1, 1, 1)
    middle = torch.stack([(mass.sum(dim=1) * line).sum(dim=1), (mass.sum(dim=2) * line).sum(dim=1)])
    assert (middle - 14).abs().quantile(0.9) < 1


def test_the_shipped_model_reads_every_form(drawn: torch.Tensor) -> None:
    answers = Reader.load().classify(drawn[:, 0].byte().numpy()).argmax(axis=1)
    right = answers == LABELS.numpy()
    assert right.mean() > 0.97
    # With one form in five written down wrongly, a digit would not come so far.
    assert min(np.mean(right[LABELS.numpy() == digit]) for digit in FORMS) > 0.85


def test_the_same_seed_draws_the_same(drawn: torch.Tensor) -> None:
    torch.manual_seed(0)
    assert torch.equal(draw(LABELS), drawn)


def test_nothing_to_draw() -> None:
    assert draw(torch.empty(0, dtype=torch.int64)).shape == (0, 1, 28, 28)
