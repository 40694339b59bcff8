"""Where digits are looked for, what is looked at twice, and what stays.

With networks that are told where digits are, and with the shipped ones.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pages import Pixels, page

from mnist_digits import CheckpointError
from mnist_digits.reading import detection
from mnist_digits.reading.detection import DETECT, LOOK, MODELS, Detections, Detector
from mnist_digits.reading.result import turned_back

PROPOSALS = 1200


class FakeNetworks:
    """Stands for both networks: knows the digits of a page, and what it was asked.

    Args:
        digits: x, y and size of each, in pixels of a page (H, W).
        scores: how surely each is one.
        moved: how far beside its middle a digit is proposed, in units of its size.
        heat: the scores of what is proposed.
    """

    def __init__(
        self,
        digits: Sequence[tuple[float, float, float]],
        scores: Sequence[float] = (),
        moved: float = 0,
        heat: float = 0.9,
    ) -> None:
        self.digits = np.array(digits, np.float32).reshape(-1, 3)
        self.scores = np.array(scores or [0.95] * len(digits), np.float32)
        self.moved, self.heat = moved, heat
        self.scale = 1.0
        self.sides: list[int] = []
        self.looks: list[NDArray[np.float32]] = []

    def run(self, _: list[str] | None, feeds: dict[str, Any]) -> list[NDArray[Any]]:
        return self.look(**feeds) if "proposals" in feeds else self.detect(**feeds)

    def detect(self, pixels: Pixels, size: NDArray[np.int64]) -> list[NDArray[Any]]:
        self.scale = float(size.max() / max(pixels.shape[:2]))
        self.sides.append(int(size.max()))
        table = np.zeros((PROPOSALS, 4), np.float32)
        seen = self.digits[:PROPOSALS]
        table[: len(seen)] = np.column_stack([seen * self.scale, np.full(len(seen), self.heat)])
        table[: len(seen), 0] += self.moved * table[: len(seen), 2]
        return [np.zeros((*size, 3), np.uint8), table]

    def look(self, pixels: Pixels, proposals: NDArray[np.float32]) -> list[NDArray[Any]]:
        if len(proposals):
            self.looks.append(proposals / self.scale)
        assert pixels.shape[2] == 3
        classes = np.full((len(proposals), 13), -20, np.float32)
        scores = np.zeros(len(proposals), np.float32)
        boxes = np.zeros((len(proposals), 4), np.float32)
        places = np.zeros((len(proposals), 3), np.float32)
        for place, (x, y, size) in enumerate(proposals / self.scale):
            away = np.hypot(*(self.digits[:, :2] - (x, y)).T) if len(self.digits) else [np.inf]
            number = int(np.argmin(away))
            score = 0.05
            if away[number] < 0.5 * size:
                # Surer the nearer it is looked at.
                score = self.scores[number] - 0.1 * away[number] / size
                x, y, size = self.digits[number]
            classes[place, number % 10], scores[place] = 0, score
            boxes[place] = np.array([x - size / 4, y - size / 2, x + size / 4, y + size / 2])
            places[place] = x, y, size
        ink = np.full((len(proposals), 56, 56), 0.5, np.float32)
        frames = np.full((len(proposals), 28, 28), 7, np.uint8)
        return [classes, scores, boxes * self.scale, places * self.scale, ink, frames]


Finds = Callable[..., Detections]


@pytest.fixture
def detect(monkeypatch: pytest.MonkeyPatch) -> Finds:
    """What the detector finds in so many pixels, with the networks told where digits are."""

    def detect(networks: FakeNetworks, shape: tuple[int, int], texture: bool = False) -> Detections:
        monkeypatch.setattr(detection, "open_model", lambda *_: (networks, {}))
        monkeypatch.setattr(Path, "read_bytes", lambda _: b"")
        detections, is_texture = Detector().detect(np.zeros((*shape, 3), np.uint8))
        assert is_texture == texture
        return detections

    return detect


ALL_SIDES = [128, 256, 512, 1024, 1600]
SEVERAL = [(400, 600, 180), (1200, 300, 100)]


@pytest.mark.parametrize(
    ("shape", "digits", "sides", "sizes"),
    [
        ((280, 280), [(140, 140, 100)], [128], [100]),
        ((30, 40), [(20, 15, 30)], [256], [30]),
        ((1200, 1600), [(800, 600, 400)], [128], [400]),
        # At 256 it would have 16 pixels, at 512 it has 32.
        ((1200, 1600), [(800, 600, 100)], [128, 256, 512], [100]),
        ((1200, 1600), [(800, 600, 20)], ALL_SIDES, [20]),
        # A small picture is enlarged.
        ((300, 400), [(200, 150, 15)], [128, 256, 512, 800], [15]),
        ((100, 100), [(50, 50, 5)], [128, 200], [5]),
        # Each at the first level that is fine enough for it.
        ((1200, 1600), [*SEVERAL, (1300, 900, 38)], ALL_SIDES, [38, 100, 180]),
        # What is much smaller than the digits is dust.
        ((1200, 1600), [*SEVERAL, (1300, 900, 9)], [128, 256, 512], [100, 180]),
    ],
)
def test_the_picture_is_searched_as_finely_as_its_digits_need_and_each_is_looked_at_once(
    shape: tuple[int, int],
    digits: list[tuple[int, int, int]],
    sides: list[int],
    sizes: list[int],
    detect: Finds,
) -> None:
    networks = FakeNetworks(digits)
    found = detect(networks, shape)
    assert networks.sides == sides
    assert sum(map(len, networks.looks)) == len(found) == len(sizes)
    assert sorted(found.places[:, 2].round().tolist()) == sizes
    known = {size: (x, y) for x, y, size in digits}
    for (x0, y0, x1, y1), size in zip(found.boxes, found.places[:, 2].round(), strict=True):
        middle, sides_of_box = ((x0 + x1) / 2, (y0 + y1) / 2), (x1 - x0, y1 - y0)
        np.testing.assert_allclose(middle, known[int(size)], atol=2)
        np.testing.assert_allclose(sides_of_box, (size / 2, size), atol=2)


def test_what_may_be_no_digit_does_not_end_the_search(detect: Finds) -> None:
    networks = FakeNetworks([(800, 600, 400)], [0.6])
    assert len(detect(networks, (1200, 1600))) == 1
    assert networks.sides == ALL_SIDES


def test_where_nothing_is_found_all_pixels_are_searched_and_the_best_place_is_looked_at(
    detect: Finds,
) -> None:
    networks = FakeNetworks([])
    detections = detect(networks, (1200, 1600))
    assert networks.sides == ALL_SIDES
    assert len(detections) == 1
    assert detections.scores[0] < 0.5


@pytest.mark.parametrize(
    ("moved", "score", "looks"), [(0, 0.9, 1), (0.05, 0.9, 1), (0.2, 0.9, 2), (0.2, 0.09, 1)]
)
def test_what_is_proposed_beside_a_likely_digit_is_looked_at_again(
    moved: float, score: float, looks: int, detect: Finds
) -> None:
    networks = FakeNetworks([(64, 64, 50)], [score], moved=moved)
    detections = detect(networks, (128, 128))
    assert sum(map(len, networks.looks)) == looks
    assert len(detections) == 1
    # The second look is surer, and that of the two which stays.
    assert (detections.scores[0] > score - 0.001) == (moved == 0 or looks == 2)


def test_of_boxes_that_overlap_the_surest_stays(detect: Finds) -> None:
    """A digit, another in its ink, a piece of it, and one that touches it.

    What is another digit in the same ink is not read, but not forgotten either.
    """
    digits = [(100, 100, 80), (106, 100, 80), (100, 85, 35), (145, 100, 80)]
    networks = FakeNetworks(digits, [0.95, 0.9, 0.85, 0.8])
    detections = detect(networks, (256, 256))
    assert detections.scores.tolist() == pytest.approx([0.95, 0.8, 0.5])


def test_a_texture_is_not_looked_at(detect: Finds) -> None:
    grid = [(20 * n + 10, 20 * m + 10, 15) for n in range(40) for m in range(40)]
    networks = FakeNetworks(grid)
    assert len(detect(networks, (800, 800), texture=True)) == 0
    assert networks.looks == []


def test_no_more_is_looked_at_than_is_proposed_at_once(detect: Finds) -> None:
    """Places that are large enough at four levels, and faint at each."""
    grid = [(80 * n + 40, 80 * m + 40, 200) for n in range(20) for m in range(20)]
    networks = FakeNetworks(grid, [0.09] * len(grid), heat=0.3)
    detect(networks, (1600, 1600))
    assert sum(map(len, networks.looks)) == PROPOSALS


def test_detections_in_other_pixels(detect: Finds) -> None:
    detections = detect(FakeNetworks([(100, 60, 40)]), (200, 256))
    detections.ink[0, :28] = 1
    moved = detections.moved(lambda points: turned_back(points, 1, (256, 200)) * (2, 3), turns=1)
    # What was turned against the clock had its top at the right.
    np.testing.assert_allclose(moved.places, [[2 * (200 - 60), 3 * 100, 120]])
    np.testing.assert_allclose(moved.boxes, [[240, 270, 320, 330]])
    assert (moved.ink[0, :, 28:] == 1).all()


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load(threads=1)


@pytest.mark.parametrize("size", [(400, 1), (1, 400), (1, 1), (2, 3), (400, 300), (90, 110)])
@pytest.mark.parametrize("kind", ["grain", "blocks", "slope"])
def test_any_picture_gives_boxes_inside_it(
    size: tuple[int, int], kind: str, detector: Detector
) -> None:
    width, height = size
    random = np.random.default_rng(0)
    values = {
        "grain": random.integers(0, 256, (height, width)),
        "blocks": np.kron(random.integers(0, 256, (4, 4)), np.ones((100, 100)))[:height, :width],
        "slope": np.linspace(0, 255, height * width).reshape(height, width),
    }[kind]
    detections, _ = detector.detect(values.astype(np.uint8)[:, :, None].repeat(3, 2))
    assert (np.diff(detections.scores) <= 0).all()
    low, high = detections.boxes[:, :2], detections.boxes[:, 2:]
    assert ((low >= 0) & (low <= high) & (high <= np.array(size) + 1e-3)).all()
    assert ((detections.ink >= 0) & (detections.ink <= 1)).all()
    assert detections.frames.shape == (len(detections), 28, 28)


def test_thousands_of_hooks_each_of_which_might_be_a_digit_are_a_texture(
    detector: Detector,
) -> None:
    hook = np.full((30, 30), 255, np.uint8)
    cv2.polylines(hook, [np.array([[8, 8], [18, 8], [12, 24]])], False, (0,), 2)
    _, texture = detector.detect(np.tile(hook, (40, 53))[:, :, None].repeat(3, 2))
    assert texture


def test_large_and_small_digits_on_one_page(detector: Detector, images: Pixels) -> None:
    """Ten of 20 pixels, and one of 80, on a page of 1,000: each is found at its own scale."""
    small = [(images[n], 60 + 80 * n, 700, 20) for n in range(10)]
    detections, _ = detector.detect(page([(images[0], 300, 100, 80), *small], (800, 1000)))
    heights = sorted(detections.chosen(detections.scores > 0.5).heights.tolist())
    assert len(heights) == 11
    assert heights[-1] == pytest.approx(80, rel=0.1)
    assert heights[0] == pytest.approx(20, abs=5)


@pytest.mark.slow
def test_a_thousand_digits(detector: Detector, images: Pixels) -> None:
    digits = [(images[n], 20 + 38 * (n % 40), 20 + 46 * (n // 40), 22) for n in range(1000)]
    detections, texture = detector.detect(page(digits, (1200, 1600)))
    assert not texture
    assert (detections.scores > 0.5).sum() == pytest.approx(1000, rel=0.01)


@pytest.mark.parametrize("name", [DETECT, LOOK])
def test_a_damaged_network_is_noticed(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for file in (DETECT, LOOK):
        shutil.copy(MODELS / file, tmp_path)
    damaged = bytearray((MODELS / name).read_bytes())
    damaged[200_000] ^= 1
    (tmp_path / name).write_bytes(damaged)
    monkeypatch.setattr(detection, "MODELS", tmp_path)
    with pytest.raises(CheckpointError, match="install the package again"):
        Detector.load()
