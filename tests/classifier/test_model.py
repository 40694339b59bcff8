from __future__ import annotations

import dataclasses

import pytest
import torch

from mnist_digits import ACCURATE, FAST, DigitNet, Digits, Recipe, Run
from mnist_digits.classifier.model import shifted


@pytest.mark.parametrize("recipe", [FAST, ACCURATE, dataclasses.replace(FAST, widths=(1, 3))])
def test_raw_pixels_in_logits_out(recipe: Recipe) -> None:
    images = torch.randint(0, 256, (5, 1, 28, 28), dtype=torch.uint8)
    network = DigitNet(recipe).eval()
    with torch.inference_mode():
        logits = network(images)
        assert logits.shape == (5, 10)
        assert logits.dtype == torch.float32
        # Normalizing is the network's own affair: uint8 and float pixels mean the same.
        assert torch.equal(logits, network(images.float()))
        network.temperature.fill_(0.5)
        torch.testing.assert_close(network(images), logits / 0.5)
        # In training there is no temperature, and test-time augmentation is none.
        learning = network.train()(images)
        network.temperature.fill_(2.0)
        assert torch.equal(network(images), learning)
        assert learning.shape == (5, 10)


def test_shifted_copies_are_shifted() -> None:
    image = torch.zeros(1, 1, 28, 28)
    image[0, 0, 10, 20] = 1
    copies = shifted(image, 2)
    places = [copy.nonzero()[0, 2:].tolist() for copy in copies]
    assert places == [[10, 20], [10, 22], [10, 18], [12, 20], [8, 20]]
    assert all(copy.shape == image.shape for copy in copies)


def test_test_time_augmentation_averages_the_answers(fast_run: Run, test_set: Digits) -> None:
    images = test_set.images[:50].float()
    plain = fast_run.model.eval()
    averaging = DigitNet(dataclasses.replace(FAST, tta_shift=1)).eval()
    averaging.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        # The mean of what they say by themselves; it has the temperature, not each of them.
        logits = [plain(copy) * plain.temperature for copy in shifted(images, 1)]
        mean = torch.stack([each.softmax(dim=1) for each in logits]).mean(dim=0)
        answer = averaging(images).softmax(dim=1)
    torch.testing.assert_close(answer, (mean.log() / plain.temperature).softmax(dim=1))
