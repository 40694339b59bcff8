"""Steps that several subcommands take."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CheckpointError, OutputError, RecipeError, TrainingError
from ..training.recipe import Recipe, named

if TYPE_CHECKING:
    import torch

    from ..data.dataset import Digits
    from ..figures.process import Drawing
    from ..training.evaluation import Evaluation
    from ..training.loop import Run

# The files of a run's figures, by the names of the figures.
FIGURES = {
    "sample_predictions": "predictions.png",
    "worst_mistakes": "mistakes.png",
    "confusion_matrix": "confusion.png",
    "calibration": "calibration.png",
    "training_curves": "curves.png",
}


def recipe_of(recipe: str) -> Recipe:
    """The recipe with this name, or in this JSON file.

    Raises:
        RecipeError: there is none, or the file holds something else.
    """
    if not recipe.endswith(".json"):
        return named(recipe)
    try:
        return Recipe.from_json(Path(recipe).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read the recipe {recipe}: {error}") from error


def import_torch() -> None:
    """Import torch without a search for garbage, of which an import makes none: 0.1 s less."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        import torch  # noqa: F401
    finally:
        if enabled:
            gc.enable()


def prepare(options: argparse.Namespace) -> torch.device:
    """Set the number of threads; returns the device to compute on."""
    import torch

    from ..training.device import pick_device

    if options.threads:
        torch.set_num_threads(options.threads)
    return pick_device(options.device)


def load_data(options: argparse.Namespace, device: torch.device | str) -> tuple[Digits, Digits]:
    """The training and the test digits, moved to the device."""
    from ..data.dataset import load_mnist

    train, test = load_mnist(options.data)
    return train.to(device), test.to(device)


def finished(path: Path) -> Run:
    """The finished run at a path.

    Raises:
        CheckpointError: there is none, or it is not finished.
    """
    from ..training import checkpoint

    run = checkpoint.load(path)
    if not run.result:
        raise CheckpointError(f"the run at {path} is not finished: go on with it first")
    return run


def folder_of(run: Path) -> Path:
    """The folder of a run that is given by it, or by its `model.safetensors`."""
    return run if run.is_dir() else run.parent


def trained_on(run: Run, digits: Digits) -> Digits:
    """Those of the training digits that the run was trained on."""
    from ..training.procedure import split

    return split(digits, run.held_out)[0]


def drawing(wanted: bool) -> AbstractContextManager[Drawing | None]:
    """A process that draws figures, if any are wanted.

    To be entered before torch is imported: meanwhile the process imports matplotlib.
    """
    if not wanted:
        return nullcontext()
    from ..figures.process import Drawing

    return Drawing()


@contextmanager
def drawn(figures: Drawing | None, test: Digits, run: Run, on_test: Evaluation) -> Iterator[None]:
    """Meanwhile the figures of a run are drawn, if any are wanted.

    For them one of several threads is left out: three on two cores wait for each other.
    """
    if not figures:
        yield
        return
    import torch

    from ..figures import shown

    figures.draw("sample_predictions", shown.samples(test, on_test))
    figures.draw("worst_mistakes", shown.mistakes(test, on_test))
    figures.draw("confusion_matrix", shown.confusion(on_test))
    figures.draw("calibration", shown.calibration(on_test))
    figures.draw("training_curves", shown.curves(run.history))
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads - 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def write_figures(figures: dict[str, bytes], directory: Path) -> None:
    """Write the figures of a run, PNG by the names of FIGURES, to a folder."""
    from ..figures.png import write_png

    for name, file in FIGURES.items():
        write_png(figures[name], directory / file)


@contextmanager
def saved_before(directory: Path) -> Iterator[None]:
    """What is drawn of results that are saved already: if it fails, that is a warning."""
    try:
        yield
    except OutputError as error:
        print(
            f"mnist-digits: warning: {error}; everything else is saved in {directory}",
            file=sys.stderr,
        )


@contextmanager
def tidied(directory: Path) -> Iterator[None]:
    """If training fails, remove the folder if it is still empty, and say what to do next."""
    from ..training import checkpoint

    try:
        yield
    except BaseException as error:
        # Not empty, or a disk that takes no changes: then it stays.
        with suppress(OSError):
            directory.rmdir()
        if isinstance(error, KeyboardInterrupt) and (directory / checkpoint.TRAINING).exists():
            error.args = (f"; go on with: mnist-digits train --resume {directory}",)
        # torch raises a plain RuntimeError, on CPUs and GPUs.
        if isinstance(error, RuntimeError) and "memory" in str(error):
            raise TrainingError(
                "there is not enough memory: choose a smaller --batch-size, or smaller --widths"
            ) from error
        raise
