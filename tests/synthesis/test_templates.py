"""A template is its skeleton, drawn with any pen."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_digits import Digits
from mnist_digits.synthesis.templates import (
    Pen,
    Templates,
    draw_template,
    letters,
    load_templates,
    thinned,
)


@pytest.fixture(scope="module")
def templates(training_set: Digits) -> Templates:
    return load_templates(training_set[:200], 50)


@given(seed=st.integers(0, 10_000), radius=st.integers(1, 6))
def test_a_skeleton_is_thin_connected_as_the_ink_was_and_inside_it(seed: int, radius: int) -> None:
    random = np.random.default_rng(seed)
    ink = np.zeros((90, 90), np.uint8)
    places = random.integers(15, 75, (4, 1, 2)).astype(np.int32)
    cv2.polylines(ink, [places], False, 1, 2 * radius + 1)
    bones = thinned(ink)
    assert not (bones & ~ink).any()
    assert cv2.connectedComponents(bones)[0] == cv2.connectedComponents(ink)[0]
    # Places that are in the middle of a square of nine would have been taken off.
    assert not cv2.erode(bones, np.ones((3, 3), np.uint8)).any()


def test_thinning_leaves_nothing_more_to_take_off() -> None:
    ink = cv2.circle(np.zeros((60, 60), np.uint8), (30, 30), 20, 1, 7)
    bones = thinned(ink)
    np.testing.assert_array_equal(thinned(bones), bones)
    # A ring stays a ring: the ground is in two parts.
    assert cv2.connectedComponents(1 - bones, connectivity=4)[0] == 3


@pytest.mark.parametrize("radius", [0.02, 0.05, 0.1])
def test_strokes_are_as_broad_as_the_pen(radius: float, templates: Templates) -> None:
    pen = Pen(radius, 0, 0, np.eye(2))
    breadths = []
    for number in range(40):
        ink, mask = draw_template(np.random.default_rng(0), templates, number, 100, pen)
        assert ink.shape == mask.shape
        depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
        bones = thinned(mask.astype(np.uint8)) > 0
        breadths.append(np.median(depth[bones]))
    assert np.median(breadths) == pytest.approx(100 * radius, abs=1.2)


def test_a_stroke_finer_than_a_pixel_is_faint_but_without_gaps(templates: Templates) -> None:
    pen = Pen(0.002, 0, 0, np.eye(2))
    ink, mask = draw_template(np.random.default_rng(0), templates, 0, 100, pen)
    assert ink.max() < 0.6
    assert mask.sum() > 80
    assert cv2.connectedComponents(mask.astype(np.uint8))[0] == 2


def test_drawn_digits_follow_those_of_mnist(templates: Templates, training_set: Digits) -> None:
    assert len(templates) == 250
    np.testing.assert_array_equal(templates.images[:200], training_set.images[:200, 0].numpy())
    assert set(templates.labels[200:]) <= set(range(10))
    assert (letters().labels == -1).all()
