"""What several tests share: the real MNIST, and one real run of the recipe `fast`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import settings

import mnist_digits
from mnist_digits import FAST, Digits, Run
from mnist_digits.command.cli import main
from mnist_digits.processes import usable_cores

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# The same examples each time, and no clock: what CI says of a change is about the change.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# The files that take longest come first, in this order: none is left to one worker in the end.
LONGEST = (
    *("test_cluster.py", "test_notebook.py", "test_faults.py", "test_web_teaching.py"),
    *("test_page.py", "test_teaching.py", "test_teach.py", "test_cli.py", "test_hand.py"),
    *("test_resume.py", "test_training.py", "test_readme.py"),
)


def pytest_configure(config: pytest.Config) -> None:
    """Share the cores among the workers of pytest-xdist, the processes that they start included.

    With a thread on each core, the threads of the workers wait for each other: a training of 3 s
    was seen to take 40.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        threads = max(1, usable_cores() // workers)
        torch.set_num_threads(threads)
        os.environ["OMP_NUM_THREADS"] = str(threads)
    # Otherwise `--dist loadfile` begins with the files that have most tests.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; within a file the order stays."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(autouse=True)
def operations_as_they_were() -> Iterator[None]:
    """What a command with --deterministic sets for its whole process is set back."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def mnist() -> tuple[Digits, Digits]:
    return mnist_digits.load_mnist()


@pytest.fixture(scope="session")
def fast_run(mnist: tuple[Digits, Digits]) -> Run:
    """The recipe `fast` on all 60,000 images, as the library runs it."""
    return mnist_digits.train(FAST, mnist[0])


@pytest.fixture(scope="session")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the recipe `fast`, as the command writes it."""
    folder = tmp_path_factory.mktemp("runs") / "fast"
    example = folder.with_name("example.png")
    assert main(["train", "--output", str(folder), "--example", str(example)]) == 0
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from chromium import CHROMIUM, launched

    if not CHROMIUM:
        pytest.skip("there is no browser: install Debian's chromium, or name one in $CHROMIUM")
    with launched() as browser:
        yield browser
