from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mnist_digits import Digits, Reader
from mnist_digits.synthesis.handwriting import FORMS, SLANT, draw, with_flags

LABELS = torch.arange(10).repeat(60)
# digit, number of the form, kind, text
EVERY = [
    (digit, number, kind, text)
    for digit, kinds in FORMS.items()
    for number, (kind, text) in enumerate(
        (kind, text) for kind, texts in kinds.items() for text in texts.split(", ")
    )
]
APART = [(digit, number) for digit, number, kind, _ in EVERY if kind.endswith("apart")]
# Forms that the look has learned, and the classifier not yet.
LATER = {(5, "like a root"), (9, "crossing"), (9, "like a p")}
# Drawn without lifting the pen.
LINES = [(digit, number) for digit, number, _, text in EVERY if "|" not in text]


@pytest.fixture(scope="module")
def drawn() -> torch.Tensor:
    torch.manual_seed(0)
    return draw(LABELS)


def in_form(digit: int, number: int, count: int = 60) -> torch.Tensor:
    torch.manual_seed(0)
    return draw(torch.full((count,), digit), torch.full((count,), number))


def extent(lines: torch.Tensor) -> torch.Tensor:
    """From the first line with ink to the last one: (N, 28) to (N,)."""
    first, after = lines.int().argmax(dim=1), lines.int().flip(1).argmax(dim=1)
    return 28 - first - after


def parts(image: torch.Tensor) -> tuple[int, NDArray[np.int32]]:
    count, marks = cv2.connectedComponents((image[0] > 128).byte().numpy(), connectivity=8)
    return count - 1, marks


def test_drawings_differ_and_are_framed_about_as_in_mnist(drawn: torch.Tensor) -> None:
    assert drawn.shape == (600, 1, 28, 28)
    assert drawn.min() >= 0
    assert drawn.max() <= 255
    assert len(torch.unique(drawn.flatten(1), dim=0)) == 600
    ink = drawn[:, 0] > 128
    edge = torch.ones(28, 28, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    assert not ink[:, edge].any()
    longer = torch.maximum(extent(ink.any(dim=2)), extent(ink.any(dim=1)))
    assert longer.min() >= 19
    assert longer.max() <= 21
    line = torch.arange(28) + 0.5
    mass = drawn[:, 0] / drawn.sum(dim=(1, 2, 3)).view(-1, 1, 1)
    middle = torch.stack([(mass.sum(dim=1) * line).sum(dim=1), (mass.sum(dim=2) * line).sum(dim=1)])
    assert (middle - 14).abs().quantile(0.9) < 1


def test_the_same_seed_draws_the_same_and_nothing_gives_nothing(drawn: torch.Tensor) -> None:
    torch.manual_seed(0)
    assert torch.equal(draw(LABELS), drawn)
    assert draw(torch.empty(0, dtype=torch.int64)).shape == (0, 1, 28, 28)


@pytest.mark.parametrize("digit", FORMS)
def test_a_digit_is_written_in_many_forms(digit: int) -> None:
    numbers = [number for each, number, _, _ in EVERY if each == digit]
    assert len(numbers) >= 9
    assert (digit in {each for each, _ in APART}) == (digit in (3, 4, 5))
    # With the same seed only the form differs.
    images = torch.stack([in_form(digit, number, 1) for number in numbers])
    assert len(torch.unique(images.flatten(1), dim=0)) == len(numbers)


@pytest.mark.parametrize(("digit", "number"), APART)
def test_between_strokes_that_stay_apart_there_is_a_gap(digit: int, number: int) -> None:
    images = in_form(digit, number)
    gaps = []
    for count, marks in map(parts, images):
        far = cv2.distanceTransform((marks != 1).astype(np.uint8), cv2.DIST_L2, 5)
        gaps.append(far[marks == 2].min() - 1 if count == 2 else 0)
    assert np.mean(np.array(gaps) > 0) > 0.85
    assert np.median(gaps) >= 2


@pytest.mark.parametrize(("digit", "number"), LINES)
def test_without_lifting_the_pen_the_line_has_no_gap(digit: int, number: int) -> None:
    # The finest pens leave hardly a pixel without ink, the others none.
    assert np.mean([parts(image)[0] == 1 for image in in_form(digit, number)]) > 0.95


def test_some_writing_leans_far_either_way_and_most_a_little() -> None:
    bare = next(number for digit, number, kind, _ in EVERY if (digit, kind) == (1, "bare"))
    image = in_form(1, bare, 1000)[:, 0]
    mass = image / image.sum(dim=(1, 2), keepdim=True)
    line = torch.arange(28) - 13.5
    x, y = line.view(1, 1, 28), line.view(1, 28, 1)
    x = x - (mass * x).sum(dim=(1, 2), keepdim=True)
    y = y - (mass * y).sum(dim=(1, 2), keepdim=True)
    lean = torch.rad2deg(torch.atan2(-(mass * x * y).sum((1, 2)), (mass * y * y).sum((1, 2))))
    assert lean.abs().median() < 8
    assert 0.02 < (lean > 25).float().mean() < 0.15
    assert 0.02 < (lean < -25).float().mean() < 0.15
    # Besides leaning as a whole, a trembling hand does not draw straight down.
    assert lean.abs().max() < SLANT + 10


def test_the_shipped_networks_read_every_form() -> None:
    reader = Reader.load()
    shares = {}
    for digit, number, kind, text in EVERY:
        images = in_form(digit, number, 20)[:, 0].byte().numpy()
        answers = reader.classify(images).argmax(axis=1)
        if (digit, kind) in LATER:
            answers = np.array([read_large(reader, image) for image in images])
        shares[digit, text] = np.mean(answers == digit)
    # Where a place is written down wrongly, most are read as something else.
    assert {form: share for form, share in shares.items() if share < 0.7} == {}
    assert np.mean(list(shares.values())) > 0.95


def read_large(reader: Reader, image: NDArray[np.uint8]) -> int:
    """The digit that all networks read in an image (28, 28), enlarged, dark on light; else -1."""
    large = np.pad(cv2.resize(image, (112, 112)), 20)
    return next((digit.digit for digit in reader.read_digit(255 - large).digits), -1)


def test_some_ones_get_a_flag_and_nothing_else_changes(training_set: Digits) -> None:
    torch.manual_seed(0)
    digits = training_set[:2000]
    flagged = with_flags(digits.images, digits.labels, 0.5)
    added = (flagged - digits.images.float()).flatten(1)
    changed = added.amax(dim=1) > 100
    ones = digits.labels == 1
    assert not changed[~ones].any()
    assert 0.4 < changed[ones].float().mean() < 0.6
    assert added.min() > -1e-3
    # A flag hangs from the top of the stroke, to its left.
    first = int((ones & changed).nonzero()[0])
    image, drawn = digits.images[first, 0].float(), added[first].reshape(28, 28) > 100
    top = int((image.sum(dim=1) > 255).nonzero()[0])
    assert abs(int(drawn.any(dim=1).nonzero()[0]) - top) <= 2
    blank = with_flags(torch.zeros(3, 1, 28, 28), torch.ones(3, dtype=torch.int64), 1.0)
    assert blank.isfinite().all()
