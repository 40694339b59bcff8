"""Steps that several subcommands take."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..classifier.recipe import Recipe, named
from ..errors import CheckpointError, OutputError, RecipeError, TrainingError

if TYPE_CHECKING:
    import torch

    from ..classifier.loop import Run
    from ..data.dataset import Digits


def recipe_of(recipe: str) -> Recipe:
    """The recipe with this name, or in this JSON file.

    Raises:
        RecipeError: there is none, or the file holds something else.
    """
    if not recipe.endswith(".json"):
        return named(recipe)
    try:
        return Recipe.from_json(Path(recipe).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read the recipe {recipe}: {error}") from error


def prepare(options: argparse.Namespace) -> torch.device:
    """Set the number of threads; returns the device to compute on."""
    import torch

    from ..classifier.device import pick_device

    if options.threads:
        torch.set_num_threads(options.threads)
    return pick_device(options.device)


def load_data(options: argparse.Namespace, device: torch.device | str) -> tuple[Digits, Digits]:
    """The training and the test digits, moved to the device."""
    from ..data.dataset import load_mnist

    train, test = load_mnist(options.data)
    return train.to(device), test.to(device)


def finished(path: Path) -> Run:
    """The finished run at a path.

    Raises:
        CheckpointError: there is none, or it is not finished.
    """
    from ..classifier import checkpoint

    run = checkpoint.load(path)
    if not run.result:
        raise CheckpointError(f"the run at {path} is not finished: go on with it first")
    return run


def folder_of(run: Path) -> Path:
    """The folder of a run; `run` is that folder, or its `model.safetensors`."""
    return run if run.is_dir() else run.parent


def trained_on(run: Run, digits: Digits) -> Digits:
    """Those of the training digits that the run was trained on."""
    from ..classifier.procedure import split

    return split(digits, run.held_out)[0]


@contextmanager
def saved_before(directory: Path) -> Iterator[None]:
    """Inside, figures of saved results are drawn: if one cannot be written, print a warning."""
    try:
        yield
    except OutputError as error:
        print(
            f"mnist-digits: warning: {error}; everything else is saved in {directory}",
            file=sys.stderr,
        )


@contextmanager
def tidied(directory: Path) -> Iterator[None]:
    """If training fails, remove the folder if it is still empty, and say what to do next."""
    from ..classifier import checkpoint

    try:
        yield
    except BaseException as error:
        # It stays if it is not empty, or if the disk takes no changes.
        with suppress(OSError):
            directory.rmdir()
        if isinstance(error, KeyboardInterrupt) and (directory / checkpoint.TRAINING).exists():
            error.args = (f"; go on with: mnist-digits train --resume {directory}",)
        # torch raises a plain RuntimeError, on CPUs and GPUs.
        if isinstance(error, RuntimeError) and "memory" in str(error):
            raise TrainingError(
                "there is not enough memory: choose a smaller --batch-size, or smaller --widths"
            ) from error
        raise
