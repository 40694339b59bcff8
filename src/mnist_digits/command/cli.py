"""The command `mnist-digits`: thin, one function for each subcommand.

Torch and matplotlib are imported by the functions that need them: `--help` answers in a
tenth of a second. What each may be given is in `flags.py`.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import (
    CheckpointError,
    ClusterError,
    MnistDigitsError,
    PictureError,
    RecipeError,
    ServerError,
    TrainingError,
)
from ..training.recipe import FinderRecipe, Recipe, named
from . import flags

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ..data.dataset import Digits
    from ..reading.documents import Page
    from ..reading.reader import Reader, Reading
    from ..training.evaluation import Evaluation
    from ..training.loop import Run


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 2 for bad input, 130 after Ctrl-C.

    1 if some of several pictures could not be read, or a run came out otherwise than before.
    """
    warnings.formatwarning = lambda message, *_, **__: f"mnist-digits: warning: {message}\n"
    options = build_parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file's name need not be text in any language; progress is to be seen in a pipe, too.
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    # Whatever is odd about a picture is either no matter or an error.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        return int(options.function(options) or 0)
    except MnistDigitsError as error:
        message = " ".join(str(error).split())
        print(f"mnist-digits {options.command}: error: {message}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is not None:
            reason = f"cannot use {error.filename}: {error.strerror}"
        else:
            # Of standard output, which has no name. Without this, Python would complain again
            # when it closes it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error, BrokenPipeError):  # whoever reads it has seen enough (`| head`)
                return 1
            reason = f"cannot write the output: {error.strerror}"
        print(f"mnist-digits {options.command}: error: {reason}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"\nmnist-digits {options.command}: stopped{interrupt}", file=sys.stderr)
        return 130


def train(options: argparse.Namespace) -> None:
    """Train a network by a recipe, evaluate it, and write the run to a folder."""
    if options.example and not options.example.parent.is_dir():
        raise CheckpointError(f"there is no folder {options.example.parent} for the example")
    recipe = _recipe(options)

    import torch

    from ..data.dataset import split_validation
    from ..training import checkpoint, evaluation
    from ..training.loop import use_deterministic_operations
    from . import report

    # With --json, standard output is for the one object.
    table = sys.stderr if options.json else sys.stdout
    begun = checkpoint.load_unfinished(options.resume) if options.resume else None
    if begun:
        recipe = begun.recipe
        _as_begun(options, begun.state)
    device = _prepare(options)
    if options.deterministic:
        use_deterministic_operations()
    digits, test = _load_data(options, device)
    held_out = options.validation or (begun and int(begun.state["images"]) < len(digits))
    kept, validation = split_validation(digits) if held_out else (digits, None)
    directory = options.resume or checkpoint.new_directory(recipe, options.output)
    print(
        f"{'Going on with' if begun else 'Training'} {recipe.name} on {len(kept):,} images, "
        f"device {device}, {torch.get_num_threads()} threads\n\n{report.EPOCH_HEADER}",
        file=table,
    )
    on_epoch = _saver(directory, options.checkpoint_every, table)
    run = _train_into(directory, recipe, kept, validation, begun, on_epoch)
    on_train = evaluation.evaluate(run.model, kept)
    on_test = evaluation.evaluate(run.model, test)
    run.result = checkpoint.result(run, on_train, on_test, kept)
    checkpoint.save(run, directory)
    print(f"\n{report.accuracy_table(on_train, on_test)}", file=table)
    if options.figures:
        write_figures(run, test, on_test, directory)
    if options.example:
        from ..figures import plots

        plots.save_figure(plots.sample_predictions(test, on_test), options.example)
    print(f"\nTrained in {run.training_seconds:.1f} s; written to {directory}", file=table)
    if options.json:
        print(json.dumps(run.result))


def _as_begun(options: argparse.Namespace, state: dict[str, Tensor]) -> None:
    """Choose what the bits depend on as it was before, but what the flags say."""
    from ..training.state import DEVICES

    options.threads = options.threads or int(state["threads"].clamp(1, 1024))
    options.deterministic = options.deterministic or bool(state["deterministic"])
    if options.device == "auto":
        options.device = DEVICES[int(state["device"].clamp(0, len(DEVICES) - 1))]


def _recipe(options: argparse.Namespace) -> Recipe:
    """The named recipe with the changes of the flags."""
    fields = {field.name for field in dataclasses.fields(Recipe)}
    changes = {name: value for name, value in vars(options).items() if name in fields}
    if options.resume and (
        options.recipe or options.recipe_file or changes or options.output or options.validation
    ):
        raise CheckpointError(
            "a run is resumed as it was begun: give --resume no recipe, no flags of one, no "
            "--output and no --validation"
        )
    if options.recipe and options.recipe_file:
        raise RecipeError("give the name of a recipe, or its file, not both")
    chosen = options.recipe_file or options.recipe or "fast"
    return dataclasses.replace(_named_or_read(str(chosen)), **changes)


def _named_or_read(recipe: str) -> Recipe:
    """The recipe of this name, or in this JSON file."""
    if not recipe.endswith(".json"):
        return named(recipe)
    try:
        return Recipe.from_json(Path(recipe).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read the recipe {recipe}: {error}") from error


def _saver(directory: Path, every: int, table: TextIO) -> Callable[[Run], None]:
    """What is done after each epoch: a line is printed, and each `every`th one is saved."""
    from ..training import checkpoint
    from . import report

    def on_epoch(run: Run) -> None:
        if len(run.history) % every == 0:
            checkpoint.save(run, directory)
        print(report.epoch_line(run.history[-1]), file=table)

    return on_epoch


def _train_into(
    directory: Path,
    recipe: Recipe,
    kept: Digits,
    validation: Digits | None,
    begun: Run | None,
    on_epoch: Callable[[Run], None],
) -> Run:
    """Train, saving and reporting every epoch; a folder that nothing was saved to is removed."""
    from ..training import checkpoint
    from ..training import loop as training

    try:
        return training.train(recipe, kept, validation, resume=begun, on_epoch=on_epoch)
    except BaseException as error:
        # What kept it from being written may keep it from being removed.
        with suppress(OSError):
            directory.rmdir()
        if isinstance(error, KeyboardInterrupt) and (directory / checkpoint.TRAINING).exists():
            error.args = (f"; go on with: mnist-digits train --resume {directory}",)
        # What torch says on a CPU and on a GPU.
        if isinstance(error, RuntimeError) and "memory" in str(error):
            raise TrainingError(
                "there is not enough memory: choose a smaller --batch-size, or smaller --widths"
            ) from error
        raise


def finder(options: argparse.Namespace) -> None:
    """Train the network that finds digits, on scenes that are made for it, and export it."""
    from ..data.dataset import split_validation
    from ..reading.finder import FINDER
    from ..training import checkpoint
    from ..training.export import export_finder
    from ..training.finder_training import STATE, FinderRun, load_finder, save_finder, train_finder
    from . import report

    fields = {field.name for field in dataclasses.fields(FinderRecipe)}
    changes = {name: value for name, value in vars(options).items() if name in fields}
    if options.resume and (changes or options.output):
        raise CheckpointError("a run is resumed as it was begun: give --resume no other choices")
    begun = load_finder(options.resume / STATE) if options.resume else None
    recipe = begun.recipe if begun else FinderRecipe(**changes)
    device = _prepare(options)
    # The validation slice is kept for those who measure.
    digits, _ = split_validation(_load_data(options, "cpu")[0])
    directory = options.resume or checkpoint.new_directory(recipe, options.output)
    print(
        f"Training a finder on {recipe.scenes:,} scenes, device {device}\n\n{report.FINDER_HEADER}"
    )

    def on_part(run: FinderRun) -> None:
        save_finder(run, directory / STATE)
        print(report.finder_line(run))

    run = train_finder(
        recipe, digits, begun, device=device, workers=options.workers, on_part=on_part
    )
    export_finder(run, directory / FINDER.name)
    print(f"\nWritten to {directory}")


def scenes(options: argparse.Namespace) -> None:
    """Show pictures of digits as the finder is trained on: a contact sheet."""
    from ..data.dataset import load_mnist
    from ..files import write_whole
    from ..training.scenes import scene as scenes
    from ..training.scenes.glyphs import load_glyphs

    digits, _ = load_mnist(options.data)
    glyphs = load_glyphs(digits[:: len(digits) // 1000], 500, options.seed)
    sheet = scenes.contact_sheet(
        glyphs, options.seed, options.layout, options.features, options.truth
    )
    write_whole(options.output, sheet)
    print(f"Written to {options.output}")


def evaluate(options: argparse.Namespace) -> None:
    """Measure a saved run, or with --pictures how well labelled pictures are read."""
    if options.pictures:
        _evaluate_pictures(options)
    elif options.run:
        _evaluate_run(options)
    else:
        raise CheckpointError("name the folder of a run, or give --pictures FOLDER")


def _evaluate_run(options: argparse.Namespace) -> None:
    from ..data.dataset import split_validation
    from ..training import checkpoint, evaluation
    from . import report

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
        print("\n\n".join(tables))
    if options.figures:
        directory = options.output or (options.run if options.run.is_dir() else options.run.parent)
        write_figures(run, test, on_test, directory)
        if not options.json:
            print(f"\nFigures are in {directory}")


def reproduce(options: argparse.Namespace) -> int:
    """Train a run again by its recipe, and tell whether the weights are the very same."""
    from ..data.dataset import split_validation
    from ..training import checkpoint, reproduction
    from ..training import loop as training
    from . import report

    run = _finished(options.run)
    recorded = run.result.get("device")
    if options.device == "auto":
        options.device = recorded if recorded in ("cpu", "mps") else "cuda"
    options.threads = options.threads or run.result.get("threads")
    device = _prepare(options)
    if run.result.get("deterministic"):
        training.use_deterministic_operations()
    digits, _ = _load_data(options, device)
    if run.history and run.history[-1].validation_accuracy is not None:
        digits, _ = split_validation(digits)
    table = sys.stderr if options.json else sys.stdout
    print(report.EPOCH_HEADER, file=table)

    def tell(latest: Run) -> None:
        print(report.epoch_line(latest.history[-1]), file=table)

    again = training.train(run.recipe, digits, on_epoch=tell)
    outcome = reproduction.compare(run, again, checkpoint.circumstances(digits))
    if options.json:
        print(json.dumps({"identical": outcome.identical, **dataclasses.asdict(outcome)}))
    else:
        print(f"\n{report.reproduction_text(outcome)}")
    return int(not outcome.identical)


def show(options: argparse.Namespace) -> None:
    """Tell what a run was: its recipe, its results, its versions."""
    from ..training import checkpoint
    from . import report

    run = checkpoint.load(options.run)
    if options.json:
        history = [dataclasses.asdict(epoch) for epoch in run.history]
        recipe = dataclasses.asdict(run.recipe)
        print(json.dumps({"recipe": recipe, "history": history, "result": run.result}))
    else:
        print(report.run_table(run))


def _evaluate_pictures(options: argparse.Namespace) -> None:
    from ..figures import plots
    from ..reading.labelled import find_labelled, read_labelled
    from ..reading.reader import Reader
    from . import report

    pictures = find_labelled(options.pictures)
    reader = Reader.load(options.run, options.threads)
    outcomes = list(read_labelled(reader, pictures, options.single))
    if options.json:
        print(json.dumps(report.pictures_summary(outcomes)))
    else:
        print(report.pictures_table(outcomes))
    if options.figures and not all(outcome.right for outcome in outcomes):
        figure = (options.output or Path()) / "picture_mistakes.png"
        plots.save_figure(plots.picture_mistakes(outcomes), figure)
        if not options.json:
            print(f"\nThe mistakes are in {figure}")


def predict(options: argparse.Namespace) -> int:
    """Read the digits in pictures and documents: files, folders, or - for standard input."""
    from ..reading.annotation import Copies
    from ..reading.documents import find_pictures
    from ..reading.reader import Reader

    files = find_pictures(options.pictures)
    copies = Copies(files, options.annotate) if options.annotate else None
    reader = Reader.load(options.model, options.threads)
    failed = False
    for place, file in enumerate(files):
        for page, reading in _pages(reader, file, options.single):
            failed = failed or isinstance(reading, PictureError)
            if copies and not isinstance(reading, PictureError):
                copies.write(place, page, reading)
            _tell(file, page, reading, options.json)
    return int(failed)


def _pages(
    reader: Reader, file: Path, single: bool
) -> Iterator[tuple[Page, Reading | PictureError]]:
    from ..reading.documents import STANDARD_INPUT, Page, read_pages

    try:
        source = _standard_input() if file == STANDARD_INPUT else file
    except PictureError as error:
        yield Page(1, 1, error), error
    else:
        yield from read_pages(reader, source, single)


def _tell(file: Path, page: Page, reading: Reading | PictureError, as_json: bool) -> None:
    """Print what was read on a page, or why it could not be."""
    several = page.pages > 1
    if isinstance(reading, PictureError):
        message = " ".join(str(reading).split())
        if not as_json:
            print(f"mnist-digits predict: error: {message}", file=sys.stderr)
            return
        found: dict[str, Any] = {"error": message}
    else:
        found = reading.to_dict()
    if as_json:
        number = {"page": page.number} if several else {}
        print(json.dumps({"file": str(file), **number, **found}))
    else:
        print(f"{file}{f', page {page.number}' if several else ''}: {reading}")


def _standard_input() -> bytes:
    from ..reading.picture import read_bounded

    if sys.stdin is None:
        raise PictureError("standard input is closed: send it a picture, or name a file")
    try:
        return read_bounded(sys.stdin.buffer)
    except OSError as error:
        raise PictureError(f"cannot read standard input: {error.strerror}") from error


def app(options: argparse.Namespace) -> None:
    """Open a page to draw digits on; serves it, and an HTTP interface, until Ctrl-C."""
    try:
        from ..web import server
    except ModuleNotFoundError as error:
        raise ServerError(
            "the page needs more packages: pip install 'mnist-digit-classification[web]'"
        ) from error
    from ..reading.reader import Reader

    socket = server.listen(options.host, options.port)
    # One thread a picture: several are read at once.
    web = server.create_server(Reader.load(options.model, threads=1), options.host)
    host = f"[{options.host}]" if ":" in options.host else options.host
    address = f"http://{host}:{socket.getsockname()[1]}/"
    print(f"Draw at {address} (Ctrl-C stops)")
    if options.browser:
        import threading
        import webbrowser

        # Some browsers keep their caller waiting.
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    web.run([socket])


def sweep(options: argparse.Namespace) -> None:
    """Search for better values of a recipe's fields, many trials at a time (Ray Tune)."""
    from ..cluster import sweep
    from ..figures import plots, surveys
    from . import report

    recipe = _named_or_read(options.recipe)
    if options.resume and not options.name:
        raise ClusterError("name the sweep to resume: --name NAME")
    directory = Path("sweeps") / (
        options.name or f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{recipe.name}"
    )
    space = sweep.read_space(options.search, recipe)
    trials = sweep.run_sweep(
        recipe,
        options.trials,
        directory,
        space,
        options.resume,
        options.address,
        options.cpus_per_run,
        options.gpus_per_run,
    )
    print(f"\n{report.leaderboard(trials)}\n\nWritten to {directory}")
    weights = sweep.importance(trials, space)
    plots.save_figure(surveys.sweep_fields(trials, weights), directory / "fields.png")
    plots.save_figure(surveys.sweep_trials(trials), directory / "trials.png")
    print(f"Go on with: mnist-digits train --recipe {directory / 'best.json'}")


def study(options: argparse.Namespace) -> None:
    """Train a recipe with many seeds, side by side (Ray): mean, deviation, comparison."""
    from ..cluster import study
    from ..figures import plots, surveys
    from . import report

    recipes = [_named_or_read(name) for name in (options.recipe, options.against) if name]
    name = options.name or "-".join(recipe.name for recipe in recipes)
    directory = Path("studies") / name
    studies = study.run_study(
        recipes,
        options.seeds,
        directory,
        options.validation,
        options.address,
        options.cpus_per_run,
        options.gpus_per_run,
    )
    print(f"\n{report.study_table(studies, options.validation)}")
    if len(studies) == 2:
        print(f"\n{study.verdict(*studies)}")
        if not options.validation:
            print("(on the test set: to choose between recipes, compare with --validation)")
    plots.save_figure(surveys.distribution(studies), directory / "distribution.png")
    print(f"\nWritten to {directory}")


def read(options: argparse.Namespace) -> None:
    """Read many pictures into Parquet files: a folder, a glob, Parquet, tar (Ray Data)."""
    from ..cluster import bulk

    counts = bulk.read_source(
        options.source, options.out, options.column, options.model, options.address
    )
    print(
        f"{counts['pictures']:,} pictures, {counts['errors']:,} of them not readable; "
        f"written to {options.out}"
    )


def export(options: argparse.Namespace) -> None:
    """Turn a run into an ONNX model, with its confidence calibrated, to read pictures with."""
    from ..data.dataset import load_mnist, split_validation
    from ..reading.reader import MODEL
    from ..training.calibration import calibrate
    from ..training.export import export_run

    run = _finished(options.run)
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
    from ..figures import plots

    plots.save_figure(plots.sample_predictions(test, on_test), directory / "predictions.png")
    plots.save_figure(plots.worst_mistakes(test, on_test), directory / "mistakes.png")
    plots.save_figure(plots.confusion_matrix(on_test), directory / "confusion.png")
    plots.save_figure(plots.calibration(on_test), directory / "calibration.png")
    plots.save_figure(plots.training_curves(run.history), directory / "curves.png")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = flags.Parser(prog="mnist-digits", description="Read handwritten digits.")
    version = metadata.version("mnist-digit-classification")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for function, add_flags in COMMANDS.items():
        summary = str(function.__doc__).splitlines()[0]
        command = commands.add_parser(function.__name__, help=summary, description=summary)
        add_flags(command)
        command.set_defaults(function=function)
    return parser


COMMANDS = {
    train: flags.train,
    finder: flags.finder,
    scenes: flags.scenes,
    evaluate: flags.evaluate,
    predict: flags.predict,
    app: flags.app,
    sweep: flags.sweep,
    study: flags.study,
    read: flags.read,
    export: flags.export,
    reproduce: flags.reproduce,
    show: flags.show,
}


def _finished(path: Path) -> Run:
    from ..training import checkpoint

    run = checkpoint.load(path)
    if not run.result:
        raise CheckpointError(f"the run at {path} is not finished: go on with it first")
    return run


def _prepare(options: argparse.Namespace) -> torch.device:
    import torch

    from ..training.loop import pick_device

    if options.threads:
        torch.set_num_threads(options.threads)
    return pick_device(options.device)


def _load_data(options: argparse.Namespace, device: torch.device | str) -> tuple[Digits, Digits]:
    from ..data.dataset import load_mnist

    train, test = load_mnist(options.data, options.download)
    return train.to(device), test.to(device)


if __name__ == "__main__":
    sys.exit(main())
