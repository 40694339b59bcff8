"""Digits of MNIST, laid on pages of many kinds, are found where they were put."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mnist_digits import Digits
from mnist_digits.framing import frame
from mnist_digits.segmentation import find_rows, find_single, halves

Pixels = NDArray[np.uint8]


def tight(image: Pixels) -> Pixels:
    ys, xs = np.nonzero(image)
    return image[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]


def page(
    digits: list[tuple[Pixels, int, int, int]],
    size: tuple[int, int] = (300, 400),
    paper: tuple[int, int, int] = (250, 250, 245),
    ink: tuple[int, int, int] = (20, 20, 60),
) -> Pixels:
    """A page (height, width) with digits at x, y, each so many pixels high."""
    cover = np.zeros(size, np.float32)
    for image, x, y, height in digits:
        part = tight(image)
        width = max(1, round(part.shape[1] * height / part.shape[0]))
        big = cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC) / 255
        cover[y : y + height, x : x + width] = np.maximum(
            cover[y : y + height, x : x + width], np.clip(big, 0, 1)
        )
    mix = cover[:, :, None]
    return (np.array(paper) * (1 - mix) + np.array(ink) * mix).round().astype(np.uint8)


@pytest.fixture(scope="module")
def images(mnist: tuple[Digits, Digits]) -> Pixels:
    return mnist[1].images[:, 0].numpy()


@pytest.mark.parametrize("level", [0, 1, 100, 254, 255])
def test_blank_paper_has_no_digits(level: int) -> None:
    assert find_rows(np.full((200, 300, 3), level, np.uint8))[0] == []
    assert find_single(np.full((28, 28, 3), level, np.uint8))[0] == []


def test_grain_and_shadow_are_no_digits() -> None:
    random = np.random.default_rng(0)
    light = np.linspace(120, 240, 600)[None, :, None] * np.linspace(0.7, 1, 400)[:, None, None]
    grain = random.normal(0, 4, (400, 600, 1))
    assert find_rows((light + grain).clip(0, 255).repeat(3, 2).astype(np.uint8))[0] == []


def test_digits_are_found_in_reading_order(images: Pixels) -> None:
    places = [(200, 40), (40, 50), (120, 30), (60, 180), (150, 170)]
    pixels = page([(images[n], x, y, 60) for n, (x, y) in enumerate(places)])
    rows, _ = find_rows(pixels)
    corners = [[glyph.box[:2] for glyph in row] for row in rows]
    expected = [[(40, 50), (120, 30), (200, 40)], [(60, 180), (150, 170)]]
    assert [len(row) for row in corners] == [3, 2]
    np.testing.assert_allclose(np.concatenate(corners), np.concatenate(expected), atol=3)


@given(
    number=st.integers(0, 199),
    height=st.integers(24, 200),
    x=st.integers(5, 190),
    y=st.integers(5, 90),
    dark=st.booleans(),
    contrast=st.integers(60, 240),
)
@example(number=8, height=24, x=5, y=5, dark=False, contrast=60)  # a 5 in two pieces, one bold
def test_one_digit_is_found_where_it_is(
    images: Pixels, number: int, height: int, x: int, y: int, dark: bool, contrast: int
) -> None:
    paper, ink = (255, 255 - contrast) if dark else (0, contrast)
    digit = (images[number], x, y, height)
    pixels = page([digit], (320, 520), paper=(paper,) * 3, ink=(ink,) * 3)
    ys, xs = np.nonzero(np.abs(pixels[:, :, 0].astype(int) - paper) > contrast / 2)
    box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    # Of a broken digit, one of the answers is the whole. A faint tail of a stroke may be
    # taken for paper or for ink.
    distance = [np.abs(np.array(glyph.box) - box).max() for glyph in find_single(pixels)[0]]
    assert min(distance) <= max(3, 0.15 * height)


@pytest.mark.parametrize(
    ("paper", "ink"),
    [
        ((250, 240, 160), (40, 60, 160)),
        ((153, 217, 234), (255, 201, 14)),  # yellow on light blue
        ((181, 230, 29), (0, 0, 0)),
        ((30, 70, 30), (240, 240, 240)),
        ((200, 60, 60), (60, 60, 200)),
    ],
)
def test_colours(paper: tuple[int, int, int], ink: tuple[int, int, int], images: Pixels) -> None:
    rows, _ = find_rows(page([(images[0], 100, 80, 100)], paper=paper, ink=ink))
    assert len(rows) == 1
    assert len(rows[0]) == 1


def test_shadows_do_not_matter(images: Pixels) -> None:
    pixels = page([(images[n], 40 + 80 * n, 100, 60) for n in range(4)])
    light = np.ones(pixels.shape[:2])
    light[:, 200:] = 0.45
    light = cv2.GaussianBlur(light, (0, 0), 8)[:, :, None] * np.linspace(1, 0.7, 400)[None, :, None]
    rows, _ = find_rows((pixels * light).astype(np.uint8))
    assert [len(row) for row in rows] == [4]


@pytest.mark.parametrize("tilt", [0.0, 1.5])
def test_ruled_and_squared_paper(tilt: float, images: Pixels) -> None:
    pixels = page([(images[n], 60 + 80 * n, 110, 64) for n in range(4)])
    lines = np.full((500, 600), 1.0, np.float32)
    lines[::40] = 0.75
    lines[1::40] = 0.75
    turn = cv2.getRotationMatrix2D((300, 250), tilt, 1)
    lines = cv2.warpAffine(lines, turn, (600, 500))[100:400, 100:500, None]
    rows, _ = find_rows((pixels * lines).astype(np.uint8))
    assert [len(row) for row in rows] == [4]


def test_a_frame_of_mnist_is_framed_as_it_was(images: Pixels) -> None:
    """Framing again what is framed moves and changes hardly anything."""
    differences = []
    for image in images[:200]:
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


@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    seed=st.integers(0, 1000),
    kind=st.sampled_from(["grain", "blocks", "slope"]),
)
def test_any_picture_gives_boxes_inside_it(width: int, height: int, seed: int, kind: str) -> None:
    random = np.random.default_rng(seed)
    values: NDArray[Any] = np.linspace(0, 255, height * width).reshape(height, width)
    if kind == "grain":
        values = random.integers(0, 256, (height, width))
    elif kind == "blocks":
        values = np.kron(random.integers(0, 256, (4, 4)), np.ones((100, 100)))[:height, :width]
    pixels = values.astype(np.uint8)[:, :, None].repeat(3, 2)
    rows = [*find_rows(pixels)[0], find_single(pixels)[0]]
    for glyph in (glyph for row in rows for glyph in row):
        x0, y0, x1, y1 = glyph.box
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        assert glyph.ink.shape == (y1 - y0, x1 - x0)
        for halves_of_it in halves(glyph):
            assert all(half.ink.any() for half in halves_of_it)


def test_of_solid_things_not_all_was_looked_at(images: NDArray[np.uint8]) -> None:
    shirt = np.zeros((28, 28, 3), np.uint8)
    shirt[2:26, 7:21] = shirt[3:9, 2:26] = 150
    assert not find_rows(shirt)[1]
    assert not find_single(shirt)[1]
    digits = page([(images[0], 100, 80, 100), (images[1], 220, 80, 100)])
    assert find_rows(digits)[1]
    assert all(find_single(image[:, :, None].repeat(3, 2))[1] for image in images[:50])
