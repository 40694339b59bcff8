"""The network that finds digits: a small U-Net.

    uint8 pixels (N, 3, H, W), H and W multiples of 32
    ink      (N, 1, H/2, W/2)  logits: is it ink of a digit?
    votes    (N, 3, H/4, W/4)  offset x, y to the middle of the digit, in units of 32 pixels, and
                               the logarithm of its size, in units of 40 pixels

Ronneberger, Fischer and Brox, "U-Net", 2015. That each pixel votes for the middle of its object
is from Cheng et al., "Panoptic-DeepLab", 2020.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

OFFSET_UNIT, SIZE_UNIT = 32.0, 40.0


def layer(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """A convolution, batch norm, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class FinderNet(nn.Module):
    """An encoder from 1/2 to 1/32 of the resolution, and a decoder up to 1/4.

    The widths are the channels of the five scales.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.stem = layer(3, widths[0], stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(layer(fine, coarse, stride=2), layer(coarse, coarse))
            for fine, coarse in pairs
        )
        self.deepest = layer(widths[-1], widths[-1])
        self.up = nn.ModuleList(
            nn.Sequential(layer(fine + coarse, fine, kernel=1), layer(fine, fine))
            for fine, coarse in reversed(pairs[1:])
        )
        # Ink has twice the resolution of the votes: four values for each of their pixels.
        self.head = nn.Conv2d(widths[1], 4 + 3, 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = pixels.float() / 255
        features = self.stem(features - features.mean(dim=(2, 3), keepdim=True))
        scales: list[Tensor] = []
        for down in self.down:
            features = down(features)
            scales.append(features)
        features = self.deepest(scales.pop())
        for up in self.up:
            finer = scales.pop()
            enlarged = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = up(torch.cat([enlarged, finer], dim=1))
        result = cast(Tensor, self.head(features))
        return functional.pixel_shuffle(result[:, :4], 2), result[:, 4:]
