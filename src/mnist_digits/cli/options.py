"""What the subcommands' command lines share: the parser, types of values, and flags.

The parser is argparse's. Typer, cyclopts and tyro take 0.04 to 0.06 s longer to import, which is
much of the 0.1 s that `--help` may take, and they print an error as a box of several lines.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import on_one_line

if TYPE_CHECKING:
    from ..classifier.recipe import DetectorRecipe, Recipe

RUN_HELP = "folder of a run, or its model.safetensors"
MODEL_HELP = "an exported run (the model that we ship)"
DATA_HELP = "folder of another data set in MNIST's format, gzipped or not (MNIST)"
ADDRESS_HELP = "host:port of a Ray cluster, or auto (this machine)"


def whole(low: int, high: int) -> Callable[[str], int]:
    """The argparse type of a whole number from low to high."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {low} to {high}, not {text!r}"
            )
        return int(text)

    return parse


def place(text: str) -> Path:
    """The argparse type of a file or a folder that must have a name."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty: name a file or a folder")
    if "://" in text and not os.path.lexists(text):
        raise argparse.ArgumentTypeError(f"{text} is an address: save it, and name the file")
    return Path(text)


class Parser(argparse.ArgumentParser):
    """Reports a mistake on one line that ends with a pointer to --help."""

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {on_one_line(message)} (see {self.prog} --help)\n")


def add_recipe_flags(command: Parser, recipes: Mapping[str, Recipe | DetectorRecipe]) -> None:
    """Add a flag for each field of the recipes; only flags that are given get into the options."""
    group = command.add_argument_group("recipe", "each choice of the run, with its defaults")
    one: Recipe | DetectorRecipe = next(iter(recipes.values()))
    for field in dataclasses.fields(one):
        values = {name: _shown(getattr(recipe, field.name)) for name, recipe in recipes.items()}
        alone = len(values) == 1
        defaults = ", ".join(
            value if alone else f"{name} {value}" for name, value in values.items()
        )
        several = isinstance(field.default, tuple)
        help_text = f"{field.metadata['help']} ({defaults})".replace("%", "%%")
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=int if several else type(field.default),
            nargs="+" if several else None,
            default=argparse.SUPPRESS,
            metavar=field.name.upper(),
            help=help_text,
        )


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def recipe_changes(
    options: argparse.Namespace, recipe: type[Recipe | DetectorRecipe]
) -> dict[str, Any]:
    """The values of the recipe flags that were given, by field."""
    fields = {field.name for field in dataclasses.fields(recipe)}
    return {name: value for name, value in vars(options).items() if name in fields}


def add_device_flags(command: Parser) -> None:
    """Add the flags for device, threads and data."""
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    command.add_argument("--threads", type=whole(1, 1024), help="CPU threads to use (all cores)")
    command.add_argument("--data", type=place, help=DATA_HELP)


def add_common_flags(command: Parser, figures: bool = True) -> None:
    """Add the flags of commands that train or evaluate a run."""
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
    """Add the flags for Ray's address, and the cores and GPUs of each run."""
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
    """The argparse type of a number of GPUs: a fraction of one, or a whole number."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    # Ray can share one GPU, but a run cannot have one and a half. This refuses inf and nan, too.
    if not (0 <= number <= 1 or (number <= 1024 and number.is_integer() and number > 0)):
        raise argparse.ArgumentTypeError(
            f"must be a fraction from 0 to 1, or a whole number, not {text!r}"
        )
    return number
