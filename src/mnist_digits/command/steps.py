"""Steps that several subcommands take."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CheckpointError, RecipeError
from ..training.recipe import Recipe, named

if TYPE_CHECKING:
    import torch

    from ..data.dataset import Digits
    from ..training.evaluation import Evaluation
    from ..training.loop import Run


def recipe_of(recipe: str) -> Recipe:
    """The recipe of this name, or in this JSON file."""
    if not recipe.endswith(".json"):
        return named(recipe)
    try:
        return Recipe.from_json(Path(recipe).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read the recipe {recipe}: {error}") from error


def prepare(options: argparse.Namespace) -> torch.device:
    """Take so many threads; gives the device to train on."""
    import torch

    from ..training.loop import pick_device

    if options.threads:
        torch.set_num_threads(options.threads)
    return pick_device(options.device)


def load_data(options: argparse.Namespace, device: torch.device | str) -> tuple[Digits, Digits]:
    """The training and the test digits, on the device."""
    from ..data.dataset import load_mnist

    train, test = load_mnist(options.data, options.download)
    return train.to(device), test.to(device)


def finished(path: Path) -> Run:
    """The run in this place.

    Raises:
        CheckpointError: there is none, or it has not come to its end.
    """
    from ..training import checkpoint

    run = checkpoint.load(path)
    if not run.result:
        raise CheckpointError(f"the run at {path} is not finished: go on with it first")
    return run


def trained_on(run: Run, digits: Digits) -> Digits:
    """Those of the training digits that the run has learned from."""
    from ..data.dataset import split_validation

    return split_validation(digits)[0] if run.held_out else digits


def write_figures(run: Run, test: Digits, on_test: Evaluation, directory: Path) -> None:
    """Write the figures of a run to a folder, as PNG."""
    from ..figures import plots

    plots.save_figure(plots.sample_predictions(test, on_test), directory / "predictions.png")
    plots.save_figure(plots.worst_mistakes(test, on_test), directory / "mistakes.png")
    plots.save_figure(plots.confusion_matrix(on_test), directory / "confusion.png")
    plots.save_figure(plots.calibration(on_test), directory / "calibration.png")
    plots.save_figure(plots.training_curves(run.history), directory / "curves.png")
