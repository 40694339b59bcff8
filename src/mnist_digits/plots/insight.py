"""What a network looks at: its filters, its features, the pixels that matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional

from ..data.dataset import Digits
from .style import GLOW, SIGNED, WIDTH, bordered, sheet, show, show_digit


def saliency(network: nn.Module, digits: Digits) -> Tensor:
    """How much each pixel matters for the answer: float32 (N, 28, 28) on the CPU, 0 or more.

    The absolute gradient of the largest logit, averaged over the pixel and its eight
    neighbours, because the gradients of neighbours differ by chance. (The page shows occlusion
    instead, which needs no gradients: `reading.explanation`.) Simonyan, Vedaldi and Zisserman,
    "Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency
    Maps", 2013.

    Args:
        network: takes float (N, 1, 28, 28), 0 to 255, gives logits (N, 10).
    """
    network.eval()
    pixels = digits.images.float().requires_grad_()
    with torch.enable_grad():
        logits = network(pixels)
        # An image's logits depend on no other image, so one sum has all their gradients.
        (gradient,) = torch.autograd.grad(logits.amax(dim=1).sum(), pixels)
    return functional.avg_pool2d(gradient.abs(), 3, stride=1, padding=1)[:, 0].cpu()


def filters(weights: Tensor, columns: int = 8) -> Figure:
    """The filters of a first convolution, (C, 1, height, width), all on one scale."""
    rows = -(-len(weights) // columns)
    figure, whole = sheet(WIDTH, rows * 1.1 + 0.4)
    below = whole.titled(f"{len(weights)} filters: orange looks for ink, blue for its absence")
    kernels = weights.detach()[:, 0].cpu().numpy()
    strongest = abs(kernels).max()
    for place, kernel in zip(below.grid(rows, columns, above=0), kernels, strict=False):
        bordered(show(place, kernel, cmap=SIGNED, vmin=-strongest, vmax=strongest))
    return figure


def feature_maps(digits: Digits, maps: Mapping[str, Tensor], columns: int = 16) -> Figure:
    """The first digit, and what each layer makes of it.

    Args:
        maps: for each layer's name its feature maps, (C, height, width), 0 or more.
    """
    rows = [-(-len(each) // columns) for each in maps.values()]
    heights = [0.5 + count * 0.56 for count in rows]
    figure, whole = sheet(WIDTH, sum(heights))
    margin = 0.12 * WIDTH
    show_digit(replace(whole, width=margin).grid(1, 1)[0], digits, 0)
    parts = replace(whole, left=margin, width=WIDTH - margin).stacked(*heights)
    for part, count, (name, stack) in zip(parts, rows, maps.items(), strict=True):
        below = part.titled(f"{name}: {len(stack)} maps of {stack.shape[1]} × {stack.shape[2]}")
        pictures = stack.detach().cpu().numpy()
        for place, pixels in zip(below.grid(count, columns, above=0), pictures, strict=False):
            bordered(show(place, pixels, cmap="gray_r", vmin=0, vmax=pictures.max()))
    return figure


def saliency_overlay(digits: Digits, saliency: Tensor, columns: int = 10) -> Figure:
    """Digits, pale, and over each how much its pixels matter.

    Args:
        saliency: (N, 28, 28), 0 or more, as `saliency` gives it.
    """
    rows = -(-len(digits) // columns)
    figure, whole = sheet(WIDTH, rows * 1.09)
    for index, place in zip(range(len(digits)), whole.grid(rows, columns), strict=False):
        show_digit(place, digits, index, faint=0.35)
        strongest = float(saliency[index].max())
        show(place, saliency[index].cpu().numpy(), cmap=GLOW, vmin=0, vmax=strongest)
    return figure
