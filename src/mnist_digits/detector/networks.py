"""The two networks that read pictures: one proposes where digits are, one looks at each proposal.

    DetectNet   uint8 pixels (N, 3, H, W), H and W multiples of 32
                -> (N, 4, H/4, W/4): heat, the logit of "here is the middle of a digit"; offset
                   x, y to that middle, in pixels; logarithm of its size, in units of 32 pixels
    LookNet     crops (N, 4, 56, 56), as `crops` cuts them
                -> classes (N, 13), ink (N, 56, 56) logits, box (N, 4)

A digit's size is its height, or 0.7 times its width if that is more. A crop is twice as wide and
as high, so that 28 of its 56 pixels are the digit's.

Zhou, Wang and Krähenbühl, "Objects as Points", 2019; Ronneberger, Fischer and Brox, "U-Net", 2015;
He et al., "Deep Residual Learning for Image Recognition", 2016, and "Mask R-CNN", 2017.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import roi_align

from ..reading.detection import CROP

# Along a side, the detector gives one place for 4 pixels; and it halves its input five times, so
# that sides must be multiples of 32.
STRIDE, MULTIPLE = 4, 32
SIZE_UNIT = 32.0
# The digits of all scenes lie well within 3 and 700 pixels.
SMALLEST, LARGEST = 3.0, 700.0
# The side of a crop, as a multiple of the digit's size.
CROP_SIZES = 2.0
# What the middle of a crop is: a digit, or one of these.
SEPARATOR, MINUS, NONE = 10, 11, 12
CLASSES = 13


def layer(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """A convolution, batch norm, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class DetectNet(nn.Module):
    """An encoder from 1/2 to 1/32 of the resolution, and a decoder up to 1/4.

    The widths are the channels of the five scales.
    """

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 112, 160)) -> None:
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
        self.head = nn.Conv2d(widths[1], 4, 1)
        # Middles are rare: at first each place is one with a probability of 0.01.
        nn.init.constant_(self.head.bias[:1], -4.6)  # type: ignore[index]

    def forward(self, pixels: Tensor) -> Tensor:
        features = pixels.float() / 255
        # In two steps, because the browser's runtime loses precision in long sums.
        mean = features.mean(dim=2, keepdim=True).mean(dim=3, keepdim=True)
        features = self.stem(features - mean)
        scales: list[Tensor] = []
        for down in self.down:
            features = down(features)
            scales.append(features)
        features = self.deepest(scales.pop())
        for up in self.up:
            finer = scales.pop()
            enlarged = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = up(torch.cat([enlarged, finer], dim=1))
        result: Tensor = self.head(features)
        return result


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = layer(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(features + self.norm(self.second(self.first(features))))


class LookNet(nn.Module):
    """An encoder from 1/2 to 1/16 of a crop that names it, and a decoder that shows its ink."""

    def __init__(self, widths: tuple[int, ...] = (24, 64, 112, 160)) -> None:
        super().__init__()
        first, second, third, last = widths
        self.halves = nn.Sequential(layer(4, first, stride=2), layer(first, 32))
        self.quarters = nn.Sequential(layer(32, second, stride=2), Residual(second))
        self.eighths = nn.Sequential(layer(second, third, stride=2), Residual(third))
        self.deepest = layer(third, last, stride=2)
        self.hidden = nn.Sequential(nn.Linear(last * 16, 128), nn.ReLU(), nn.Dropout(0.2))
        self.names = nn.Linear(128, CLASSES)
        self.box = nn.Linear(128, 4)
        self.to_quarters = nn.Sequential(layer(third + second, 48, kernel=1), layer(48, 48))
        self.to_halves = nn.Sequential(layer(48 + 32, 24, kernel=1), layer(24, 24))
        self.ink = nn.Conv2d(24, 4, 1)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The logits of what is in the middle, those of its ink, and its box as offsets.

        A box is x0, y0, x1, y1 from the crop's middle, in sizes of the proposal.
        """
        halves = self.halves(crops)
        quarters = self.quarters(halves)
        eighths = self.eighths(quarters)
        hidden = self.hidden(self.deepest(eighths).flatten(1))
        up = functional.interpolate(eighths, scale_factor=2.0, mode="nearest")
        up = self.to_quarters(torch.cat([up, quarters], dim=1))
        up = functional.interpolate(up, scale_factor=2.0, mode="nearest")
        up = self.to_halves(torch.cat([up, halves], dim=1))
        # Four values for each place, since the ink has twice the resolution.
        return self.names(hidden), functional.pixel_shuffle(self.ink(up), 2)[:, 0], self.box(hidden)


def cut_out(maps: Tensor, proposals: Tensor, sizes: float, side: int) -> Tensor:
    """The squares around proposals (P, 4), so many sizes wide: float (P, C, side, side).

    Args:
        maps: float (N, C, H, W); beyond them all is 0.
    """
    number, x, y, size = proposals.unbind(1)
    half = size * (sizes / 2)
    boxes = torch.stack([number, x - half, y - half, x + half, y + half], dim=1)
    return roi_align(maps, boxes, side, aligned=True)


def places_of(output: Tensor) -> Tensor:
    """What DetectNet gives, (N, 4, h, w), as x, y and size in pixels, and the score of peaks.

    The score is 0 where there is no peak: where the heat is not the highest of nine places.
    """
    heat, x, y, scale = output.unbind(1)
    rows = (torch.arange(heat.shape[1], device=heat.device) + 0.5)[:, None] * STRIDE
    columns = (torch.arange(heat.shape[2], device=heat.device) + 0.5)[None] * STRIDE
    highest = functional.max_pool2d(heat[:, None], 3, stride=1, padding=1)[:, 0]
    size = (SIZE_UNIT * scale.exp()).clamp(SMALLEST, LARGEST)
    score = torch.where(heat == highest, heat.sigmoid(), 0.0)
    return torch.stack([columns + x, rows + y, size, score], dim=1)


def crops(pixels: Tensor, proposals: Tensor, inside: Tensor | None = None) -> Tensor:
    """What is around proposals: contrast in three colours, and where the picture is.

    Args:
        pixels: float or uint8 (N, 3, H, W), 0 to 255.
        proposals: float (P, 4): the picture's number, x, y and size, in pixels.
        inside: float (N, 1, H, W), 0 where pixels only fill up a picture, else 1; by default 1.

    Returns:
        float (P, 4, 56, 56). Beyond the picture all is 0; the colours have mean 0, and deviation
        1, or less on even ground.
    """
    colours = pixels.float() / 255
    if inside is None:
        inside = torch.ones_like(colours[:, :1])
    else:
        colours = colours * inside
    seen = cut_out(torch.cat([colours, inside], dim=1), proposals, CROP_SIZES, CROP)
    colours, inside = seen[:, :3], seen[:, 3:]
    share = inside.mean(dim=2).mean(dim=2)[:, :, None, None].clamp_min(1e-3)
    mean = colours.mean(dim=2).mean(dim=2).mean(dim=1)[:, None, None, None] / share
    centred = colours - inside * mean
    variance = (centred * centred).mean(dim=2).mean(dim=2).mean(dim=1)[:, None, None, None] / share
    return torch.cat([centred / (variance.sqrt() + 0.03), inside], dim=1)
