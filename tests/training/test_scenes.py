"""Scenes are pictures with their truth: the truth must be that of the picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_digits import Digits, RecipeError
from mnist_digits.training.scenes.canvas import SIDE
from mnist_digits.training.scenes.glyphs import Glyphs, load_glyphs
from mnist_digits.training.scenes.scene import FEATURES, LAYOUTS, Scene, contact_sheet, scene


@pytest.fixture(scope="module")
def glyphs(mnist: tuple[Digits, Digits]) -> Glyphs:
    return load_glyphs(mnist[0][:300], 100)


def made(glyphs: Glyphs, seed: int, layout: str | None = None, *features: str) -> Scene:
    return scene(np.random.default_rng(seed), glyphs, layout, features if layout else None)


@pytest.mark.slow
@given(seed=st.integers(0, 2**32))
def test_a_scene_follows_from_its_seed_and_its_truth_is_whole(glyphs: Glyphs, seed: int) -> None:
    one, again = made(glyphs, seed), made(glyphs, seed)
    np.testing.assert_array_equal(one.pixels, again.pixels)
    np.testing.assert_array_equal(one.owner, again.owner)
    assert one.pixels.shape == (SIDE, SIDE, 3)
    assert one.pixels.dtype == np.uint8
    assert one.owner.min() >= -2
    assert one.owner.max() < len(one.digits)
    for number, digit in enumerate(one.digits):
        ys, xs = np.nonzero(one.owner == number)
        if len(ys):
            x0, y0, x1, y1 = digit.box
            assert x0 <= xs.min() <= xs.max() < x1
            assert y0 <= ys.min() <= ys.max() < y1
            assert digit.size >= 0.9 * (y1 - y0)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_other_seeds_give_other_scenes(layout: str, glyphs: Glyphs) -> None:
    one, other = (made(glyphs, seed, layout).pixels for seed in (1, 2))
    assert (one != other).any()


def test_ink_is_where_the_truth_has_it(glyphs: Glyphs) -> None:
    """On plain paper all that differs from the ground is owned, and all that is owned differs."""
    for seed in range(20):
        page = made(glyphs, seed, "rows", "plain")
        grey = page.pixels.astype(int)
        ground = np.median(grey.reshape(-1, 3), axis=0)
        differs = np.abs(grey - ground).max(axis=2) > 30
        owned = (page.owner >= 0).astype(np.uint8)
        near = cv2.dilate(owned, np.ones((5, 5), np.uint8)) > 0
        assert differs[~near].mean() < 0.001


def test_the_text_is_in_reading_order(glyphs: Glyphs) -> None:
    for seed in range(30):
        page = made(glyphs, seed, "table")
        rows = page.text.split("/")
        seen = [n for n in range(len(page.digits)) if (page.owner == n).any()]
        assert sum(map(len, rows)) == len(seen)
        heights = [
            np.mean([digit.y for digit in page.digits if digit.row == row])
            for row in sorted({digit.row for digit in page.digits})
        ]
        assert heights == sorted(heights)


def test_where_there_is_no_digit_there_is_no_text(glyphs: Glyphs) -> None:
    for seed in range(20):
        empty = made(glyphs, seed, "none", "things", "letters", "scribbles", "marks")
        assert empty.text == ""
        assert (empty.owner == -1).all()
        assert empty.pixels.std() > 0


def test_digits_that_are_scribbled_over_do_not_count(glyphs: Glyphs) -> None:
    pages = [made(glyphs, seed, "rows", "deleted") for seed in range(20)]
    lost = sum(len(page.digits) - len(page.text.replace("/", "")) for page in pages)
    assert 0.1 < lost / sum(len(page.digits) for page in pages) < 0.6


def test_broken_strokes_are_in_more_pieces(glyphs: Glyphs) -> None:
    def pieces(*features: str) -> int:
        owners = [made(glyphs, seed, "one", "whole", *features).owner for seed in range(40)]
        joined = [cv2.dilate((owner >= 0).astype(np.uint8), np.ones((3, 3))) for owner in owners]
        return sum(cv2.connectedComponents(mask)[0] - 1 for mask in joined)

    assert pieces("broken") > 1.3 * pieces()


@pytest.mark.parametrize("feature", sorted(set(FEATURES) - {"tiny", "whole", "touching", "broken"}))
def test_every_feature_changes_the_picture(feature: str, glyphs: Glyphs) -> None:
    """Not in each scene: a scribble that would lie on a digit is left out."""
    changed = 0
    for seed in range(12):
        layout = "one" if feature == "enlarged" else "rows"
        plain, other = (made(glyphs, seed, layout, *f) for f in ((), (feature,)))
        changed += (plain.pixels != other.pixels).any()
    assert changed >= 6


def test_sizes_are_those_asked_for(glyphs: Glyphs) -> None:
    tiny = [d.size for seed in range(20) for d in made(glyphs, seed, "rows", "tiny").digits]
    whole = [d.size for seed in range(20) for d in made(glyphs, seed, "one", "whole").digits]
    assert max(tiny) < 30
    assert min(whole) > 120


def test_a_contact_sheet(glyphs: Glyphs) -> None:
    sheet, truth = (contact_sheet(glyphs, 0, "one", [], shown) for shown in (False, True))
    picture = cv2.imdecode(np.frombuffer(sheet, np.uint8), cv2.IMREAD_COLOR)
    assert np.asarray(picture).shape == (4 * SIDE, 8 * SIDE, 3)
    assert sheet != truth
    for layout, features in (("circle", []), ("one", ["circle"])):
        with pytest.raises(RecipeError, match="no 'circle': choose among"):
            contact_sheet(glyphs, 0, layout, features)
