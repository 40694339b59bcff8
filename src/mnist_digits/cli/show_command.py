"""Print the recipe, the results and the versions of a run."""

from __future__ import annotations

import argparse
import dataclasses
import json

from .options import RUN_HELP, Parser, place


def add_flags(command: Parser) -> None:
    command.add_argument("run", type=place, help=RUN_HELP)
    command.add_argument("--json", action="store_true", help="print one JSON object")


def execute(options: argparse.Namespace) -> None:
    from .. import report
    from ..classifier import checkpoint

    run = checkpoint.load(options.run)
    if options.json:
        history = [dataclasses.asdict(epoch) for epoch in run.history]
        recipe = dataclasses.asdict(run.recipe)
        print(json.dumps({"recipe": recipe, "history": history, "result": run.result}))
    else:
        print(report.run_table(run))
