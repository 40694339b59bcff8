"""A few of each kind of the faults that `make torture` makes by the thousand."""

from __future__ import annotations

import errno
from collections import Counter
from pathlib import Path

import damaged_files
import damaged_pictures
import failing_disk
import kills
import numpy as np
import pytest
from damage import Task, each, rehearsal
from failing_disk import ERRORS, Disk, raising
from hypothesis import given, settings
from hypothesis import strategies as st
from transformed import transformed

from mnist_digits import Digits, Reader, Run, load

pytestmark = pytest.mark.slow

Data = tuple[Digits, Digits]


@pytest.fixture(scope="module")
def data(mnist: Data) -> Data:
    return mnist[0][:600], mnist[1]


@pytest.fixture(scope="module")
def whole(data: Data, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, int]:
    """An undisturbed run, and how many operations on the disk it took."""
    return failing_disk.operations(data, tmp_path_factory.mktemp("whole") / "run")


def test_a_killed_run_ends_with_the_very_weights(tmp_path: Path) -> None:
    name = "augmented"
    expected, calls = kills.undisturbed(tmp_path / "whole", name)
    random = np.random.default_rng(0)
    killed = kills.killed_until_finished(tmp_path / "run", name, random, calls, most=4)
    assert killed
    assert kills.identical(tmp_path / "run", expected), f"after {killed} kills"
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.parametrize("error", ERRORS)
def test_a_disk_that_fails_at_any_moment(
    error: int, data: Data, whole: tuple[Run, int], tmp_path: Path
) -> None:
    expected, operations = whole
    # More of them on a full disk; `make torture` tries each.
    for number in range(1, operations + 1, 2 if error == errno.ENOSPC else 7):
        disk = Disk(number, raising(error))
        wrong = failing_disk.survives(data, tmp_path / str(number), disk, expected)
        assert not wrong, f"operation {number}: {wrong}"


@pytest.mark.parametrize("number", [7, 32])
def test_a_run_that_is_killed_while_it_is_saved(
    number: int, data: Data, whole: tuple[Run, int], tmp_path: Path
) -> None:
    failing_disk.killed_at(tmp_path / "run", number)
    assert not failing_disk.goes_on(data, tmp_path / "run", whole[0])
    assert load(tmp_path / "run").result


@pytest.mark.parametrize(
    ("task", "count", "allowed"),
    [
        (damaged_files.checkpoint, 100, {"refused", "as it was"}),
        (damaged_files.model, 30, {"refused", "as it was"}),
        (damaged_files.recipe, 100, {"refused", "a recipe"}),
        (damaged_files.data_set, 100, {"refused", "as it was"}),
        (damaged_pictures.picture, 120, {"refused", "read"}),
    ],
    ids=["checkpoints", "models", "recipes", "data", "pictures"],
)
def test_damaged_files(task: Task, count: int, allowed: set[str]) -> None:
    cases = list(each(task, count))
    outcomes = Counter(case.outcome for case in cases)
    assert outcomes.keys() <= allowed, outcomes
    assert outcomes["refused"] > count / 4
    # The network itself, and what else is loaded once, come to less than 100 MB.
    assert max(case.memory for case in cases) < 500_000_000


def test_a_worker_that_crashes_is_noticed_and_another_goes_on() -> None:
    outcomes = [case.outcome for case in each(rehearsal, 3)]
    assert outcomes == ["fine", "crashed", "ValueError: two"]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load(threads=1)


def test_a_digit_is_the_same_in_any_picture(reader: Reader, test_set: Digits) -> None:
    random = np.random.default_rng(0)
    images = test_set.images[:150, 0].numpy()
    plain = [str(answer) for answer in reader.classify(images).argmax(axis=1)]
    same = [
        reader.read(transformed(image, random)).text == answer
        for image, answer in zip(images, plain, strict=True)
    ]
    assert np.mean(same) >= 0.97


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_reading_of_anything_makes_sense(reader: Reader, seed: int) -> None:
    pixels = damaged_pictures.noise(seed)
    for digit in reader.read(pixels).digits:
        x0, y0, x1, y1 = digit.box
        assert 0 <= x0 < x1 <= pixels.shape[1]
        assert 0 <= y0 < y1 <= pixels.shape[0]
        assert digit.probabilities.sum() == pytest.approx(1, abs=1e-5)
        assert 0 <= digit.confidence <= digit.probabilities.max()
