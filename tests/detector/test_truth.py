"""What scenes teach: that targets, places and labels say what is in the scene."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mnist_digits import Digits
from mnist_digits.detector.networks import CROP_SIZES, NONE, SIZE_UNIT, STRIDE, crops
from mnist_digits.detector.truth import Lesson, collated, heat_and_geometry, labelled, lesson
from mnist_digits.reading.detection import CROP
from mnist_digits.synthesis.scene import Scene, scene
from mnist_digits.synthesis.templates import Templates, load_templates


@pytest.fixture(scope="module")
def templates(training_set: Digits) -> Templates:
    return load_templates(training_set[:60], 10)


def scenes(templates: Templates, count: int, *features: str) -> tuple[list[Scene], Lesson]:
    """Scenes, and what they teach."""
    made = [
        scene(np.random.default_rng(k), templates, "rows", ["plain", *features])
        for k in range(count)
    ]
    random = np.random.default_rng(0)
    return made, collated([lesson(one, random) for one in made])


@pytest.fixture(scope="module")
def batch(templates: Templates) -> Lesson:
    return scenes(templates, 8)[1]


@pytest.fixture(scope="module")
def proposals(batch: Lesson) -> torch.Tensor:
    """One at each digit that is seen, (P, 4)."""
    number, place = torch.nonzero(batch.digits[:, :, 0] >= 0, as_tuple=True)
    return torch.cat([number[:, None], batch.digits[number, place, 1:4]], dim=1)


def test_heat_and_geometry_point_to_the_digits(batch: Lesson) -> None:
    truth = heat_and_geometry(batch)
    seen = batch.digits[batch.digits[:, :, 0] >= 0]
    number, row, column = torch.nonzero(truth.heat == 1, as_tuple=True)
    assert len(number) == len(seen)
    assert truth.near[number, row, column].all()
    across, down, log_size = truth.offsets[number, :, row, column].T
    x, y = (column + 0.5) * STRIDE + across, (row + 0.5) * STRIDE + down
    found = torch.stack([x, y, SIZE_UNIT * log_size.exp()], dim=1)
    assert (torch.cdist(found, seen[:, 1:4]).amin(dim=1) < 0.01).all()


def test_a_place_at_a_digit_has_its_truth(batch: Lesson, proposals: torch.Tensor) -> None:
    labels = labelled(proposals, batch)
    truth = batch.digits[batch.digits[:, :, 0] >= 0]
    known = labels.classes >= 0
    assert known.float().mean() > 0.9
    assert torch.equal(labels.classes[known], truth[known, 0].long())
    x0, y0, x1, y1 = (labels.boxes[known] * truth[known, 3:4] + truth[known][:, [1, 2, 1, 2]]).T
    np.testing.assert_allclose(torch.stack([x0, y0, x1, y1], 1), truth[known, 4:], atol=0.01)
    ys, xs = labels.ink[known].amax(dim=2).bool(), labels.ink[known].amax(dim=1).bool()
    height, width = ys.sum(1).float(), xs.sum(1).float()
    assert ((torch.maximum(height, 0.7 * width) / (CROP / CROP_SIZES) - 1).abs() < 0.25).all()


def test_elsewhere_there_is_no_digit(batch: Lesson, proposals: torch.Tensor) -> None:
    at_home = labelled(proposals, batch).classes
    for factor, shift in ((0.35, 0.0), (2.6, 0.0), (1.0, 0.7)):
        moved = proposals.clone()
        moved[:, 3] *= factor
        moved[:, 2] += shift * proposals[:, 3]
        classes = labelled(moved, batch).classes
        # Another digit may be there, but hardly ever; where it is unclear nothing is said.
        assert ((classes == NONE) | (classes == -1)).float().mean() > 0.9
        assert (classes == at_home).float().mean() < 0.1


def test_marks_have_their_kinds(templates: Templates) -> None:
    made, batch = scenes(templates, 40, "numbers")
    wanted, proposals = [], []
    for number, one in enumerate(made):
        for mark in one.marks:
            if mark.kind != "other" and min(mark.x, mark.y) > 0:
                usual = float(np.median([digit.size for digit in one.digits]))
                proposals.append([number, mark.x, mark.y, usual])
                wanted.append({"separator": 10, "minus": 11}[mark.kind])
    classes = labelled(torch.tensor(proposals), batch).classes
    assert len(wanted) > 20
    known = classes >= 0
    assert known.float().mean() > 0.5
    assert (classes == torch.tensor(wanted))[known].float().mean() > 0.9


def test_five_places_are_about_digits(batch: Lesson) -> None:
    number = torch.arange(8.0)[:, None, None].expand(-1, batch.places.shape[1], 1)
    classes = labelled(torch.cat([number, batch.places], 2).flatten(0, 1), batch).classes
    classes = classes.reshape(8, -1)
    assert (classes[:, :5] < 10).all()
    assert (classes[:, :5] >= 0).float().mean() > 0.6
    assert (classes[:, 5:] == NONE).float().mean() > 0.5


def test_a_crop_shows_the_picture_and_nothing_beyond() -> None:
    pixels = torch.zeros(1, 3, 100, 100, dtype=torch.uint8)
    pixels[:, :, 40:60, 45:55] = 255
    seen = crops(pixels, torch.tensor([[0, 50, 50, 50.0], [0, 0, 50, 50.0]]))
    assert seen.shape == (2, 4, CROP, CROP)
    assert (seen[0, 3] == 1).all()
    assert (seen[0, :3, 23:33, 26:30] > 1).all()
    assert (seen[1, :, :, : CROP // 2 - 1] == 0).all()
    np.testing.assert_allclose(seen[:, :3].mean(dim=(1, 2, 3)), 0, atol=1e-4)
