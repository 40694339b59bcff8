"""Train the network that finds digits, on generated scenes, and export it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..training.recipe import FinderRecipe
from .options import Parser, add_device_flags, add_recipe_flags, place, recipe_changes, whole
from .steps import load_data, prepare

if TYPE_CHECKING:
    import torch

    from ..data.dataset import Digits
    from ..training.finder_training import FinderRun


def add_flags(command: Parser) -> None:
    add_recipe_flags(command, {"default": FinderRecipe()})
    command.add_argument(
        "--resume", type=place, metavar="RUN", help="go on with a training that was stopped"
    )
    command.add_argument("--output", type=place, help="folder of the run (runs/<time>-finder)")
    command.add_argument(
        "--workers", type=whole(0, 256), default=1, help="processes that generate scenes (1)"
    )
    add_device_flags(command)


def execute(options: argparse.Namespace) -> None:
    from ..data.dataset import split_validation
    from ..reading.finder import FINDER
    from ..training import checkpoint
    from ..training.export import export_finder
    from ..training.finder_training import STATE, load_finder

    changes = recipe_changes(options, FinderRecipe)
    if options.resume and (changes or options.output):
        raise UsageError("a run is resumed as it was begun: give --resume no other choices")
    begun = load_finder(options.resume / STATE) if options.resume else None
    recipe = begun.recipe if begun else FinderRecipe(**changes)
    device = prepare(options)
    # The validation slice is kept for calibration and comparisons.
    digits, _ = split_validation(load_data(options, "cpu")[0])
    directory = options.resume or checkpoint.new_directory(recipe, options.output)
    run = train_into(directory, recipe, digits, begun, device, options.workers)
    export_finder(run, directory / FINDER.name)
    print(f"\nWritten to {directory}")


def train_into(
    directory: Path,
    recipe: FinderRecipe,
    digits: Digits,
    begun: FinderRun | None,
    device: torch.device,
    workers: int = 1,
) -> FinderRun:
    """Train a finder; its state is saved to the folder, and a line printed, every so often."""
    from ..training.finder_training import STATE, save_finder, train_finder
    from . import report

    def on_part(run: FinderRun) -> None:
        save_finder(run, directory / STATE)
        print(report.finder_line(run), flush=True)

    print(
        f"Training a finder on {recipe.scenes:,} scenes, device {device}\n\n{report.FINDER_HEADER}"
    )
    return train_finder(recipe, digits, begun, device=device, workers=workers, on_part=on_part)
