"""Measure a run on MNIST, or with --pictures how well labelled pictures are read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PictureError, UsageError
from .options import Parser, add_common_flags, place
from .steps import folder_of, load_data, prepare, trained_on

if TYPE_CHECKING:
    from ..classifier.evaluation import Evaluation
    from ..classifier.loop import Run
    from ..data.dataset import Digits


def add_flags(command: Parser) -> None:
    command.add_argument(
        "run",
        type=place,
        nargs="?",
        help="folder of a run, or its model.safetensors; with --pictures, an exported run "
        "(the model that we ship)",
    )
    command.add_argument(
        "--output",
        type=place,
        help="folder for the figures (the run's; with --pictures, the current folder)",
    )
    command.add_argument(
        "--pictures",
        type=place,
        help="folder of labelled pictures: with a labels.csv of file,label, or a subfolder for "
        "each label",
    )
    command.add_argument("--single", action="store_true", help="each picture has exactly one digit")
    add_common_flags(command)


def execute(options: argparse.Namespace) -> int:
    if options.pictures:
        return _evaluate_pictures(options)
    if not options.run:
        raise UsageError("name the folder of a run, or give --pictures FOLDER")
    _evaluate_run(options)
    return 0


def _evaluate_run(options: argparse.Namespace) -> None:
    from .. import report
    from ..classifier import checkpoint, evaluation

    device = prepare(options)
    run = checkpoint.load(options.run)
    digits, test = load_data(options, device)
    digits = trained_on(run, digits)
    run.model.to(device)
    on_train = evaluation.evaluate(run.model, digits)
    on_test = evaluation.evaluate(run.model, test)
    if options.json:
        print(json.dumps(evaluation.summary(on_train, on_test) | evaluation.details(on_test)))
    else:
        tables = [
            report.accuracy_table(on_train, on_test),
            report.digit_table(on_test),
            report.confusion_table(on_test),
            report.calibration_table(on_test),
        ]
        print("\n\n".join(tables))
    if options.figures:
        directory = options.output or folder_of(options.run)
        _write_figures(run, test, on_test, directory)
        if not options.json:
            print(f"\nFigures are in {directory}")


def _write_figures(run: Run, test: Digits, on_test: Evaluation, directory: Path) -> None:
    from ..plots import run_plots

    for name, figure in {
        "predictions": run_plots.sample_predictions(test, on_test),
        "mistakes": run_plots.worst_mistakes(test, on_test),
        "confusion": run_plots.confusion_matrix(on_test),
        "calibration": run_plots.calibration(on_test),
        "curves": run_plots.training_curves(run.history),
    }.items():
        run_plots.save_figure(figure, directory / f"{name}.png")


def _evaluate_pictures(options: argparse.Namespace) -> int:
    """The exit status: 1 if a picture could not be opened."""
    from .. import report
    from ..plots import reading_plots, run_plots
    from ..reading.labelled import find_labelled, read_labelled
    from ..reading.reader import Reader

    found = find_labelled(options.pictures)
    # A picture without a label and without a file was taken back.
    pictures = [picture for picture in found if picture.label or picture.path.exists()]
    if not pictures:
        raise PictureError(f"all pictures of {options.pictures} were taken back")
    reader = Reader.load(options.run, options.threads)
    outcomes = list(read_labelled(reader, pictures, options.single))
    if options.json:
        print(json.dumps(report.pictures_summary(outcomes)))
    else:
        print(report.pictures_table(outcomes))
    if options.figures and not all(outcome.right for outcome in outcomes):
        figure = (options.output or Path()) / "picture_mistakes.png"
        run_plots.save_figure(reading_plots.picture_mistakes(outcomes), figure)
        if not options.json:
            print(f"\nThe mistakes are in {figure}")
    return int(any(outcome.reading is None for outcome in outcomes))
