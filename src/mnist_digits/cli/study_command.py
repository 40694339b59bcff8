"""Train a recipe with many seeds in parallel: mean, deviation, comparison."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import Parser, add_cluster_flags
from .steps import recipe_of, saved_before

MAX_SEEDS = 100_000


def add_flags(command: Parser) -> None:
    command.add_argument("recipe", help="name of a recipe, or a JSON file")
    command.add_argument(
        "--seeds",
        type=_seeds,
        default=list(range(10)),
        help="seeds, such as 0-29 or 0,3,7 (0-9)",
    )
    command.add_argument("--against", metavar="RECIPE", help="another recipe, to compare with")
    command.add_argument(
        "--validation", action="store_true", help="hold out the validation slice, and measure on it"
    )
    command.add_argument("--name", help="name of the folder, studies/NAME (the recipes)")
    add_cluster_flags(command)


def execute(options: argparse.Namespace) -> None:
    from .. import report
    from ..cluster import study
    from ..plots import run_plots, study_plots

    recipes = [recipe_of(name) for name in (options.recipe, options.against) if name]
    name = options.name or "-".join(recipe.name for recipe in recipes)
    directory = Path("studies") / name
    studies = study.run_study(
        recipes,
        options.seeds,
        directory,
        options.validation,
        options.address,
        options.cpus_per_run,
        options.gpus_per_run,
    )
    print(f"\n{report.study_table(studies, options.validation)}")
    if len(studies) == 2:
        print(f"\n{study.verdict(*studies)}")
        if not options.validation:
            print("(on the test set: to choose between recipes, compare with --validation)")
    with saved_before(directory):
        run_plots.save_figure(study_plots.distribution(studies), directory / "distribution.png")
    print(f"\nWritten to {directory}")


def _seeds(text: str) -> list[int]:
    parts = [part.partition("-") for part in text.split(",")]
    try:
        ranges = [range(int(low), int(high or low) + 1) for low, _, high in parts]
    except ValueError:
        ranges = []
    # Checked before the list is made: 0-4294967295 would not fit into memory.
    if sum(max(0, part.stop - part.start) for part in ranges) > MAX_SEEDS:
        raise argparse.ArgumentTypeError(f"must be {MAX_SEEDS:,} seeds at most, not {text}")
    seeds = [seed for part in ranges for seed in part]
    if not all(ranges) or not seeds or len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError(f"must be like 0-29 or 0,3,7, not {text!r}")
    return seeds
