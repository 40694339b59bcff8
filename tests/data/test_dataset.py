from __future__ import annotations

import pytest
import torch

from mnist_digits import DatasetError, Digits, split_validation
from mnist_digits.classifier.model import PIXEL_MEAN, PIXEL_STD


def test_the_data_are_mnist(mnist: tuple[Digits, Digits]) -> None:
    train, test = mnist
    assert repr(train) == "Digits(60,000 on cpu)"
    assert train.images.shape == (60_000, 1, 28, 28)
    assert test.images.shape == (10_000, 1, 28, 28)
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # The figures that the literature gives for the training images: 0.1307 and 0.3081.
    pixels = train.images.float() / 255
    assert pixels.mean().item() == pytest.approx(0.1307, abs=1e-4)
    assert pixels.std().item() == pytest.approx(0.3081, abs=1e-4)
    assert pixels.mean().item() * 255 == pytest.approx(PIXEL_MEAN, abs=0.01)
    assert pixels.std().item() * 255 == pytest.approx(PIXEL_STD, abs=0.01)


def test_the_validation_slice_is_fixed_and_stratified(training_set: Digits) -> None:
    kept, validation = split_validation(training_set)
    assert (len(kept), len(validation)) == (50_004, 9_996)
    shares = validation.labels.bincount() / training_set.labels.bincount()
    assert (shares - 1 / 6).abs().max() < 2e-4
    # Fixed for ever: figures measured on it stay comparable.
    assert validation.labels[:12].tolist() == [1, 3, 9, 0, 4, 6, 7, 1, 2, 8, 0, 5]
    both = torch.cat([kept.images, validation.images]).sum(dim=0, dtype=torch.int64)
    assert torch.equal(both, training_set.images.sum(dim=0, dtype=torch.int64))


BYTES, INT = torch.uint8, torch.int64


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(3, 28, 28, dtype=BYTES), torch.zeros(3, dtype=INT)),
        (torch.zeros(3, 1, 28, 28), torch.zeros(3, dtype=INT)),
        (torch.zeros(3, 1, 28, 28, dtype=BYTES), torch.zeros(2, dtype=INT)),
        (torch.zeros(3, 1, 28, 28, dtype=BYTES), torch.zeros(3)),
        (torch.zeros(3, 1, 28, 28, dtype=BYTES), torch.zeros(3, 1, dtype=INT)),
    ],
)
def test_digits_refuse_what_is_not_mnist_shaped(images: torch.Tensor, labels: torch.Tensor) -> None:
    with pytest.raises(DatasetError, match="must be"):
        Digits(images, labels)
