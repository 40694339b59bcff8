"""What the two networks are punished for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .networks import SEPARATOR
from .truth import Geometry, Labels

# The names of the losses, in the order in which they are given.
DETECT = ("heat", "middle")
LOOK = ("class", "ink", "box")


def detect_loss(output: Tensor, truth: Geometry) -> Tensor:
    """Focal loss of the heat, for each digit, and smooth L1 of middles and sizes: (2,).

    The focal loss is that of "Objects as Points" (Zhou, Wang and Krähenbühl, 2019).
    """
    heat, offsets, log_size = output[:, 0], output[:, 1:3], output[:, 3:]
    score = heat.sigmoid()
    middle = truth.heat == 1
    positive = (1 - score) ** 2 * functional.logsigmoid(heat) * middle
    negative = (1 - truth.heat) ** 4 * score**2 * functional.logsigmoid(-heat) * ~middle
    focal = -((positive + negative) * truth.counts).sum() / middle.sum().clamp_min(4)
    # Offsets in units of four pixels, so that all three errors are of a similar size.
    guess = torch.cat([offsets / 4, log_size], dim=1)
    wanted = torch.cat([truth.offsets[:, :2] / 4, truth.offsets[:, 2:]], dim=1)
    miss = functional.smooth_l1_loss(guess, wanted, beta=0.1, reduction="none").sum(dim=1)
    return torch.stack([focal, (miss * truth.near).sum() / truth.near.sum().clamp_min(4)])


def look_loss(output: tuple[Tensor, Tensor, Tensor], truth: Labels) -> Tensor:
    """Losses of the classes (cross-entropy), ink (cross-entropy, Dice) and box (smooth L1): (3,).

    Ink and box count only for digits. Dice: Milletari, Navab and Ahmadi, "V-Net", 2016.
    """
    names, ink, boxes = (part.float() for part in output)
    digit = (truth.classes < SEPARATOR).float()
    count = digit.sum().clamp_min(1)
    entropy = functional.cross_entropy(names, truth.classes)
    pixels = functional.binary_cross_entropy_with_logits(ink, truth.ink, reduction="none")
    share = ink.sigmoid()
    both = 2 * (share * truth.ink).sum(dim=(1, 2)) + 1
    dice = 1 - both / (share.sum(dim=(1, 2)) + truth.ink.sum(dim=(1, 2)) + 1)
    inked = (digit * (pixels.mean(dim=(1, 2)) + 0.5 * dice)).sum() / count
    miss = functional.smooth_l1_loss(boxes, truth.boxes, beta=0.05, reduction="none").sum(dim=1)
    return torch.stack([entropy, inked, (digit * miss).sum() / count])
