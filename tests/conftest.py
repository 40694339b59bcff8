"""What several tests share: the real MNIST, and one real run of the recipe `fast`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

import mnist_digits
from mnist_digits import FAST, Digits, Run
from mnist_digits.command.cli import main
from mnist_digits.data.dataset import CACHE_VARIABLE

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# The same examples each time, and no clock: what CI says of a change is about the change.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty cache folder at first, then the one that every test uses."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="session")
def mnist(cache: Path) -> tuple[Digits, Digits]:
    return mnist_digits.load_mnist(cache)


@pytest.fixture(scope="session")
def fast_run(mnist: tuple[Digits, Digits]) -> Run:
    """The recipe `fast` on all 60,000 images, as the library runs it."""
    return mnist_digits.train(FAST, mnist[0])


@pytest.fixture(scope="session")
def run_directory(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
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
