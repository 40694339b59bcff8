"""Scenes are pictures with their truth: the truth must be that of the picture."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mnist_digits import Digits, RecipeError
from mnist_digits.synthesis.canvas import SIDE
from mnist_digits.synthesis.scene import FEATURES, LAYOUTS, Scene, contact_sheet, scene
from mnist_digits.synthesis.templates import Templates, load_templates


@pytest.fixture(scope="module")
def templates(training_set: Digits) -> Templates:
    return load_templates(training_set[:300], 100)


def made(templates: Templates, seed: int, layout: str | None = None, *features: str) -> Scene:
    return scene(np.random.default_rng(seed), templates, layout, features if layout else None)


def pages(templates: Templates, count: int, layout: str, *features: str) -> list[Scene]:
    return [made(templates, seed, layout, *features) for seed in range(count)]


def differs(page: Scene, levels: int) -> NDArray[np.bool_]:
    """Where the picture differs from its ground by more than so many levels."""
    pixels = page.pixels.astype(int)
    ground = np.median(pixels.reshape(-1, 3), axis=0)
    return np.asarray(np.abs(pixels - ground).max(axis=2) > levels)


@pytest.mark.slow
@given(seed=st.integers(0, 2**32))
def test_a_scene_follows_from_its_seed(templates: Templates, seed: int) -> None:
    one, again = made(templates, seed), made(templates, seed)
    np.testing.assert_array_equal(one.pixels, again.pixels)
    np.testing.assert_array_equal(one.owner, again.owner)
    assert one.marks == again.marks
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
def test_other_seeds_give_other_scenes(layout: str, templates: Templates) -> None:
    one, other = (page.pixels for page in pages(templates, 2, layout))
    assert (one != other).any()


def test_the_text_is_in_reading_order(templates: Templates) -> None:
    for page in pages(templates, 15, "table"):
        seen = [n for n in range(len(page.digits)) if (page.owner == n).any()]
        assert sum(map(len, page.text.split("/"))) == len(seen)
        heights = [
            np.mean([digit.y for digit in page.digits if digit.row == row])
            for row in sorted({digit.row for digit in page.digits})
        ]
        assert heights == sorted(heights)


def test_where_there_is_no_digit_there_is_no_text(templates: Templates) -> None:
    for empty in pages(templates, 10, "none", "things", "letters", "scribbles", "marks"):
        assert empty.text == ""
        assert (empty.owner == -1).all()
        assert empty.pixels.std() > 0


@pytest.mark.parametrize(
    ("layout", "features", "kinds"),
    [("rows", [], set()), ("long", ["numbers"], {"separator", "minus", "other"})],
)
def test_all_ink_on_plain_paper_is_a_digits_or_a_marks_where_they_say(
    layout: str, features: list[str], kinds: set[str], templates: Templates
) -> None:
    seen = set()
    for page in pages(templates, 30, layout, "plain", *features):
        ink, known = differs(page, 12), (page.owner != -1).astype(np.uint8)
        for mark in page.marks:
            x0, y0, x1, y1 = mark.box
            assert ink[y0:y1, x0:x1].any()
            assert x0 <= mark.x <= x1
            assert y0 <= mark.y <= y1
            assert mark.size == max(4, y1 - y0, 0.7 * (x1 - x0))
            known[y0:y1, x0:x1] = 1
            seen.add(mark.kind)
        near = cv2.dilate(known, np.ones((7, 7), np.uint8)) > 0
        assert differs(page, 30)[~near].mean() < 0.001
    assert seen == kinds


def test_marks_move_with_a_picture_that_is_cut(templates: Templates) -> None:
    wholes = pages(templates, 10, "long", "plain", "numbers")
    cuts = pages(templates, 10, "long", "plain", "numbers", "cut")
    assert any(cut.marks for cut in cuts)
    for whole, cut in zip(wholes, cuts, strict=True):
        across, down = whole.digits[0].x - cut.digits[0].x, whole.digits[0].y - cut.digits[0].y
        places = {(mark.x, mark.y) for mark in whole.marks}
        assert {(mark.x + across, mark.y + down) for mark in cut.marks} <= places


def test_one_hand_writes_images_that_stand_together() -> None:
    """Where every image looks as its number says, the digits of one hand look alike."""
    images = np.zeros((1000, 28, 28), np.uint8)
    images[:, 4:24, 12:16] = 255
    templates = Templates(images, np.arange(1000) // 100)
    for written in pages(templates, 10, "rows", "hand"):
        labels = [digit.label for digit in written.digits]
        assert max(labels, default=0) - min(labels, default=0) <= 2


def test_drawn_digits_stand_in_the_order_of_their_hands(training_set: Digits) -> None:
    """A hand writes each digit in one form."""
    templates = load_templates(training_set[:10], 500)
    drawn, labels = torch.from_numpy(templates.images[10:]).flatten(1), templates.labels[10:]
    hands = np.arange(500) // 100
    apart = torch.cdist(drawn.float(), drawn.float(), p=1).numpy()
    alike = (labels[:, None] == labels) & ~np.eye(500, dtype=bool)
    one_hand = hands[:, None] == hands
    assert apart[alike & one_hand].mean() < 0.9 * apart[alike & ~one_hand].mean()


def touch(page: Scene) -> list[bool]:
    """Of each pair of neighbours in a row: whether their ink meets."""
    pairs = []
    order = sorted(enumerate(page.digits), key=lambda item: (item[1].row, item[1].x))
    for (number, one), (beside, other) in pairwise(order):
        if one.row == other.row:
            near = cv2.dilate((page.owner == number).astype(np.uint8), np.ones((5, 5))) > 0
            pairs.append(bool((near & (page.owner == beside)).any()))
    return pairs


def test_neighbours_touch_where_they_are_to(templates: Templates) -> None:
    def share(*features: str) -> float:
        rows = pages(templates, 20, "rows", "plain", *features)
        return float(np.mean([pair for page in rows for pair in touch(page)]))

    assert share("touching") > 0.6 > share("close") > share() + 0.15


def test_rows_climb(templates: Templates) -> None:
    ends = [(page.digits[0], page.digits[-1]) for page in pages(templates, 20, "long", "climbing")]
    steep = [
        abs(np.degrees(np.arctan2(last.y - first.y, last.x - first.x))) for first, last in ends
    ]
    assert 20 < np.mean(steep) < 40
    assert max(steep) < 60


def test_a_filled_picture_is_full_of_its_digit(templates: Templates) -> None:
    for page in pages(templates, 10, "filled", "plain"):
        ys, _ = np.nonzero(page.owner == 0)
        assert len(ys) == 0 or np.ptp(ys) > 0.9 * SIDE


def test_scans_are_in_black_and_white(templates: Templates) -> None:
    scans = pages(templates, 10, "rows", "plain", "binary")
    extreme = [((page.pixels < 90) | (page.pixels > 240)).mean() for page in scans]
    assert np.median(extreme) > 0.98
    assert all((page.pixels == page.pixels[:, :, :1]).mean() > 0.9 for page in scans)
    assert any(page.text for page in scans)


def test_digits_that_a_table_cuts_off_do_not_count(templates: Templates) -> None:
    tables = pages(templates, 10, "cells", "plain", "cut", "close")
    for page in tables:
        for number, digit in enumerate(page.digits):
            assert min(digit.box[2:]) > 0 or not (page.owner == number).any()
    assert any((page.owner == -2).any() for page in tables)


def test_digits_that_are_scribbled_over_do_not_count(templates: Templates) -> None:
    deleted = pages(templates, 20, "rows", "deleted")
    lost = sum(len(page.digits) - len(page.text.replace("/", "")) for page in deleted)
    assert 0.1 < lost / sum(len(page.digits) for page in deleted) < 0.6


def test_broken_strokes_are_in_more_pieces(templates: Templates) -> None:
    def pieces(*features: str) -> int:
        owners = [page.owner for page in pages(templates, 20, "one", "whole", *features)]
        joined = [cv2.dilate((owner >= 0).astype(np.uint8), np.ones((3, 3))) for owner in owners]
        return sum(cv2.connectedComponents(mask)[0] - 1 for mask in joined)

    assert pieces("broken") > 1.3 * pieces()


LAYOUT_OF = {"enlarged": "one", "pixels": "filled"}


@pytest.fixture(scope="module")
def bare(templates: Templates) -> dict[str, list[Scene]]:
    """Eight scenes of each of these layouts."""
    return {layout: pages(templates, 8, layout) for layout in ("rows", *LAYOUT_OF.values())}


@pytest.mark.parametrize("feature", sorted(set(FEATURES) - {"tiny", "whole", "touching", "broken"}))
def test_every_feature_changes_the_picture(
    feature: str, bare: dict[str, list[Scene]], templates: Templates
) -> None:
    """Not in each scene: a scribble that would lie on a digit is left out."""
    layout = LAYOUT_OF.get(feature, "rows")
    pairs = zip(bare[layout], pages(templates, 8, layout, feature), strict=True)
    assert sum((plain.pixels != other.pixels).any() for plain, other in pairs) >= 4


def test_sizes_are_those_asked_for(templates: Templates) -> None:
    assert max(d.size for page in pages(templates, 10, "rows", "tiny") for d in page.digits) < 30
    assert min(d.size for page in pages(templates, 10, "one", "whole") for d in page.digits) > 120


def test_a_contact_sheet(templates: Templates) -> None:
    sheet, truth = (contact_sheet(templates, 0, "one", [], shown) for shown in (False, True))
    picture = cv2.imdecode(np.frombuffer(sheet, np.uint8), cv2.IMREAD_COLOR)
    assert np.asarray(picture).shape == (4 * SIDE, 8 * SIDE, 3)
    assert sheet != truth
    for layout, features in (("circle", []), ("one", ["circle"])):
        with pytest.raises(RecipeError, match="no 'circle': choose among"):
            contact_sheet(templates, 0, layout, features)
