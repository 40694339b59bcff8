"""Train the two networks that detect and name digits, on generated scenes, and export them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..classifier.recipe import DetectorRecipe
from ..errors import UsageError
from .options import Parser, add_device_flags, add_recipe_flags, place, recipe_changes, whole
from .steps import load_data, prepare

if TYPE_CHECKING:
    import torch

    from ..data.dataset import Digits
    from ..detector.fit import DetectorRun, Networks


def add_flags(command: Parser) -> None:
    add_recipe_flags(command, {"default": DetectorRecipe()})
    begun = command.add_mutually_exclusive_group()
    begun.add_argument(
        "--resume", type=place, metavar="RUN", help="go on with a training that was stopped"
    )
    begun.add_argument(
        "--start", type=place, metavar="RUN", help="begin with the weights of another one"
    )
    command.add_argument("--output", type=place, help="folder of the run (runs/<time>-detector)")
    command.add_argument(
        "--workers", type=whole(0, 256), default=1, help="processes that generate scenes (1)"
    )
    add_device_flags(command)


def execute(options: argparse.Namespace) -> None:
    from ..classifier import checkpoint
    from ..data.dataset import split_validation
    from ..detector.fit import STATE, load_detector
    from ..detector.onnx_networks import export_networks

    changes = recipe_changes(options, DetectorRecipe)
    if options.resume and (changes or options.output):
        raise UsageError("a run is resumed as it was begun: give --resume no other choices")
    begun = load_detector(options.resume / STATE) if options.resume else None
    start = load_detector(options.start / STATE).model if options.start else None
    recipe = begun.recipe if begun else DetectorRecipe(**changes)
    device = prepare(options)
    # The validation slice is kept for calibration and comparisons.
    digits, _ = split_validation(load_data(options, "cpu")[0])
    directory = options.resume or checkpoint.new_directory(recipe, options.output)
    run = fit_into(directory, recipe, digits, begun, start, device, options.workers)
    export_networks(run, directory)
    print(f"\nWritten to {directory}")


def fit_into(
    directory: Path,
    recipe: DetectorRecipe,
    digits: Digits,
    begun: DetectorRun | None,
    start: Networks | None,
    device: torch.device,
    workers: int = 1,
) -> DetectorRun:
    """Train both networks; now and then save their state to the folder, and print a line."""
    from .. import report
    from ..detector.fit import STATE, fit, save_detector

    def on_part(run: DetectorRun) -> None:
        save_detector(run, directory / STATE)
        print(report.detector_line(run), flush=True)

    print(f"Training on {recipe.scenes:,} scenes, device {device}\n\n{report.DETECTOR_HEADER}")
    return fit(recipe, digits, begun, start, device, workers, on_part)
