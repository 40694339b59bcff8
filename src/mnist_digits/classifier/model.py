"""The network: raw 28×28 pixels in, ten logits out.

Reads top to bottom, in two stages:

    uint8 (N, 1, 28, 28)
    normalize                                     1 × 28 × 28
    6×6 convolution with stride 2, pool,
        batch norm, ReLU                         w0 ×  6 ×  6
    3×3 convolution, batch norm, ReLU            w1 ×  4 ×  4
    linear, batch norm, ReLU                     recipe.hidden
    linear                                       10 logits

The first convolution has a large kernel and a stride of 2, because that is where the time
goes: the usual 5×5 one with a stride of 1, a pool and a 3×3 one make a training step five
times as long.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from .recipe import Recipe

# Mean and standard deviation of the 60,000 training images' pixels, on the scale 0 to 255.
PIXEL_MEAN = 33.32
PIXEL_STD = 78.57
# On the same scale; MNIST's faintest image has 40.
MIN_STD = 10.0


class DigitNet(nn.Module):
    """The network that a recipe describes.

    Takes raw pixels, 0 to 255, uint8 or float (N, 1, 28, 28), light ink on a dark
    ground; it normalizes them itself. Gives logits (N, 10). Where the recipe has test-time
    augmentation, the answer outside of training is the mean over five shifted copies. Outside of
    training the logits are divided by `temperature`, which is saved with the weights.
    """

    temperature: Tensor

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.ones(()))
        self.tta_shift = recipe.tta_shift
        self.by_frame = recipe.normalization == "frame"
        first, second = recipe.widths
        self.first = nn.Sequential(
            nn.Conv2d(1, first, 6, stride=2, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(first),
            nn.ReLU(),
        )
        self.second = nn.Sequential(
            nn.Conv2d(first, second, 3, bias=False), nn.BatchNorm2d(second), nn.ReLU()
        )
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(second * 4 * 4, recipe.hidden, bias=False),
            nn.BatchNorm1d(recipe.hidden),
            nn.ReLU(),
            nn.Linear(recipe.hidden, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        images = self.normalized(images.float())
        if self.training:
            return self.head(self.second(self.first(images)))
        if not self.tta_shift:
            return self.head(self.second(self.first(images))) / self.temperature
        copies = shifted(images, self.tta_shift)
        answers = (self.head(self.second(self.first(copy))) for copy in copies)
        return log_mean_probability(answers) / self.temperature

    def normalized(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 1, 28, 28) with a mean near 0 and a deviation near 1."""
        if not self.by_frame:
            return (pixels - PIXEL_MEAN) / PIXEL_STD
        offsets = pixels - pixels.mean(dim=(1, 2, 3), keepdim=True)
        deviation = offsets.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        # A floor, so that the grain of a blank frame is not blown up to ink.
        return offsets / deviation.clamp_min(MIN_STD)


def shifted(images: Tensor, pixels: int) -> list[Tensor]:
    """The images, and copies shifted right, left, down and up; the edge pixels are repeated."""
    height, width = images.shape[2:]
    wide = functional.pad(images, [pixels] * 4, mode="replicate")
    corners = [(1, 1), (1, 0), (1, 2), (0, 1), (2, 1)]
    return [
        wide[:, :, y * pixels : y * pixels + height, x * pixels : x * pixels + width]
        for y, x in corners
    ]


def log_mean_probability(answers: Iterable[Tensor]) -> Tensor:
    """Logits (N, 10) of which the softmax is the mean of the answers' softmaxes."""
    log_probabilities = torch.stack([logits.log_softmax(dim=1) for logits in answers])
    return log_probabilities.logsumexp(dim=0) - math.log(len(log_probabilities))
