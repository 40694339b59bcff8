"""Digits of MNIST, laid on pages of many kinds, are found where they were put."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pages import Pixels, page

from mnist_digits import CheckpointError, Digits, Reader
from mnist_digits.reading.finder import FINDER, MAXIMUM_FINDS, Finder, Found, resized
from mnist_digits.reading.votes import votes_of


@pytest.fixture(scope="module")
def finder() -> Finder:
    return Finder.load(threads=1)


@pytest.fixture(scope="module")
def images(mnist: tuple[Digits, Digits]) -> Pixels:
    return mnist[1].images[:, 0].numpy()


def boxes(found: Found) -> NDArray[np.float64]:
    """From the left."""
    return np.array(sorted(glyph.box for glyph in found.glyphs)).reshape(-1, 4)


@pytest.mark.parametrize("level", [0, 1, 100, 254, 255])
def test_blank_paper_has_no_digits(level: int, finder: Finder) -> None:
    for shape in ((200, 300, 3), (28, 28, 3)):
        found = finder.find(np.full(shape, level, np.uint8))
        assert found.glyphs == []
        assert found.missed == 0


def test_grain_and_shadow_are_no_digits(finder: Finder) -> None:
    random = np.random.default_rng(0)
    light = np.linspace(120, 240, 600)[None, :, None] * np.linspace(0.7, 1, 400)[:, None, None]
    grain = random.normal(0, 4, (400, 600, 1))
    pixels = (light + grain).clip(0, 255).repeat(3, 2).astype(np.uint8)
    assert finder.find(pixels).glyphs == []


def test_each_digit_is_found_where_it_was_put(finder: Finder, images: Pixels) -> None:
    places = [(40, 50), (60, 180), (120, 30), (150, 170), (200, 40)]
    pixels = page([(images[n], x, y, 60) for n, (x, y) in enumerate(places)])
    found = finder.find(pixels)
    np.testing.assert_allclose(boxes(found)[:, :2], places, atol=4)
    assert found.missed < 0.1
    assert len(found.middles) == 5
    # The view of the first look has the ink at the same places.
    scale = found.ink.shape[1] / pixels.shape[1]
    for x, y in places:
        part = found.ink[round(y * scale) : round((y + 60) * scale), round(x * scale) :]
        assert part[:, : round(50 * scale)].max() > 0.8


@pytest.mark.slow
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
    finder: Finder,
    images: Pixels,
    number: int,
    height: int,
    x: int,
    y: int,
    dark: bool,
    contrast: int,
) -> None:
    paper, ink = (255, 255 - contrast) if dark else (0, contrast)
    digit = (images[number], x, y, height)
    pixels = page([digit], (320, 520), paper=(paper,) * 3, ink=(ink,) * 3)
    ys, xs = np.nonzero(np.abs(pixels[:, :, 0].astype(int) - paper) > contrast / 2)
    box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    distances = np.abs(boxes(finder.find(pixels)) - box).max(axis=1, initial=0)
    # A faint tail of a stroke may be taken for paper or for ink.
    assert len(distances) == 1
    assert distances[0] <= max(4, 0.15 * height)


@pytest.mark.parametrize(
    ("paper", "ink"),
    [
        ((250, 240, 160), (40, 60, 160)),
        ((153, 217, 234), (255, 201, 14)),  # yellow on light blue
        ((181, 230, 29), (0, 0, 0)),
        ((30, 70, 30), (240, 240, 240)),
        pytest.param(
            *((200, 60, 60), (60, 60, 200)),
            marks=pytest.mark.xfail(reason="colours of much the same brightness: docs/finding.md"),
        ),
    ],
)
def test_colours(
    paper: tuple[int, int, int], ink: tuple[int, int, int], finder: Finder, images: Pixels
) -> None:
    found = finder.find(page([(images[0], 100, 80, 100)], paper=paper, ink=ink))
    assert len(found.glyphs) == 1


def test_shadows_do_not_matter(finder: Finder, images: Pixels) -> None:
    pixels = page([(images[n], 40 + 80 * n, 100, 60) for n in range(4)])
    light = np.ones(pixels.shape[:2])
    light[:, 200:] = 0.45
    light = cv2.GaussianBlur(light, (0, 0), 8)[:, :, None] * np.linspace(1, 0.7, 400)[None, :, None]
    assert len(finder.find((pixels * light).astype(np.uint8)).glyphs) == 4


@pytest.mark.parametrize("tilt", [0.0, 1.5])
def test_ruled_and_squared_paper(tilt: float, finder: Finder, images: Pixels) -> None:
    pixels = page([(images[n], 60 + 80 * n, 110, 64) for n in range(4)])
    lines, squares = np.ones((2, 500, 600), np.float32)
    lines[::40] = lines[1::40] = 0.75
    squares[:, ::40] = squares[:, 1::40] = 0.75
    turn = cv2.getRotationMatrix2D((300, 250), tilt, 1)
    for squared in (False, True):
        ruled = np.minimum(lines, squares) if squared else lines
        ruled = cv2.warpAffine(ruled, turn, (600, 500))[100:400, 100:500, None]
        found = finder.find((pixels * ruled).astype(np.uint8))
        assert len(found.glyphs) == 4


def test_large_and_small_digits_on_one_page(finder: Finder, images: Pixels) -> None:
    """Ten of 20 pixels, and one of 80, on a page of 1,000: each is found at its own scale."""
    small = [(images[n], 60 + 80 * n, 700, 20) for n in range(10)]
    found = finder.find(page([(images[0], 300, 100, 80), *small], (800, 1000)))
    heights = sorted(box[3] - box[1] for box in boxes(found))
    assert len(heights) == 11
    assert heights[-1] == pytest.approx(80, rel=0.1)
    assert heights[0] == pytest.approx(20, abs=5)


@pytest.mark.slow
def test_a_thousand_digits(finder: Finder, images: Pixels) -> None:
    digits = [(images[n], 20 + 38 * (n % 40), 20 + 46 * (n // 40), 22) for n in range(1000)]
    found = finder.find(page(digits, (1200, 1600)))
    assert len(found.glyphs) == pytest.approx(1000, rel=0.01)


def test_a_texture_is_not_looked_at_twice(finder: Finder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of hooks, each of which would be looked at alone."""
    hook = np.full((30, 30), 255, np.uint8)
    cv2.polylines(hook, [np.array([[8, 8], [18, 8], [12, 24]])], False, 0, 2)
    pixels = np.tile(hook, (50, 50))[:, :, None].repeat(3, 2)
    monkeypatch.setattr(finder, "_second_looks", None)
    found = finder.find(pixels)
    assert len(found.middles) > MAXIMUM_FINDS
    assert found.glyphs == []
    assert Reader.load(threads=1).read(pixels).text == ""


@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    seed=st.integers(0, 1000),
    kind=st.sampled_from(["grain", "blocks", "slope"]),
)
def test_any_picture_gives_boxes_inside_it(
    finder: Finder, width: int, height: int, seed: int, kind: str
) -> None:
    random = np.random.default_rng(seed)
    values: NDArray[Any] = np.linspace(0, 255, height * width).reshape(height, width)
    if kind == "grain":
        values = random.integers(0, 256, (height, width))
    elif kind == "blocks":
        values = np.kron(random.integers(0, 256, (4, 4)), np.ones((100, 100)))[:height, :width]
    found = finder.find(values.astype(np.uint8)[:, :, None].repeat(3, 2))
    assert found.missed >= 0
    for glyph in found.glyphs:
        x0, y0, x1, y1 = glyph.box
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        assert 0 <= glyph.ink.min() <= glyph.ink.max() <= 1


def test_a_damaged_finder_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    content = bytearray(FINDER.read_bytes())
    content[200_000] ^= 1
    damaged = tmp_path / "finder.onnx"
    damaged.write_bytes(content)
    monkeypatch.setattr("mnist_digits.reading.finder.FINDER", damaged)
    with pytest.raises(CheckpointError, match="install the package again"):
        Finder.load()


def test_it_is_small() -> None:
    assert FINDER.stat().st_size <= 1_000_000


@pytest.mark.slow
@given(width=st.integers(1, 400), height=st.integers(1, 400), turns=st.sampled_from([1, 2, 3]))
@example(width=400, height=1, turns=1)
def test_the_first_look_covers_the_picture(
    finder: Finder, images: Pixels, width: int, height: int, turns: int
) -> None:
    """Its ink ends where the picture does, and lies there where the votes come from."""
    pixels = page([(images[0], 10, 10, 300), (images[2], 250, 50, 300)], (400, 550))
    part = np.ascontiguousarray(pixels[-height:, :width])
    found = finder.find(np.ascontiguousarray(np.rot90(part, turns))).turned_back(turns, part.shape)
    assert found.size == (width, height)
    assert (found.middles >= 0).all()
    assert (found.middles <= found.size).all()
    scales = np.array(found.ink.shape[::-1]) / found.size
    scale = scales.min()
    for side, length in zip(found.ink.shape, (height, width), strict=True):
        assert side == 4 or abs(side - length * scale) < 1.5
    assert len(found.places) == len(found.votes) == len(found.owners())
    for x, y in found.places * scales:
        row, column = round(float(y)), round(float(x))
        assert found.ink[max(row - 2, 0) : row + 2, max(column - 2, 0) : column + 2].max() > 0.5


def test_whose_the_votes_are(finder: Finder, images: Pixels) -> None:
    """Those of the left half point to the left digit, and both have some."""
    found = finder.find(page([(images[0], 40, 80, 120), (images[2], 260, 80, 120)]))
    owners = found.owners()
    assert len(found.middles) == 2
    assert set(owners[found.places[:, 0] < 200]) <= {int(found.middles[:, 0].argmin()), -1}
    assert set(owners[found.places[:, 0] > 200]) <= {int(found.middles[:, 0].argmax()), -1}
    assert (owners >= 0).mean() > 0.9
    assert (np.hypot(*(found.votes - found.middles[owners]).T) < found.reaches[owners]).mean() > 0.9


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


def test_a_vote_weighs_as_much_as_the_strongest_of_its_four_places() -> None:
    random = np.random.default_rng(0)
    ink = random.random((64, 48), np.float32)
    votes = votes_of(ink, random.random((3, 32, 24), np.float32))
    expected = ink.reshape(32, 2, 24, 2).max(axis=(1, 3))
    assert (votes.weights == expected[votes.rows, votes.columns]).all()
    assert len(votes.weights) == (expected > 0.5).sum()
