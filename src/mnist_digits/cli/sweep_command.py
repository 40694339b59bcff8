"""Search for better hyperparameters, many trials in parallel (Ray Tune)."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

from ..errors import ClusterError
from .options import Parser, add_cluster_flags, place, whole
from .steps import recipe_of, saved_before


def add_flags(command: Parser) -> None:
    command.add_argument("recipe", help="name of a recipe, or a JSON file")
    command.add_argument(
        "--trials", type=whole(1, 1_000_000), default=16, help="number of trials (16)"
    )
    command.add_argument("--search", type=place, help="search space, a JSON file (a default space)")
    command.add_argument("--name", help="name of the folder, sweeps/NAME (time and recipe)")
    command.add_argument("--resume", action="store_true", help="go on with the sweep of this name")
    add_cluster_flags(command)


def execute(options: argparse.Namespace) -> None:
    from .. import report
    from ..cluster import sweep
    from ..plots import run_plots, study_plots

    recipe = recipe_of(options.recipe)
    if options.resume and not options.name:
        raise ClusterError("name the sweep to resume: --name NAME")
    directory = Path("sweeps") / (
        options.name or f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{recipe.name}"
    )
    space = sweep.read_space(options.search, recipe)
    trials = sweep.run_sweep(
        recipe,
        options.trials,
        directory,
        space,
        options.resume,
        options.address,
        options.cpus_per_run,
        options.gpus_per_run,
    )
    print(f"\n{report.leaderboard(trials)}\n\nWritten to {directory}")
    weights = sweep.importance(trials, space)
    with saved_before(directory):
        run_plots.save_figure(study_plots.sweep_fields(trials, weights), directory / "fields.png")
        run_plots.save_figure(study_plots.sweep_trials(trials), directory / "trials.png")
    print(f"Go on with: mnist-digits train --recipe {directory / 'best.json'}")
