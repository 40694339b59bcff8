"""The two networks that the package ships: trained, calibrated, measured, exported.

    python -m mnist_digits.command.pretrained      (make pretrained)

First the finder, on scenes with the training digits that are not held out; it goes on where it was
stopped. Then, on what it finds, the network that reads: an ordinary run, in `models/digits`, with
weights for PyTorch, ONNX to read with, and results. It is trained twice: without the validation
slice, to fit temperature and thresholds on it, and on all 60,000 images, which is shipped with
these. The test set is evaluated once, on the latter.

Each of the two has a processor core of its own: on two cores that is sooner done than one after
the other with two threads, and the weights do not depend on how many cores there are.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch

from ..data.dataset import load_mnist, split_validation
from ..reading.finder import FINDER
from ..reading.reader import MODEL, SHIPPED
from ..training import checkpoint
from ..training.calibration import calibrate, calibrate_reading
from ..training.export import export_finder, export_run
from ..training.finder_training import STATE, FinderRun, load_finder, save_finder, train_finder
from ..training.loop import Run, train
from ..training.recipe import ROBUST, FinderRecipe
from . import report

# With 16 bits the steps take half as long on processors that have such arithmetic.
RECIPE = replace(ROBUST, precision="bfloat16")
# Where the finder's training is kept: it takes the longest.
FINDER_RUN = Path("runs") / "finder"


def main() -> None:
    """Train all, print what came of it, and write the ONNX files into the package."""
    digits, test = load_mnist()
    _, validation = split_validation(digits)
    finder = _finder()
    export_finder(finder, FINDER)
    print(f"\nTraining twice, to calibrate and on all images\n\n           {report.EPOCH_HEADER}")
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        trial, run = pool.map(_train, ("calibrate", "all"))
    calibration = calibrate(trial.model, RECIPE, validation)
    on_train, on_test = checkpoint.measure(run, digits, test)
    print(f"\n{calibration}\n\n{report.accuracy_table(on_train, on_test)}")
    SHIPPED.mkdir(parents=True, exist_ok=True)
    checkpoint.save(run, SHIPPED)
    facts = {
        "validation_accuracy": trial.history[-1].validation_accuracy,
        "data_sha256": {"train": digits.checksum(), "test": test.checksum()},
    }
    export_run(trial, SHIPPED / MODEL, calibration)
    certainty, calibration = calibrate_reading(SHIPPED / MODEL, validation, calibration)
    print(f"\n{calibration}\n{certainty}")
    export_finder(finder, FINDER, certainty)
    export_run(run, SHIPPED / MODEL, calibration, facts)
    for file in (FINDER, SHIPPED / MODEL):
        print(f"Written to {file}, {file.stat().st_size / 1e6:.2f} MB")


def _finder() -> FinderRun:
    """The finder, trained to its end: begun, or gone on with."""
    file = FINDER_RUN / STATE
    begun = load_finder(file) if file.exists() else None
    recipe = begun.recipe if begun else FinderRecipe()
    if begun and begun.steps == recipe.steps:
        return begun
    FINDER_RUN.mkdir(parents=True, exist_ok=True)
    print(f"Training a finder on {recipe.scenes:,} scenes\n\n{report.FINDER_HEADER}")

    def on_part(run: FinderRun) -> None:
        save_finder(run, file)
        print(report.finder_line(run), flush=True)

    torch.set_num_threads(1)  # the other core makes scenes
    kept, _ = split_validation(load_mnist()[0])
    return train_finder(recipe, kept, begun, on_part=on_part)


def _train(part: str) -> Run:
    """One of the two trainings, in a process of its own."""
    torch.set_num_threads(1)
    digits, _ = load_mnist()
    kept, validation = split_validation(digits) if part == "calibrate" else (digits, None)

    def tell(run: Run) -> None:
        print(f"{part:<10} {report.epoch_line(run.history[-1])}", flush=True)

    return train(RECIPE, kept, validation, on_epoch=tell)


if __name__ == "__main__":
    main()
