"""Train the network that finds digits, on scenes that are made for it, and export it."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from ..errors import UsageError
from ..training.recipe import FinderRecipe
from .options import Parser, add_device_flags, add_recipe_flags, whole
from .steps import load_data, prepare


def add_flags(command: Parser) -> None:
    add_recipe_flags(command, {"default": FinderRecipe()})
    command.add_argument(
        "--resume", type=Path, metavar="RUN", help="go on with one that was stopped"
    )
    command.add_argument("--output", type=Path, help="folder of the run (runs/<time>-finder)")
    command.add_argument(
        "--workers", type=whole(0, 256), default=1, help="processes that make scenes (1)"
    )
    add_device_flags(command)


def execute(options: argparse.Namespace) -> None:
    from ..data.dataset import split_validation
    from ..reading.finder import FINDER
    from ..training import checkpoint
    from ..training.export import export_finder
    from ..training.finder_training import STATE, FinderRun, load_finder, save_finder, train_finder
    from . import report

    fields = {field.name for field in dataclasses.fields(FinderRecipe)}
    changes = {name: value for name, value in vars(options).items() if name in fields}
    if options.resume and (changes or options.output):
        raise UsageError("a run is resumed as it was begun: give --resume no other choices")
    begun = load_finder(options.resume / STATE) if options.resume else None
    recipe = begun.recipe if begun else FinderRecipe(**changes)
    device = prepare(options)
    # The validation slice is kept for those who measure.
    digits, _ = split_validation(load_data(options, "cpu")[0])
    directory = options.resume or checkpoint.new_directory(recipe, options.output)
    print(
        f"Training a finder on {recipe.scenes:,} scenes, device {device}\n\n{report.FINDER_HEADER}"
    )

    def on_part(run: FinderRun) -> None:
        save_finder(run, directory / STATE)
        print(report.finder_line(run))

    run = train_finder(
        recipe, digits, begun, device=device, workers=options.workers, on_part=on_part
    )
    export_finder(run, directory / FINDER.name)
    print(f"\nWritten to {directory}")
