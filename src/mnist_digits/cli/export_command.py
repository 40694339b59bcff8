"""Export a run as ONNX, with calibrated confidence, to read pictures with."""

from __future__ import annotations

import argparse
import sys

from .options import DATA_HELP, RUN_HELP, Parser, place
from .steps import finished, folder_of


def add_flags(command: Parser) -> None:
    command.add_argument("run", type=place, help=RUN_HELP)
    command.add_argument("--output", type=place, help="the file (model.onnx in the run's folder)")
    command.add_argument("--data", type=place, help=DATA_HELP)


def execute(options: argparse.Namespace) -> None:
    from ..classifier.calibration import calibrate
    from ..classifier.export import export_run
    from ..classifier.procedure import unlearned
    from ..data.dataset import load_mnist, split_validation
    from ..reading.reader import MODEL

    run = finished(options.run)
    output = options.output or folder_of(options.run) / MODEL
    digits, _ = load_mnist(options.data)
    held_out = unlearned(run, digits)
    if not held_out:
        held_out = split_validation(digits)[1]
        print(
            "mnist-digits export: warning: this run has learned from the images that its "
            "confidence is calibrated on, and will be too sure of itself: train with --validation",
            file=sys.stderr,
        )
    export_run(run, output, calibrate(run.model, run.recipe, held_out))
    print(f"Written to {output}")
