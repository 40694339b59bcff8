"""Train a network by a recipe, evaluate it, and write the run to a folder."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ..classifier.recipe import RECIPES, Recipe
from ..errors import RecipeError, UsageError
from .options import Parser, add_common_flags, add_recipe_flags, place, recipe_changes, whole
from .steps import load_data, prepare, recipe_of, saved_before, tidied

if TYPE_CHECKING:
    from ..classifier.evaluation import Evaluation
    from ..classifier.loop import Run
    from ..data.dataset import Digits


def add_flags(command: Parser) -> None:
    command.add_argument("recipe", nargs="?", help=f"{' or '.join(RECIPES)} (without one: fast)")
    command.add_argument(
        "--recipe", dest="recipe_file", type=place, metavar="FILE", help="a recipe as JSON"
    )
    add_recipe_flags(command, RECIPES)
    command.add_argument(
        "--validation",
        action="store_true",
        help="train on 50,004 of the images and measure every epoch on the other 9,996",
    )
    command.add_argument(
        "--deterministic",
        action="store_true",
        help="the same weights, bit for bit, each time on a GPU too; slower",
    )
    command.add_argument(
        "--resume",
        type=place,
        metavar="RUN",
        help="go on with a run that was stopped; it ends with the same weights",
    )
    command.add_argument(
        "--checkpoint-every",
        type=whole(1, 1024),
        default=1,
        metavar="N",
        help="save what the run can be resumed from after every N epochs (1)",
    )
    command.add_argument(
        "--pictures",
        type=place,
        metavar="FOLDER",
        help="also train on labelled pictures of yours: a labels.csv, or a folder for each label",
    )
    command.add_argument("--output", type=place, help="folder of the run (runs/<time>-<recipe>)")
    command.add_argument("--example", type=place, help="also write the sample predictions here")
    add_common_flags(command)


def execute(options: argparse.Namespace) -> None:
    if options.example and not options.example.parent.is_dir():
        raise UsageError(f"there is no folder {options.example.parent} for the example")
    recipe = _recipe(options)
    begun = _begun(options)
    recipe = begun.recipe if begun else recipe

    import torch

    from .. import report
    from ..classifier import checkpoint
    from ..classifier.procedure import split, train_and_measure

    # With --json, standard output gets only the JSON object.
    table = sys.stderr if options.json else sys.stdout
    device = prepare(options)
    digits, test = load_data(options, device)
    kept, validation = split(digits, begun.held_out if begun else options.validation)
    if options.pictures:
        kept = _with_pictures(options.pictures, kept, recipe, table)
    directory = options.resume or checkpoint.new_directory(recipe, options.output)
    print(
        f"{'Going on with' if begun else 'Training'} {recipe.name} on {len(kept):,} images, "
        f"device {device}, {torch.get_num_threads()} threads\n\n{report.EPOCH_HEADER}",
        file=table,
    )
    on_epoch = _saver(directory, options.checkpoint_every, table)
    with tidied(directory):
        run, on_train, on_test = train_and_measure(recipe, kept, validation, test, begun, on_epoch)
    if options.pictures:
        run.result["pictures"] = str(options.pictures)
    checkpoint.save(run, directory)
    print(f"\n{report.accuracy_table(on_train, on_test)}", file=table)
    with saved_before(directory):
        _write_predictions(options, test, on_test, directory)
    print(f"\nTrained in {run.training_seconds:.1f} s; written to {directory}", file=table)
    if options.json:
        print(json.dumps(run.result))


def _write_predictions(
    options: argparse.Namespace, test: Digits, on_test: Evaluation, directory: Path
) -> None:
    """Draw the sample predictions, where wanted: in the run's folder, and as the example."""
    files = [directory / "predictions.png"] if options.figures else []
    files += [options.example] if options.example else []
    if files:
        from ..plots import run_plots

        figure = run_plots.sample_predictions(test, on_test)
        for file in files:
            run_plots.save_figure(figure, file)


def _with_pictures(folder: Path, digits: Digits, recipe: Recipe, table: TextIO) -> Digits:
    """The digits, followed by those in the labelled pictures of a folder."""
    from .. import report
    from ..classifier.examples import load_examples
    from ..classifier.teaching import added

    examples = load_examples(folder)
    print(report.examples_text(examples), file=table)
    return added(digits, examples.digits, recipe.epochs)


def _begun(options: argparse.Namespace) -> Run | None:
    """With --resume, the run to go on with.

    Threads, device and determinism are taken from it, unless flags set them.
    """
    from ..classifier import checkpoint
    from ..classifier.device import use_deterministic_operations
    from ..classifier.optimization import DEVICES

    begun = checkpoint.load_unfinished(options.resume) if options.resume else None
    if begun:
        state = begun.state
        options.threads = options.threads or int(state["threads"].clamp(1, 1024))
        options.deterministic = options.deterministic or bool(state["deterministic"])
        if options.device == "auto":
            options.device = DEVICES[int(state["device"].clamp(0, len(DEVICES) - 1))]
    if options.deterministic:
        use_deterministic_operations()
    return begun


def _recipe(options: argparse.Namespace) -> Recipe:
    """The named recipe with the changes of the flags."""
    changes = recipe_changes(options, Recipe)
    if options.resume and (
        options.recipe or options.recipe_file or changes or options.output or options.validation
    ):
        raise UsageError(
            "a run is resumed as it was begun: give --resume no recipe, no flags of one, no "
            "--output and no --validation"
        )
    if options.recipe and options.recipe_file:
        raise RecipeError("give the name of a recipe, or its file, not both")
    chosen = options.recipe_file or options.recipe or "fast"
    return dataclasses.replace(recipe_of(str(chosen)), **changes)


def _saver(directory: Path, every: int, table: TextIO) -> Callable[[Run], None]:
    """For `on_epoch`: print each epoch's line, and save after each `every`th."""
    from .. import report
    from ..classifier import checkpoint

    def on_epoch(run: Run) -> None:
        if len(run.history) % every == 0:
            checkpoint.save(run, directory)
        print(report.epoch_line(run.history[-1]), file=table)

    return on_epoch
