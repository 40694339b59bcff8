"""Random numbers and smooth random fields for each image of a batch, on its device."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional


def waves(count: int, channels: int, knots: int, device: torch.device) -> Tensor:
    """Smooth random fields (count, channels, 28, 28).

    They are normal values at knots × knots points, interpolated between them.

    Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied
    to Visual Document Analysis", 2003, bend digits by such fields.
    """
    values = torch.randn(count, channels, knots**2, device=device)
    return (values @ _ripples(knots, device)).unflatten(2, (28, 28))


@cache
def _ripples(knots: int, device: torch.device) -> Tensor:
    """For each of knots × knots points, the interpolated field that is 1 there and 0 at the others.

    float32 (knots², 784).
    """
    values = torch.eye(knots**2, device=device).view(-1, 1, knots, knots)
    return functional.interpolate(values, size=28, mode="bicubic", align_corners=True).flatten(1)


def uniform(images: Tensor, low: float, high: float) -> Tensor:
    """A random number from `low` to `high` for each image, (N, 1, 1, 1)."""
    return low + (high - low) * torch.rand(len(images), 1, 1, 1, device=images.device)


def pixel_coordinates(device: torch.device) -> tuple[Tensor, Tensor]:
    """The x (1, 1, 1, 28) and y (1, 1, 28, 1) of the pixels' centres, from -13.5 to 13.5."""
    line = torch.arange(28, device=device) - 13.5
    return line.view(1, 1, 1, 28), line.view(1, 1, 28, 1)
