"""What subcommands have in common on the command line: the parser, types and shared flags.

argparse: importing Typer, cyclopts or tyro takes 0.04 to 0.06 s more, of the tenth of a second that
`--help` may take, and they put an error into a box of several lines.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from ..training.recipe import FinderRecipe, Recipe

RUN_HELP = "folder of a run, or its model.safetensors"
MODEL_HELP = "an exported run (the model that we ship)"
ADDRESS_HELP = "host:port of a Ray cluster, or auto (Ray starts here)"


def whole(low: int, high: int) -> Callable[[str], int]:
    """The type of a whole number in [low, high]."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {low} to {high}, not {text!r}"
            )
        return int(text)

    return parse


class Parser(argparse.ArgumentParser):
    """Tells what is wrong on one line, and where to read on."""

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def add_recipe_flags(command: Parser, recipes: Mapping[str, Recipe | FinderRecipe]) -> None:
    """A flag for each field of the recipes; only those given are in the parsed options."""
    group = command.add_argument_group("recipe", "each choice of the run, with its defaults")
    one: Recipe | FinderRecipe = next(iter(recipes.values()))
    for field in dataclasses.fields(one):
        values = {name: _shown(getattr(recipe, field.name)) for name, recipe in recipes.items()}
        alone = len(values) == 1
        defaults = ", ".join(
            value if alone else f"{name} {value}" for name, value in values.items()
        )
        several = isinstance(field.default, tuple)
        told = f"{field.metadata['help']} ({defaults})".replace("%", "%%")
        names = {field.name: told}
        names |= {old: argparse.SUPPRESS for old, new in one.old_names.items() if new == field.name}
        for name, text in names.items():
            group.add_argument(
                f"--{name.replace('_', '-')}",
                dest=field.name,
                type=int if several else type(field.default),
                nargs="+" if several else None,
                default=argparse.SUPPRESS,
                metavar=field.name.upper(),
                help=text,
            )


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def add_device_flags(command: Parser) -> None:
    """Where to compute, and where the data are."""
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    command.add_argument("--threads", type=whole(1, 1024), help="CPU threads to use (all cores)")
    command.add_argument("--data", type=Path, help="folder of the MNIST files (the user's cache)")
    command.add_argument(
        "--download", action="store_true", help="fetch missing files instead of unpacking ours"
    )


def add_common_flags(command: Parser, figures: bool = True) -> None:
    """Those of commands that train or evaluate a run."""
    add_device_flags(command)
    if figures:
        command.add_argument(
            "--figures",
            action=argparse.BooleanOptionalAction,
            default=True,
            help="write the figures as PNG",
        )
    command.add_argument("--json", action="store_true", help="print one JSON object")


def add_cluster_flags(command: Parser) -> None:
    """Where Ray is, and what each run may take there."""
    command.add_argument("--address", help=ADDRESS_HELP)
    command.add_argument(
        "--cpus-per-run",
        type=whole(1, 1024),
        default=1,
        help="cores, and threads, of each run (1)",
    )
    command.add_argument(
        "--gpus-per-run",
        type=gpus,
        default=0.0,
        help="GPUs of each run; 0.25 lets four runs share one (0)",
    )


def gpus(text: str) -> float:
    """The type of a number of GPUs: a fraction of one, or some."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    # Ray shares one, but gives no run one and a half. Neither inf nor nan passes.
    if not (0 <= number <= 1 or (number <= 1024 and number.is_integer() and number > 0)):
        raise argparse.ArgumentTypeError(
            f"must be a fraction from 0 to 1, or a whole number, not {text!r}"
        )
    return number
