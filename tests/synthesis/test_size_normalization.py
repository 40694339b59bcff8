"""Ink is framed as MNIST frames it, in torch."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pages import tight
from torch import Tensor

from mnist_digits import Digits, Reader
from mnist_digits.synthesis.size_normalization import size_normalized

SIDE = 56


def placed(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The ink of a digit of MNIST as the network gives it: 28 pixels, somewhere in (56, 56)."""
    ink = tight(image).astype(np.float32) / 255
    high, wide = (max(1, round(side * 28 / max(ink.shape))) for side in ink.shape)
    result = np.zeros((SIDE, SIDE), np.float32)
    top, left = (SIDE - high) // 2, (SIDE - wide) // 3
    result[top : top + high, left : left + wide] = cv2.resize(ink, (wide, high))
    return result


def test_a_digit_of_mnist_is_framed_as_it_was(test_set: Digits) -> None:
    """And read as well: of 2,000 digits at most 0.1% more are wrong."""
    images = test_set.images[:2000, 0].numpy()
    ink = torch.from_numpy(np.stack([placed(image) for image in images]))
    frames = size_normalized(ink).numpy()
    assert np.abs(frames.astype(int) - images).mean() < 10
    reader, labels = Reader.load(), test_set.labels[:2000].numpy()
    wrong = [reader.classify(each).argmax(axis=1) != labels for each in (images, frames)]
    assert wrong[1].sum() <= wrong[0].sum() + 2


@given(size=st.integers(6, 56), seed=st.integers(0, 1000))
def test_ink_of_any_size_fills_the_box_around_its_centre_of_mass(size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    ink = np.zeros((SIDE, SIDE), np.float32)
    x, y = random.integers(0, SIDE - size + 1, 2)
    points = random.integers(0, size, (5, 2)) + np.array([x, y])
    points[:2] = [(x, y), (x + size - 1, y + size - 1)]
    cv2.polylines(ink, [points.astype(np.int32)], False, 1.0, max(1, size // 10))
    (frame,) = size_normalized(torch.from_numpy(ink[None])).numpy()
    assert frame.max() == 255
    ys, xs = np.nonzero(frame > 64)
    assert 16 <= max(np.ptp(ys), np.ptp(xs)) + 1 <= 25
    # Where the box leaves room, the centre of mass is in the middle.
    for sums, places in ((frame.sum(axis=0), xs), (frame.sum(axis=1), ys)):
        centre = sums @ np.arange(28) / sums.sum()
        assert abs(centre - 14) < 1 or places.min() <= 1 or places.max() >= 26


def test_faint_ink_does_not_count_and_no_ink_gives_an_empty_frame() -> None:
    def line(beside: float) -> Tensor:
        ink = torch.full((1, SIDE, SIDE), beside)
        ink[0, 14:42, 26:29] = 0.8
        return size_normalized(ink)

    assert torch.equal(line(0.1), line(0.0))
    assert not torch.equal(line(0.2), line(0.0))
    for count, level in ((2, 0.0), (2, 0.3), (0, 0.0)):
        empty = size_normalized(torch.full((count, SIDE, SIDE), level))
        assert empty.shape == (count, 28, 28)
        assert not empty.any()
