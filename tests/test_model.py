from __future__ import annotations

import dataclasses

import pytest
import torch

from mnist_digits import ACCURATE, FAST, DigitNet, Digits, Recipe
from mnist_digits.model import PIXEL_DEVIATION, PIXEL_MEAN, ResidualBlock


@pytest.mark.parametrize("recipe", [FAST, ACCURATE, dataclasses.replace(FAST, widths=(1, 3))])
def test_raw_pixels_in_logits_out(recipe: Recipe) -> None:
    images = torch.randint(0, 256, (5, 1, 28, 28), dtype=torch.uint8)
    network = DigitNet(recipe).eval()
    logits = network(images)
    assert logits.shape == (5, 10)
    assert logits.dtype == torch.float32
    # Normalising is the network's own affair: uint8 and float pixels mean the same.
    assert torch.equal(logits, network(images.float()))


def test_the_pixels_are_normalised_by_the_training_images(mnist: tuple[Digits, Digits]) -> None:
    pixels = mnist[0].images.float()
    assert pixels.mean().item() == pytest.approx(PIXEL_MEAN, abs=0.01)
    assert pixels.std().item() == pytest.approx(PIXEL_DEVIATION, abs=0.01)


def test_a_residual_block_starts_as_its_shortcut() -> None:
    features = torch.rand(2, 8, 6, 6)
    assert torch.equal(ResidualBlock(8)(features), features)


def test_an_image_is_read_alone(fast_run: object, mnist: tuple[Digits, Digits]) -> None:
    """In evaluation an image's logits do not depend on its neighbours in the batch."""
    network = fast_run.model.eval()  # type: ignore[attr-defined]
    images = mnist[1].images[:64]
    with torch.inference_mode():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
