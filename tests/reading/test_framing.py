"""The ink of a digit is framed as MNIST frames it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import tight

from mnist_digits import Digits
from mnist_digits.reading.framing import frame, percentile


def test_a_frame_of_mnist_is_framed_as_it_was(mnist: tuple[Digits, Digits]) -> None:
    """Framing again what is framed moves and changes hardly anything."""
    differences = []
    for image in mnist[1].images[:200, 0].numpy():
        again = frame(tight(image).astype(np.float32) / 255).astype(int)
        differences.append(np.abs(again - image).mean())
    assert np.median(differences) < 4


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    seed=st.integers(0, 1000),
)
def test_any_ink_fits_the_frame(width: int, height: int, seed: int) -> None:
    ink = np.random.default_rng(seed).random((height, width)).astype(np.float32)
    framed = frame(ink)
    assert framed.shape == (28, 28)
    assert framed.dtype == np.uint8
    assert framed.max() > 100


def test_a_thin_line_stays_visible() -> None:
    ink = np.zeros((400, 400), np.float32)
    cv2.line(ink, (20, 10), (380, 390), 1.0, 1)
    framed = frame(ink)
    assert (framed > 128).sum() >= 15


@pytest.mark.parametrize("share", [0, 25, 50, 99.5, 100])
def test_percentiles_are_those_of_numpy(share: float) -> None:
    random = np.random.default_rng(0)
    for count in (1, 2, 3, 7, 280, 400, 1001):
        values = random.random((count, 1), np.float32)
        # Versions of NumPy differ in the last bit.
        expected = float(np.percentile(values, share))
        assert percentile(values, share) == pytest.approx(expected, rel=2e-7)
