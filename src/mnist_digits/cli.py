"""The command `mnist-digits`: thin, one function for each subcommand.

Torch and matplotlib are imported by the functions that need them: `--help` answers in a
tenth of a second. The flags of `train` are the fields of Recipe, read from it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from .errors import CheckpointError, MnistDigitsError, PictureError
from .recipe import RECIPES, Recipe, named

if TYPE_CHECKING:
    import torch

    from .dataset import Digits
    from .evaluation import Evaluation
    from .reader import Reading
    from .training import Run


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 2 for bad input, 130 after Ctrl-C.

    1 if some of several pictures could not be read.
    """
    warnings.formatwarning = lambda message, *_, **__: f"mnist-digits: warning: {message}\n"
    options = build_parser().parse_args(arguments)
    try:
        return int(options.function(options) or 0)
    except MnistDigitsError as error:
        message = " ".join(str(error).split())
        print(f"mnist-digits {options.command}: error: {message}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`). Without this, Python would
        # complain again when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt as interrupt:
        print(f"\nmnist-digits {options.command}: stopped{interrupt}", file=sys.stderr)
        return 130


def train(options: argparse.Namespace) -> None:
    """Train a network by a recipe, evaluate it, and write the run to a folder."""
    fields = {field.name for field in dataclasses.fields(Recipe)}
    changes = {name: value for name, value in vars(options).items() if name in fields}
    recipe = dataclasses.replace(named(options.recipe), **changes)
    if options.example and not options.example.parent.is_dir():
        raise CheckpointError(f"there is no folder {options.example.parent} for the example")

    import torch

    from . import checkpoint, evaluation, report
    from .dataset import split_validation

    # With --json, standard output is for the one object.
    table = sys.stderr if options.json else sys.stdout
    device = _prepare(options)
    digits, test = _load_data(options, device)
    kept, validation = split_validation(digits) if options.validation else (digits, None)
    directory = checkpoint.new_directory(recipe, options.output)
    print(
        f"Training {recipe.name} on {len(kept):,} images, device {device}, "
        f"{torch.get_num_threads()} threads\n\n{report.EPOCH_HEADER}",
        file=table,
        flush=True,
    )
    run = _train_into(directory, recipe, kept, validation, table)
    on_train = evaluation.evaluate(run.model, kept)
    on_test = evaluation.evaluate(run.model, test)
    run.result = checkpoint.result(run, on_train, on_test)
    checkpoint.save(run, directory)
    print(f"\n{report.accuracy_table(on_train, on_test)}", file=table, flush=True)
    if options.figures:
        write_figures(run, test, on_test, directory)
    if options.example:
        from . import plots

        plots.save_figure(plots.sample_predictions(test, on_test), options.example)
    print(f"\nTrained in {run.training_seconds:.1f} s; written to {directory}", file=table)
    if options.json:
        print(json.dumps(run.result))


def _train_into(
    directory: Path, recipe: Recipe, kept: Digits, validation: Digits | None, table: TextIO
) -> Run:
    """Train, saving and reporting every epoch; a folder that nothing was saved to is removed."""
    from . import checkpoint, report, training

    def on_epoch(run: Run) -> None:
        checkpoint.save(run, directory)
        print(report.epoch_line(run.history[-1]), file=table, flush=True)

    try:
        return training.train(recipe, kept, validation, on_epoch=on_epoch)
    except BaseException as error:
        saved = any(directory.iterdir())
        if not saved:
            directory.rmdir()
        elif isinstance(error, KeyboardInterrupt):
            error.args = (f"; the weights after the last whole epoch are in {directory}",)
        raise


def evaluate(options: argparse.Namespace) -> None:
    """Measure a saved run, or with --pictures how well labelled pictures are read."""
    if options.pictures:
        _evaluate_pictures(options)
    elif options.run:
        _evaluate_run(options)
    else:
        raise CheckpointError("name the folder of a run, or give --pictures FOLDER")


def _evaluate_run(options: argparse.Namespace) -> None:
    from . import checkpoint, evaluation, report
    from .dataset import split_validation

    device = _prepare(options)
    run = checkpoint.load(options.run)
    digits, test = _load_data(options, device)
    # What was held out while it trained is no training image of its.
    if run.history and run.history[-1].validation_accuracy is not None:
        digits, _ = split_validation(digits)
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
        print("\n\n".join(tables), flush=True)
    if options.figures:
        directory = options.output or (options.run if options.run.is_dir() else options.run.parent)
        write_figures(run, test, on_test, directory)
        if not options.json:
            print(f"\nFigures are in {directory}")


def show(options: argparse.Namespace) -> None:
    """Tell what a run was: its recipe, its results, its versions."""
    from . import checkpoint, report

    run = checkpoint.load(options.run)
    if options.json:
        history = [dataclasses.asdict(epoch) for epoch in run.history]
        recipe = dataclasses.asdict(run.recipe)
        print(json.dumps({"recipe": recipe, "history": history, "result": run.result}))
    else:
        print(report.run_table(run))


def _evaluate_pictures(options: argparse.Namespace) -> None:
    from . import plots, report
    from .labelled import find_labelled, read_labelled
    from .reader import Reader

    pictures = find_labelled(options.pictures)
    reader = Reader.load(options.run, options.threads)
    outcomes = list(read_labelled(reader, pictures, options.single))
    if options.json:
        print(json.dumps(report.pictures_summary(outcomes)))
    else:
        print(report.pictures_table(outcomes), flush=True)
    if options.figures and not all(outcome.right for outcome in outcomes):
        figure = (options.output or Path()) / "picture_mistakes.png"
        plots.save_figure(plots.picture_mistakes(outcomes), figure)
        if not options.json:
            print(f"\nThe mistakes are in {figure}")


def predict(options: argparse.Namespace) -> int:
    """Read the digits in pictures: files, folders, or - for standard input."""
    from .picture import find_pictures
    from .reader import Reader

    reader = Reader.load(options.model, options.threads)
    files = find_pictures(options.pictures)
    several = len(files) > 1
    failed = False
    for file in files:
        try:
            # As bytes, so that standard input can be read and annotated, too.
            source = sys.stdin.buffer.read() if file == Path("-") else file
            reading = reader.read_digit(source) if options.single else reader.read(source)
            if options.annotate:
                _annotate(source, reading, options.annotate, file if several else None)
        except PictureError as error:
            failed = True
            message = " ".join(str(error).split())
            if options.json:
                print(json.dumps({"file": str(file), "error": message}), flush=True)
            else:
                print(f"mnist-digits predict: error: {message}", file=sys.stderr, flush=True)
            continue
        if options.json:
            print(json.dumps({"file": str(file), **reading.to_dict()}), flush=True)
        else:
            print(f"{file}: {reading}", flush=True)
    return int(failed)


def _annotate(source: Path | bytes, reading: Reading, output: Path, file: Path | None) -> None:
    """Write the annotated copy to `output`, or for one of several files into that folder."""
    import io

    from .annotation import annotated
    from .files import write_whole

    if file or not output.suffix:
        output = output / f"{file.stem if file else 'annotated'}.png"
    png = io.BytesIO()
    annotated(source, reading).save(png, "PNG")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(output, png.getvalue())
    except OSError as error:
        raise CheckpointError(f"cannot write {output}: {error.strerror}") from error


def export(options: argparse.Namespace) -> None:
    """Turn a run into an ONNX model, with its confidence calibrated, to read pictures with."""
    from . import checkpoint
    from .dataset import load_mnist, split_validation
    from .export import calibrate, export_run
    from .reader import MODEL

    run = checkpoint.load(options.run)
    output = options.output or (options.run if options.run.is_dir() else options.run.parent) / MODEL
    digits, _ = load_mnist(options.data)
    _, validation = split_validation(digits)
    if not run.history or run.history[-1].validation_accuracy is None:
        print(
            "mnist-digits export: warning: this run has learned from the images that its "
            "confidence is calibrated on, and will be too sure of itself: train with --validation",
            file=sys.stderr,
        )
    export_run(run, output, calibrate(run.model, run.recipe, validation))
    print(f"Written to {output}")


def write_figures(run: Run, test: Digits, on_test: Evaluation, directory: Path) -> None:
    """Write the figures of a run to a folder, as PNG."""
    from . import plots

    plots.save_figure(plots.sample_predictions(test, on_test), directory / "predictions.png")
    plots.save_figure(plots.worst_mistakes(test, on_test), directory / "mistakes.png")
    plots.save_figure(plots.confusion_matrix(on_test), directory / "confusion.png")
    plots.save_figure(plots.calibration(on_test), directory / "calibration.png")
    plots.save_figure(plots.training_curves(run.history), directory / "curves.png")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = Parser(prog="mnist-digits", description="Read handwritten digits.")
    version = metadata.version("mnist-digit-classification")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = _add_command(commands, train)
    command.add_argument(
        "recipe", nargs="?", default="fast", help=f"{' or '.join(RECIPES)} (without one: fast)"
    )
    _add_recipe_flags(command)
    command.add_argument(
        "--validation",
        action="store_true",
        help="train on 50,004 of the images and measure every epoch on the other 9,996",
    )
    command.add_argument("--output", type=Path, help="folder of the run (runs/<time>-<recipe>)")
    command.add_argument("--example", type=Path, help="also write the sample predictions here")
    _add_common_flags(command)

    command = _add_command(commands, evaluate)
    command.add_argument(
        "run",
        type=Path,
        nargs="?",
        help="folder of a run, or its model.safetensors; for pictures, of an exported one "
        "(the model that comes with the package)",
    )
    command.add_argument("--output", type=Path, help="folder for the figures (that of the run)")
    command.add_argument(
        "--pictures",
        type=Path,
        help="folder of labelled pictures: a labels.csv with file,label, or a folder a label",
    )
    command.add_argument("--single", action="store_true", help="each picture has just one digit")
    _add_common_flags(command)

    command = _add_command(commands, predict)
    command.add_argument("pictures", nargs="+", type=Path, help="files, folders, - for stdin")
    command.add_argument("--model", type=Path, help="an exported run (the model that we ship)")
    command.add_argument("--single", action="store_true", help="each picture has just one digit")
    command.add_argument("--json", action="store_true", help="print a JSON object a picture")
    command.add_argument(
        "--annotate",
        type=Path,
        help="write a copy with boxes and answers here (a .png, or a folder for several)",
    )
    command.add_argument("--threads", type=_positive, help="of the CPU (all cores)")

    command = _add_command(commands, export)
    command.add_argument("run", type=Path, help="folder of a run, or its model.safetensors")
    command.add_argument("--output", type=Path, help="the file (model.onnx in the run's folder)")
    command.add_argument("--data", type=Path, help="folder of the MNIST files (the user's cache)")

    command = _add_command(commands, show)
    command.add_argument("run", type=Path, help="folder of a run, or its model.safetensors")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


class Parser(argparse.ArgumentParser):
    """Tells what is wrong on one line, and where to read on."""

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _add_command(
    commands: argparse._SubParsersAction[Parser],
    function: Callable[[argparse.Namespace], int | None],
) -> Parser:
    summary = str(function.__doc__).splitlines()[0]
    command = commands.add_parser(function.__name__, help=summary, description=summary)
    command.set_defaults(function=function)
    return command


def _add_recipe_flags(command: Parser) -> None:
    """A flag for each field of Recipe; only those given are in the parsed options."""
    group = command.add_argument_group("recipe", "each choice of the run, with its defaults")
    for field in dataclasses.fields(Recipe):
        defaults = ", ".join(
            f"{name} {_shown(getattr(r, field.name))}" for name, r in RECIPES.items()
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


def _add_common_flags(command: Parser) -> None:
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    command.add_argument("--threads", type=_positive, help="of the CPU (all cores)")
    command.add_argument("--data", type=Path, help="folder of the MNIST files (the user's cache)")
    command.add_argument(
        "--download", action="store_true", help="fetch missing files instead of unpacking ours"
    )
    command.add_argument(
        "--figures",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write the figures as PNG",
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")


def _positive(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 1024, not {text!r}")
    return int(text)


def _prepare(options: argparse.Namespace) -> torch.device:
    import torch

    from .training import pick_device

    if options.threads:
        torch.set_num_threads(options.threads)
    return pick_device(options.device)


def _load_data(options: argparse.Namespace, device: torch.device) -> tuple[Digits, Digits]:
    from .dataset import load_mnist

    train, test = load_mnist(options.data, options.download)
    return train.to(device), test.to(device)


if __name__ == "__main__":
    sys.exit(main())
