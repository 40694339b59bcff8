"""Ink framed as MNIST frames it, in torch: for the training, and as a part of the exported graph.

Fitted into 20 × 20 pixels with its proportions kept, anti-aliased, and its centre of mass in the
middle of 28 × 28 pixels: LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to
Document Recognition", 1998.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import roi_align

from ..reading.mnist_frame import BOX, FRAME

# Ink fainter than FAINT does not count; the box is that of the ink above SOLID.
FAINT, SOLID = 0.15, 0.4


def size_normalized(ink: Tensor) -> Tensor:
    """Frames, uint8 (P, 28, 28), of the ink of digits, float (P, S, S), 0 to 1.

    Without solid ink a frame is empty.
    """
    ink = torch.where(ink < FAINT, 0.0, ink)
    spans = [_span(ink.amax(dim=dim)) for dim in (1, 2)]
    longest = torch.maximum(*(end - start for start, end in spans))
    # How many places of the ink make one pixel of the frame.
    scale = longest.clamp_min(1) / BOX
    corners = [
        _corner(ink.sum(dim=dim), span, scale) for dim, span in zip((1, 2), spans, strict=True)
    ]
    # Not len(), which the export would take for a constant.
    number = torch.arange(ink.shape[0], device=ink.device).to(ink)
    ends = [corner + FRAME * scale for corner in corners]
    frames = roi_align(
        ink[:, None], torch.stack([number, *corners, *ends], dim=1), FRAME, aligned=True
    )
    frames = frames[:, 0] * (longest > 0).to(ink)[:, None, None]
    return (frames / frames.amax(dim=(1, 2), keepdim=True).clamp_min(1e-6) * 255).round().byte()


def _span(most: Tensor) -> tuple[Tensor, Tensor]:
    """Where solid ink begins and ends along a side, each (P,), from its maxima (P, S) there."""
    places = torch.arange(most.shape[1], device=most.device).to(most)
    solid = most > SOLID
    start = torch.where(solid, places, most.shape[1]).amin(dim=1)
    return start, torch.where(solid, places + 1, 0).amax(dim=1)


def _corner(sums: Tensor, span: tuple[Tensor, Tensor], scale: Tensor) -> Tensor:
    """Where the frame begins, (P,), so that the centre of mass of sums (P, S) lies at its pixel 14.

    It begins elsewhere if the solid ink would otherwise not stay inside.
    """
    places = torch.arange(sums.shape[1], device=sums.device).to(sums) + 0.5
    centre = (sums * places).sum(dim=1) / sums.sum(dim=1).clamp_min(1e-6)
    start, end = span
    corner = centre - (FRAME / 2 + 0.5) * scale
    return torch.minimum(torch.maximum(corner, end - FRAME * scale), start)
