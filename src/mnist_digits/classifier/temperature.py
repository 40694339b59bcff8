"""The temperature of a network, and the training images that it is fitted on.

It divides the logits, so that a confidence of 90% is right nine times of ten (Guo, Pleiss, Sun and
Weinberger, "On Calibration of Modern Neural Networks", 2017). Label smoothing alone would leave a
network at 89% for a plain 7.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..data.dataset import Digits
from .evaluation import logits_of
from .model import DigitNet

# With fewer images to fit it on, the temperature stays 1: otherwise chance would choose it.
MIN_IMAGES = 100
LOWEST, HIGHEST = 10**-1.5, 10.0


def split_calibration(digits: Digits, fraction: float) -> tuple[Digits, Digits | None]:
    """Cut the images for the temperature from the training images: (what remains, those).

    About this fraction of each digit, evenly spread in the order of the file: one of every
    `round(1 / fraction)`. Adding digits at the end does not change which of the earlier ones are
    taken. Images that occur more than once are not taken, because the network would learn from
    the copy. None are taken where they would be fewer than MIN_IMAGES.
    """
    if not fraction:
        return digits, None
    every = round(1 / fraction)
    single = _single(digits.images)
    held_out = torch.zeros_like(single)
    for digit in range(10):
        indices = ((digits.labels == digit) & single).nonzero()[:, 0]
        held_out[indices[every // 2 :: every]] = True
    if int(held_out.sum()) < MIN_IMAGES:
        return digits, None
    return digits[~held_out], digits[held_out]


def _single(images: Tensor) -> Tensor:
    """bool (N,): no other image is the same as this one.

    Compared by the sum of their bytes, eight at a time, modulo 2^64: 10 ms for the 60,000.
    """
    sums = images.contiguous().view(len(images), -1).view(torch.int64).sum(dim=1)
    _, kinds, counts = sums.unique(return_inverse=True, return_counts=True)
    return counts[kinds] == 1


def set_temperature(model: DigitNet, digits: Digits) -> None:
    """Fit the network's temperature on digits that it has not learned from, and set it."""
    model.temperature.fill_(1.0)
    model.temperature.fill_(fit_temperature(logits_of(model, digits.images), digits.labels))


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature at which the labels (N,) are most probable by the logits (N, 10).

    The cross-entropy is convex in 1 / temperature; it is least where the mean logit of the labels
    equals the mean that the probabilities predict. But the mean confidence must not exceed
    (N + 1) / (N + 2), Laplace's rule of succession: where no answer is wrong, the likelihood alone
    would ask for the lowest temperature there is.
    """
    logits, labels, count = logits.cpu().double(), labels.cpu(), len(labels)
    of_labels = logits.gather(1, labels[:, None]).mean()
    low, high = LOWEST, HIGHEST
    for _ in range(30):  # to 8 digits, as many as float32 has
        middle = (low * high) ** 0.5
        probabilities = (logits / middle).softmax(dim=1)
        expected = (probabilities * logits).sum(dim=1).mean()
        confidence = probabilities.amax(dim=1).mean()
        if expected < of_labels and confidence < (count + 1) / (count + 2):
            high = middle
        else:
            low = middle
    return (low * high) ** 0.5
