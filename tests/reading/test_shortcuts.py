"""Shortcuts in reading: each gives what the long way gives."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from mnist_digits.reading.finder import resized
from mnist_digits.reading.framing import percentile
from mnist_digits.reading.picture import open_picture
from mnist_digits.reading.votes import votes_of


@pytest.mark.parametrize("size", [(280, 280), (301, 97), (64, 700), (129, 257)])
def test_a_grey_picture_is_reduced_as_one_plane(size: tuple[int, int]) -> None:
    grey = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    pixels = cv2.merge([grey] * 3)
    for scale in (0.1, 128 / 280, 0.5, 0.93):
        sides = tuple(max(8, round(side * scale)) for side in size[::-1])
        expected = cv2.resize(pixels, sides, interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(resized(pixels, scale), expected)


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_a_picture_with_a_coloured_pixel_is_not_grey(plane: int) -> None:
    pixels = np.full((40, 50, 3), 200, np.uint8)
    pixels[7, 8, plane] = 0
    expected = cv2.resize(pixels, (25, 20), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(resized(pixels, 0.5), expected)
    assert len(np.unique(resized(pixels, 0.5)[..., plane])) == 2


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(40, 30), (3000, 1700)])
def test_the_pixels_are_those_of_the_colours(mode: str, size: tuple[int, int]) -> None:
    grey = np.random.default_rng(0).integers(0, 2, size[::-1], dtype=np.uint8) * 255
    image = Image.fromarray(grey).convert(mode)
    file = io.BytesIO()
    image.save(file, "PNG")
    expected = image.convert("RGB")
    expected.thumbnail((1600, 1600), Image.Resampling.BOX)
    picture = open_picture(file.getvalue())
    np.testing.assert_array_equal(picture.pixels, np.asarray(expected))
    assert (picture.width, picture.height) == size


@pytest.mark.parametrize("share", [0, 25, 50, 99.5, 100])
def test_percentiles_are_those_of_numpy(share: float) -> None:
    random = np.random.default_rng(0)
    for count in (1, 2, 3, 7, 280, 400, 1001):
        values = random.random((count, 1), np.float32)
        # Versions of NumPy differ in the last bit.
        expected = float(np.percentile(values, share))
        assert percentile(values, share) == pytest.approx(expected, rel=2e-7)


def test_a_vote_weighs_as_much_as_the_strongest_of_its_four_places() -> None:
    random = np.random.default_rng(0)
    ink = random.random((64, 48), np.float32)
    votes = votes_of(ink, random.random((3, 32, 24), np.float32))
    expected = ink.reshape(32, 2, 24, 2).max(axis=(1, 3))
    assert (votes.weights == expected[votes.rows, votes.columns]).all()
    assert len(votes.weights) == (expected > 0.5).sum()
