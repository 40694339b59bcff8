"""Measure a run on MNIST, or with --pictures how well labelled pictures are read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PictureError, UsageError
from .options import Parser, add_common_flags, place
from .steps import (
    drawing,
    drawn,
    folder_of,
    import_torch,
    load_data,
    prepare,
    trained_on,
    write_figures,
)

if TYPE_CHECKING:
    from ..figures.process import Drawing


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
    with drawing(options.figures) as figures:
        _evaluate_run(options, figures)
    return 0


def _evaluate_run(options: argparse.Namespace, figures: Drawing | None) -> None:
    import_torch()

    from ..training import checkpoint, evaluation
    from . import report

    device = prepare(options)
    run = checkpoint.load(options.run)
    digits, test = load_data(options, device)
    digits = trained_on(run, digits)
    run.model.to(device)
    on_test = evaluation.evaluate(run.model, test)
    with drawn(figures, test, run, on_test):
        on_train = evaluation.evaluate(run.model, digits)
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
    if figures:
        directory = options.output or folder_of(options.run)
        write_figures(figures.finished(), directory)
        if not options.json:
            print(f"\nFigures are in {directory}")


def _evaluate_pictures(options: argparse.Namespace) -> int:
    """The exit status: 1 if a picture could not be opened."""
    from ..figures import plots, readings
    from ..reading.labelled import find_labelled, read_labelled
    from ..reading.reader import Reader
    from . import report

    # The last row of a picture counts; one without a label and a file was taken back.
    last = {picture.path: picture for picture in find_labelled(options.pictures)}
    pictures = [picture for picture in last.values() if picture.label or picture.path.exists()]
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
        plots.save_figure(readings.picture_mistakes(outcomes), figure)
        if not options.json:
            print(f"\nThe mistakes are in {figure}")
    return int(any(outcome.reading is None for outcome in outcomes))
