"""What several tests share: the real MNIST, the command, runs that are made once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from command_line import TINY, Command
from filelock import FileLock
from hypothesis import settings
from pages import Pixels

import mnist_digits
from mnist_digits import Digits, Run
from mnist_digits.cli.main import main
from mnist_digits.processes import usable_cores

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# The same examples each time, and no clock: what CI says of a change is about the change.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# The files that take longest come first, in this order: none is left to one worker in the end.
LONGEST = (
    *("test_site.py", "test_cluster.py", "test_cli.py", "test_notebook.py", "test_pretrained.py"),
    *("test_page_teaching.py", "test_teach.py", "test_page.py", "test_privacy.py"),
    *("test_teaching.py", "test_reader.py", "test_faults.py", "test_export.py", "test_fit.py"),
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: browsers, servers and other processes are waited for."""
    return usable_cores() + 1


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
    if torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def mnist() -> tuple[Digits, Digits]:
    return mnist_digits.load_mnist()


@pytest.fixture(scope="session")
def training_set(mnist: tuple[Digits, Digits]) -> Digits:
    return mnist[0]


@pytest.fixture(scope="session")
def test_set(mnist: tuple[Digits, Digits]) -> Digits:
    return mnist[1]


@pytest.fixture(scope="session")
def images(test_set: Digits) -> Pixels:
    """Those of the test set, uint8 (10,000, 28, 28)."""
    return test_set.images[:, 0].numpy()


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs that all workers of pytest-xdist share: the first makes each, in `once`."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "runs"
    folder.mkdir(exist_ok=True)
    return folder


def once(folder: Path, make: Callable[[], None]) -> Path:
    """The folder, made unless another worker has done so."""
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            make()
    return folder


@pytest.fixture(scope="session")
def run_directory(runs: Path) -> Path:
    """A finished run of the recipe `fast` on all 60,000 images, as the command writes it."""
    folder, example = runs / "fast", runs / "example.png"
    return once(folder, lambda: trained("--output", folder, "--example", example))


@pytest.fixture(scope="session")
def fast_run(run_directory: Path) -> Run:
    """The same run, as the library has it."""
    return mnist_digits.load(run_directory)


@pytest.fixture(scope="session")
def tiny_run(runs: Path) -> Path:
    """An exported run of a network that is small, and quickly taught."""
    folder, example = runs / "tiny", runs / "tiny.png"

    def make() -> None:
        trained(*TINY, "--output", folder, "--example", example)
        assert main(["export", str(folder)]) == 0

    return once(folder, make)


def trained(*flags: object) -> None:
    assert main(["train", *map(str, flags)]) == 0


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from chromium import CHROMIUM, launched

    if not CHROMIUM:
        pytest.skip("there is no browser: install Debian's chromium, or name one in $CHROMIUM")
    with launched() as browser:
        yield browser
