"""A few of each kind of the faults that `make torture` makes by the thousand."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable
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
from mnist_digits.data.idx import MNIST_FILES

pytestmark = pytest.mark.slow

Data = tuple[Digits, Digits]

# What is damaged, and what may come of it.
TASKS: dict[str, tuple[Task, set[str]]] = {
    "checkpoints": (damaged_files.checkpoint, {"refused", "as it was"}),
    "models": (damaged_files.model, {"refused", "as it was"}),
    "recipes": (damaged_files.recipe, {"refused", "a recipe"}),
    "data": (damaged_files.data_set, {"refused", "as it was"}),
    "pictures": (damaged_pictures.picture, {"refused", "read"}),
}
# How often, each.
TIMES = 70


def any_of_them(number: int) -> Callable[[], str]:
    """All kinds by turns, in one process: it imports everything but once."""
    which, kind = divmod(number, len(TASKS))
    return [*TASKS.values()][kind][0](which)


@pytest.fixture(scope="module")
def data() -> Data:
    return failing_disk.few()


@pytest.fixture(scope="module")
def whole(data: Data, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, int]:
    """An undisturbed run, and how many operations on the disk it took."""
    return failing_disk.operations(data, tmp_path_factory.mktemp("whole") / "run")


def test_a_killed_run_ends_with_the_very_weights(test_set: Digits, tmp_path: Path) -> None:
    values = test_set.images[:, 0].numpy(), test_set.labels.numpy()
    for name, half in zip(MNIST_FILES, (*values, *values), strict=True):
        (tmp_path / name).write_bytes(damaged_files.idx(half[:4000]))
    name, data = "augmented", ("--data", tmp_path)
    expected, calls = kills.undisturbed(tmp_path / "whole", name, *data)
    random = np.random.default_rng(0)
    killed = kills.killed_until_finished(tmp_path / "run", name, random, calls, 4, *data)
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


def test_damaged_files() -> None:
    outcomes = {kind: Counter[str]() for kind in TASKS}
    for case in each(any_of_them, TIMES * len(TASKS)):
        outcomes[[*TASKS][case.number % len(TASKS)]][case.outcome] += 1
        # The networks, and what else is loaded once, come to less than 100 MB.
        assert case.memory < 500_000_000
    for kind, (_, allowed) in TASKS.items():
        assert outcomes[kind].keys() <= allowed, outcomes
        assert outcomes[kind]["refused"] > TIMES / 4, outcomes


def test_a_worker_that_crashes_is_noticed_and_another_goes_on() -> None:
    outcomes = [case.outcome for case in each(rehearsal, 3)]
    assert outcomes == ["fine", "crashed", "ValueError: two"]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load(threads=1)


def test_a_digit_is_the_same_in_any_picture(reader: Reader, test_set: Digits) -> None:
    random = np.random.default_rng(0)
    images = test_set.images[:70, 0].numpy()
    plain = [str(answer) for answer in reader.classify(images).argmax(axis=1)]
    same = [
        reader.read(transformed(image, random)).text == answer
        for image, answer in zip(images, plain, strict=True)
    ]
    assert np.mean(same) >= 0.97


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_reading_of_anything_makes_sense(reader: Reader, seed: int) -> None:
    pixels = damaged_pictures.noise(seed)
    for digit in reader.read(pixels).digits:
        x0, y0, x1, y1 = digit.box
        assert 0 <= x0 < x1 <= pixels.shape[1]
        assert 0 <= y0 < y1 <= pixels.shape[0]
        assert digit.probabilities.sum() == pytest.approx(1, abs=1e-5)
        assert 0 <= digit.confidence <= digit.probabilities.max()
