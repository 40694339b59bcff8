"""Train a run again by its recipe, and check that the weights are identical."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING

from ..errors import UsageError
from .options import RUN_HELP, Parser, add_common_flags, place
from .steps import finished, load_data, prepare, trained_on

if TYPE_CHECKING:
    from ..classifier.loop import Run


def add_flags(command: Parser) -> None:
    command.add_argument("run", type=place, help=RUN_HELP)
    add_common_flags(command, figures=False)


def execute(options: argparse.Namespace) -> int:
    from .. import report
    from ..classifier import reproduction
    from ..classifier.device import use_deterministic_operations
    from ..classifier.loop import train

    run = finished(options.run)
    if "teaching" in run.result or "pictures" in run.result:
        raise UsageError(
            f"{options.run} has learned from pictures, too, which it does not hold: it cannot be "
            f"trained again without them"
        )
    recorded = run.result.get("device")
    if options.device == "auto":
        options.device = recorded if recorded in ("cpu", "mps") else "cuda"
    options.threads = options.threads or run.result.get("threads")
    device = prepare(options)
    if run.result.get("deterministic"):
        use_deterministic_operations()
    digits, _ = load_data(options, device)
    digits = trained_on(run, digits)
    table = sys.stderr if options.json else sys.stdout
    print(report.EPOCH_HEADER, file=table)

    def on_epoch(latest: Run) -> None:
        print(report.epoch_line(latest.history[-1]), file=table)

    again = train(run.recipe, digits, on_epoch=on_epoch)
    outcome = reproduction.compare(run, again, reproduction.environment(digits))
    if options.json:
        print(json.dumps({"identical": outcome.identical, **dataclasses.asdict(outcome)}))
    else:
        print(f"\n{report.reproduction_text(outcome)}")
    return int(not outcome.identical)
