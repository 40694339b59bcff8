"""Teach a network your handwriting: train it on with labelled pictures of yours."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .options import Parser, add_common_flags, place, whole
from .steps import load_data, prepare

if TYPE_CHECKING:
    from ..classifier.evaluation import Evaluation
    from ..classifier.teaching import Taught


def add_flags(command: Parser) -> None:
    command.add_argument(
        "folder",
        type=place,
        help="labelled pictures: a labels.csv with file,label, or a folder for each label",
    )
    command.add_argument(
        "--base",
        type=place,
        help="the run that is trained on, or its model.safetensors (the one that comes with "
        "the package); it stays as it is",
    )
    command.add_argument("--output", type=place, help="folder of the new run (runs/<time>-...)")
    command.add_argument("--steps", type=whole(1, 10_000), help="of each training (100)")
    command.add_argument("--folds", type=whole(2, 100), help="of the cross-validation (5)")
    add_common_flags(command)


def execute(options: argparse.Namespace) -> None:
    # Before torch: a wrong folder is reported at once.
    from ..reading.labelled import find_labelled

    pictures = find_labelled(options.folder)

    from .. import report
    from ..classifier import checkpoint
    from ..classifier.examples import examples_of
    from ..classifier.export import check_installed, export_run
    from ..classifier.teaching import FOLDS, STEPS, base_calibration, lesson, teach, workers
    from ..reading.reader import MODEL, SHIPPED
    from .steps import finished, folder_of, saved_before, tidied

    check_installed()
    table = sys.stderr if options.json else sys.stdout
    base = finished(options.base or SHIPPED)
    examples = examples_of(pictures)
    print(report.examples_text(examples), file=table)
    device = prepare(options)
    digits, test = load_data(options, device)
    calibration = base_calibration(base, folder_of(options.base or SHIPPED), digits)
    directory = checkpoint.new_directory(lesson(base.recipe, 0), options.output)
    processes = min(workers(), options.threads or workers()) if device.type == "cpu" else 1

    def on_part(done: int, of: int) -> None:
        print(f"taught network {done} of {of}", file=table)

    with tidied(directory):
        steps, folds = options.steps or STEPS, options.folds or FOLDS
        taught = teach(
            *(base, examples, digits, test, calibration, processes),
            on_part=on_part,
            steps=steps,
            folds=folds,
        )
        # Before the result, whose file says that the run is finished.
        export_run(taught.run, directory / MODEL, taught.calibration)
        checkpoint.save(taught.run, directory)
    print(f"\n{report.teaching_table(taught)}", file=table)
    if options.figures and taught.after and taught.after.errors:
        with saved_before(directory):
            _draw_mistakes(taught, taught.after, directory / "pictures.png", table)
    print(
        f"\nWritten to {directory}; read with it: predict PICTURE --model {directory}", file=table
    )
    if options.json:
        print(json.dumps(taught.run.result))


def _draw_mistakes(taught: Taught, after: Evaluation, file: Path, table: TextIO) -> None:
    """Write a figure of the pictures that are still read wrong."""
    from ..plots import reading_plots, run_plots

    run_plots.save_figure(reading_plots.picture_mistakes(taught.outcomes(after)), file)
    print(f"\nThe pictures that are still wrong are in {file}", file=table)
