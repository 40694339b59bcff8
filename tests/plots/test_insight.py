from __future__ import annotations

import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from torch import Tensor, nn

from mnist_digits import DigitNet, Digits, Recipe
from mnist_digits.plots import insight


class Corners(nn.Module):
    """Reads a 1 as bright as the pixel at (5, 6), and a 0 where that is dark."""

    def forward(self, images: Tensor) -> Tensor:
        logits = torch.zeros(len(images), 10)
        logits[:, 1] = images[:, 0, 5, 6] - 100
        return logits


def pictures(figure: Figure) -> list[Tensor]:
    """In the order in which they were drawn."""
    return [torch.as_tensor(image.get_array()) for image in figure.axes[0].images]


@pytest.fixture(scope="module")
def digits(test_set: Digits) -> Digits:
    return test_set[:3]


def test_the_pixel_that_decides_is_the_salient_one(digits: Digits) -> None:
    images = torch.zeros_like(digits.images)
    images[0, 0, 5, 6] = 255
    saliency = insight.saliency(Corners(), Digits(images, digits.labels))
    assert saliency.shape == (3, 28, 28)
    assert saliency[0].argmax() == 4 * 28 + 5  # the first of nine that are alike
    assert saliency[0].sum() == pytest.approx(1)
    # A 0 has a logit that nothing changes.
    assert saliency[1:].sum() == 0


def test_saliency_leaves_the_network_as_it_is(digits: Digits) -> None:
    model = DigitNet(Recipe())
    saliency = insight.saliency(model, digits)
    assert saliency.min() >= 0
    assert saliency.amax(dim=(1, 2)).min() > 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_saliency_lies_over_the_digits(digits: Digits) -> None:
    saliency = torch.rand(3, 28, 28)
    figure = insight.saliency_overlay(digits, saliency, columns=2)
    drawn = pictures(figure)
    assert len(drawn) == 6
    assert drawn[0].equal(digits.images[0, 0])
    assert drawn[1].equal(saliency[0])
    places = [image.get_extent() for image in figure.axes[0].images]
    assert places[::2] == places[1::2]


def test_filters_are_drawn_on_one_scale() -> None:
    weights = torch.linspace(-2, 1, 10 * 25).reshape(10, 1, 5, 5).requires_grad_()
    figure = insight.filters(weights)
    assert torch.stack(pictures(figure)).equal(weights[:, 0])
    limits = {image.get_clim() for image in figure.axes[0].images}
    assert limits == {(-2, 2)}


def test_feature_maps_are_those_of_each_layer(digits: Digits) -> None:
    maps = {"one": torch.rand(3, 12, 12), "two": torch.rand(20, 5, 5)}
    figure = insight.feature_maps(digits, maps)
    titles = [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]
    assert "two: 20 maps of 5 × 5" in titles
    digit, *drawn = pictures(figure)
    assert digit.equal(digits.images[0, 0])
    assert torch.stack(drawn[:3]).equal(maps["one"])
    assert torch.stack(drawn[3:]).equal(maps["two"])
