"""The flags of each subcommand, and what may be given to them.

The flags of `train` are the fields of Recipe, read from it.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ..training.recipe import RECIPES, FinderRecipe

RUN_HELP = "folder of a run, or its model.safetensors"
MODEL_HELP = "an exported run (the model that we ship)"
ADDRESS_HELP = "host:port of a Ray cluster, or auto (Ray starts here)"
MOST_SEEDS = 100_000


def _whole(low: int, high: int) -> Callable[[str], int]:
    """The type of a whole number in [low, high]."""

    def whole(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {low} to {high}, not {text!r}"
            )
        return int(text)

    return whole


class Parser(argparse.ArgumentParser):
    """Tells what is wrong on one line, and where to read on."""

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def train(command: Parser) -> None:
    """A recipe, what may be changed of it, and how and where the run is kept."""
    command.add_argument("recipe", nargs="?", help=f"{' or '.join(RECIPES)} (without one: fast)")
    command.add_argument(
        "--recipe", dest="recipe_file", type=Path, metavar="FILE", help="a recipe as JSON"
    )
    _add_recipe_flags(command, RECIPES)
    command.add_argument(
        "--validation",
        action="store_true",
        help="train on 50,004 of the images and measure every epoch on the other 9,996",
    )
    command.add_argument(
        "--deterministic",
        action="store_true",
        help="the same weights bit for bit each time on a GPU, too, if slower",
    )
    command.add_argument(
        "--resume",
        type=Path,
        metavar="RUN",
        help="go on with a run that was stopped, as if it had not been",
    )
    command.add_argument(
        "--checkpoint-every",
        type=_whole(1, 1024),
        default=1,
        metavar="N",
        help="save what a run can be resumed from after every N epochs (1)",
    )
    command.add_argument("--output", type=Path, help="folder of the run (runs/<time>-<recipe>)")
    command.add_argument("--example", type=Path, help="also write the sample predictions here")
    _add_common_flags(command)


def finder(command: Parser) -> None:
    """The choices of its training, and where it is kept."""
    _add_recipe_flags(command, {"default": FinderRecipe()})
    command.add_argument(
        "--resume", type=Path, metavar="RUN", help="go on with one that was stopped"
    )
    command.add_argument("--output", type=Path, help="folder of the run (runs/<time>-finder)")
    command.add_argument(
        "--workers", type=_whole(0, 256), default=1, help="processes that make scenes (1)"
    )
    _add_device_flags(command)


def scenes(command: Parser) -> None:
    """Which scenes, and where the picture of them goes."""
    command.add_argument("--output", type=Path, default=Path("scenes.png"), help="(scenes.png)")
    command.add_argument("--seed", type=_whole(0, 2**32 - 1), default=0, help="of the scenes (0)")
    command.add_argument("--layout", help="one, rows, table, scattered, window or none (any)")
    command.add_argument(
        "--features", nargs="*", help="such as boxed, ruled, shadow, and no others (any)"
    )
    command.add_argument("--truth", action="store_true", help="colour the ink of each digit")
    command.add_argument("--data", type=Path, help="folder of the MNIST files (the user's cache)")


def evaluate(command: Parser) -> None:
    """A run, or labelled pictures."""
    command.add_argument(
        "run",
        type=Path,
        nargs="?",
        help="folder of a run, or its model.safetensors; for pictures, of an exported one "
        "(the model that comes with the package)",
    )
    command.add_argument(
        "--output",
        type=Path,
        help="folder for the figures (that of the run; with --pictures the current one)",
    )
    command.add_argument(
        "--pictures",
        type=Path,
        help="folder of labelled pictures: a labels.csv with file,label, or a folder a label",
    )
    command.add_argument("--single", action="store_true", help="each picture has just one digit")
    _add_common_flags(command)


def predict(command: Parser) -> None:
    """Pictures and documents, and what is printed and drawn of them."""
    command.add_argument("pictures", nargs="+", type=Path, help="files, folders, - for stdin")
    command.add_argument("--model", type=Path, help=MODEL_HELP)
    command.add_argument("--single", action="store_true", help="each page has just one digit")
    command.add_argument("--json", action="store_true", help="print a JSON object a page")
    command.add_argument(
        "--annotate",
        type=Path,
        help="write a copy with boxes and answers here (a .png, or a folder for several)",
    )
    command.add_argument("--threads", type=_whole(1, 1024), help="CPU threads to use (all cores)")


def app(command: Parser) -> None:
    """Where the page is to be had, and with which network."""
    command.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
    command.add_argument(
        "--port", type=_whole(0, 65_535), default=8000, help="0 takes a free one (8000)"
    )
    command.add_argument("--model", type=Path, help=MODEL_HELP)
    command.add_argument(
        "--browser",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="open the page in a browser",
    )


def sweep(command: Parser) -> None:
    """A recipe, what is varied of it, and how often."""
    command.add_argument("recipe", help="name of a recipe, or a JSON file")
    command.add_argument(
        "--trials", type=_whole(1, 1_000_000), default=16, help="number of trials (16)"
    )
    command.add_argument("--search", type=Path, help="search space, a JSON file (a default one)")
    command.add_argument("--name", help="of the folder, sweeps/NAME (time and recipe)")
    command.add_argument("--resume", action="store_true", help="go on with the sweep of this name")
    _add_cluster_flags(command)


def study(command: Parser) -> None:
    """A recipe or two, and seeds."""
    command.add_argument("recipe", help="name of a recipe, or a JSON file")
    command.add_argument(
        "--seeds",
        type=_seeds,
        default=list(range(10)),
        help="seeds, such as 0-29 or 0,3,7 (0-9); an ensemble of three has three times the seed",
    )
    command.add_argument("--against", metavar="RECIPE", help="another one, to compare with")
    command.add_argument(
        "--validation", action="store_true", help="hold out the validation slice, and measure on it"
    )
    command.add_argument("--name", help="of the folder, studies/NAME (the recipes)")
    _add_cluster_flags(command)


def read(command: Parser) -> None:
    """Where pictures are, and where the answers go."""
    command.add_argument("source", help="a folder, a glob, a Parquet or a tar file")
    command.add_argument("--out", type=Path, required=True, help="folder for the Parquet files")
    command.add_argument("--column", help="of Parquet: the one with the images (the only one)")
    command.add_argument("--model", type=Path, help=MODEL_HELP)
    command.add_argument("--address", help=ADDRESS_HELP)


def export(command: Parser) -> None:
    """A run, and where its model goes."""
    command.add_argument("run", type=Path, help=RUN_HELP)
    command.add_argument("--output", type=Path, help="the file (model.onnx in the run's folder)")
    command.add_argument("--data", type=Path, help="folder of the MNIST files (the user's cache)")


def reproduce(command: Parser) -> None:
    """A run, and what to train it on."""
    command.add_argument("run", type=Path, help=RUN_HELP)
    _add_common_flags(command, figures=False)


def show(command: Parser) -> None:
    """A run."""
    command.add_argument("run", type=Path, help=RUN_HELP)
    command.add_argument("--json", action="store_true", help="print one JSON object")


def _add_recipe_flags(command: Parser, recipes: Mapping[str, Any]) -> None:
    """A flag for each field of the recipes; only those given are in the parsed options."""
    group = command.add_argument_group("recipe", "each choice of the run, with its defaults")
    for field in dataclasses.fields(next(iter(recipes.values()))):
        values = {name: _shown(getattr(recipe, field.name)) for name, recipe in recipes.items()}
        alone = len(values) == 1
        defaults = ", ".join(
            value if alone else f"{name} {value}" for name, value in values.items()
        )
        several = isinstance(field.default, tuple)
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=int if several else type(field.default),
            nargs="+" if several else None,
            default=argparse.SUPPRESS,
            help=f"{field.metadata['help']} ({defaults})".replace("%", "%%"),
        )


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _add_device_flags(command: Parser) -> None:
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    command.add_argument("--threads", type=_whole(1, 1024), help="CPU threads to use (all cores)")
    command.add_argument("--data", type=Path, help="folder of the MNIST files (the user's cache)")
    command.add_argument(
        "--download", action="store_true", help="fetch missing files instead of unpacking ours"
    )


def _add_common_flags(command: Parser, figures: bool = True) -> None:
    _add_device_flags(command)
    if figures:
        command.add_argument(
            "--figures",
            action=argparse.BooleanOptionalAction,
            default=True,
            help="write the figures as PNG",
        )
    command.add_argument("--json", action="store_true", help="print one JSON object")


def _add_cluster_flags(command: Parser) -> None:
    command.add_argument("--address", help=ADDRESS_HELP)
    command.add_argument(
        "--cpus-per-run",
        type=_whole(1, 1024),
        default=1,
        help="cores, and threads, of each run (1)",
    )
    command.add_argument(
        "--gpus-per-run",
        type=_gpus,
        default=0.0,
        help="GPUs of each run; 0.25 lets four runs share one (0)",
    )


def _gpus(text: str) -> float:
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


def _seeds(text: str) -> list[int]:
    parts = [part.partition("-") for part in text.split(",")]
    try:
        ranges = [range(int(low), int(high or low) + 1) for low, _, high in parts]
    except ValueError:
        ranges = []
    # Bounded before they are written out: there are four billion.
    if sum(max(0, part.stop - part.start) for part in ranges) > MOST_SEEDS:
        raise argparse.ArgumentTypeError(f"must be {MOST_SEEDS:,} seeds at most, not {text}")
    seeds = [seed for part in ranges for seed in part]
    if not seeds or len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError(f"must be like 0-29 or 0,3,7, not {text!r}")
    return seeds
