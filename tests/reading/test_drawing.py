"""The only piece of ink on even ground is found without a network; anything else is left to it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pages import Pixels

from mnist_digits.reading.drawing import only_piece


def stroke(ground: int, ink: int) -> Pixels:
    """A slanted stroke from (40, 20) to (60, 80), five pixels wide."""
    pixels = np.full((100, 120, 3), ground, np.uint8)
    return np.asarray(cv2.line(pixels, (40, 20), (60, 80), (ink,) * 3, 5), np.uint8)


@pytest.mark.parametrize(("ground", "ink"), [(255, 0), (0, 255), (200, 150)])
def test_one_stroke(ground: int, ink: int) -> None:
    piece = only_piece(stroke(ground, ink))
    assert piece
    np.testing.assert_allclose(piece.box, (37, 17, 63, 83), atol=2)
    assert piece.ink.max() == 1
    assert piece.ink.shape == (piece.box[3] - piece.box[1], piece.box[2] - piece.box[0])


def test_it_is_left_to_the_finder() -> None:
    two = cv2.circle(stroke(255, 0), (90, 50), 10, (0, 0, 0), -1)
    beside = cv2.circle(stroke(255, 0), (90, 50), 10, (200,) * 3, 2)
    faint = stroke(255, 250)
    slope = np.linspace(100, 255, 120).astype(np.uint8)[None, :, None].repeat(100, 0).repeat(3, 2)
    blank = np.full((100, 120, 3), 128, np.uint8)
    for pixels in (two, beside, faint, np.minimum(stroke(255, 0), slope), blank):
        assert only_piece(np.asarray(pixels, np.uint8)) is None
