"""Train, calibrate, measure and export the networks that the package ships.

    python scripts/pretrained.py      (make pretrained)

First come the detector's two networks. They learn from scenes, whose digits are training digits
outside the validation slice. If their training was stopped, it goes on.

Then comes the classifier. It also learns from digits that the detector finds in scenes. It is an
ordinary run, saved to `models/digits` as PyTorch weights, ONNX and results. It is trained twice:
once without the validation slice, and once on all 60,000 images. With the first one, the
temperature and the thresholds are fitted on the validation slice, and the weights that join its
answers with those of the look. The second one is shipped, with the calibration of the first, and
is evaluated on the test set, once.

The two trainings run in parallel, on a core each: on two cores that is faster than one after the
other on two threads, and the weights do not depend on the number of cores.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from mnist_digits import report
from mnist_digits.classifier import checkpoint
from mnist_digits.classifier.calibration import calibrate
from mnist_digits.classifier.device import pick_device
from mnist_digits.classifier.evaluation import Evaluation
from mnist_digits.classifier.export import export_run
from mnist_digits.classifier.loop import Run, train
from mnist_digits.classifier.procedure import measure
from mnist_digits.classifier.recipe import ROBUST, DetectorRecipe, Recipe
from mnist_digits.cli.detector_command import fit_into
from mnist_digits.data.dataset import Digits, load_mnist, split_validation
from mnist_digits.detector.confidence import fit_answer
from mnist_digits.detector.fit import (
    STATE,
    DetectorRun,
    load_detector,
    save_detector,
    weights_alone,
)
from mnist_digits.detector.onnx_networks import export_networks
from mnist_digits.processes import usable_cores
from mnist_digits.reading.detection import DETECT, LOOK, MODELS
from mnist_digits.reading.reader import MODEL, SHIPPED, Reader

# bfloat16 halves the time of a step on processors with such arithmetic.
RECIPE = replace(ROBUST, precision="bfloat16")
# The detector's training takes longest: its run is kept, so that it can go on after a stop.
DETECTOR_RUN = Path("runs") / "detector"


def main(recipe: Recipe = RECIPE, scenes: int = 4000) -> None:
    """Train everything, print the results, and write the ONNX files into the package.

    Args:
        recipe: of the classifier.
        scenes: how many the answers are fitted on.
    """
    digits, test = load_mnist()
    _, validation = split_validation(digits)
    detector = _detector()
    export_networks(detector, MODELS)
    print(f"\nTraining twice, to calibrate and on all images\n\n           {report.EPOCH_HEADER}")
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        to_calibrate = pool.submit(_train_to_calibrate, recipe, digits)
        on_all = pool.submit(_train_on_all, recipe, digits, test)
    trial, (run, on_train, on_test) = to_calibrate.result(), on_all.result()
    calibration = calibrate(trial.model, recipe, validation)
    print(f"\n{calibration}\n\n{report.accuracy_table(on_train, on_test)}")
    SHIPPED.mkdir(parents=True, exist_ok=True)
    facts = {
        "validation_accuracy": trial.history[-1].validation_accuracy,
        "data_sha256": {"train": digits.checksum(), "test": test.checksum()},
    }
    export_run(trial, SHIPPED / MODEL, calibration)
    reader = Reader((SHIPPED / MODEL).read_bytes(), threads=1, shipped=True)
    values = fit_answer(reader, validation, scenes)
    print(f"\n{values}")
    export_networks(detector, MODELS, values)
    save_detector(weights_alone(detector), MODELS / STATE)
    export_run(run, SHIPPED / MODEL, calibration, facts)
    checkpoint.save(run, SHIPPED)
    for file in (MODELS / DETECT, MODELS / LOOK, SHIPPED / MODEL):
        print(f"Written to {file}, {file.stat().st_size / 1e6:.2f} MB")


def _detector() -> DetectorRun:
    """Both networks, trained to the end: from a finished run, one that goes on, or a new one."""
    file = DETECTOR_RUN / STATE
    begun = load_detector(file) if file.exists() else None
    recipe = begun.recipe if begun else DetectorRecipe(precision=RECIPE.precision)
    if begun and begun.steps == recipe.steps:
        return begun
    DETECTOR_RUN.mkdir(parents=True, exist_ok=True)
    kept, _ = split_validation(load_mnist()[0])
    workers = max(1, usable_cores() - 1)  # which make scenes
    return fit_into(DETECTOR_RUN, recipe, kept, begun, None, pick_device(), workers)


def _train_to_calibrate(recipe: Recipe, digits: Digits) -> Run:
    """In a process of its own: train without the validation slice."""
    torch.set_num_threads(1)
    kept, validation = split_validation(digits)
    run = train(recipe, kept, validation, on_epoch=partial(_print_epoch, "calibrate"))
    _round(run)
    return run


def _train_on_all(
    recipe: Recipe, digits: Digits, test: Digits
) -> tuple[Run, Evaluation, Evaluation]:
    """In a process of its own: train on all images, and measure.

    It is measured here because the result has this process's number of threads.
    """
    torch.set_num_threads(1)
    run = train(recipe, digits, on_epoch=partial(_print_epoch, "all"))
    _round(run)
    return run, *measure(run, digits, test)


def _round(run: Run) -> None:
    """Round its weights to float16, which halves the file."""
    for weight in run.model.parameters():
        weight.data = weight.data.half().float()


def _print_epoch(part: str, run: Run) -> None:
    print(f"{part:<10} {report.epoch_line(run.history[-1])}", flush=True)


if __name__ == "__main__":
    main()
