"""The model that the package ships: trained, calibrated, measured, exported.

    python -m mnist_digits.pretrained      (make pretrained)

It is an ordinary run, in `models/digits`: weights for PyTorch, ONNX to read with, results.
Two trainings: one without the validation slice, which temperature and threshold are
fitted on, and one on all 60,000 images, which is shipped with these. The test set is
evaluated once, on the latter.

Each has a processor core of its own: on two cores that is sooner done than one training after
the other with two threads, and the weights do not depend on how many cores there are.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import torch

from . import checkpoint, evaluation, report
from .dataset import load_mnist, split_validation
from .export import calibrate, export_run
from .reader import MODEL, SHIPPED
from .recipe import ROBUST
from .training import Run, train


def main() -> None:
    """Train twice, print what came of it, and write the ONNX file into the package."""
    digits, test = load_mnist()
    _, validation = split_validation(digits)
    print(f"Training twice, to calibrate and on all images\n\n           {report.EPOCH_HEADER}")
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        trial, run = pool.map(_train, ("calibrate", "all"))
    calibration = calibrate(trial.model, ROBUST, validation)
    on_train, on_test = (evaluation.evaluate(run.model, part) for part in (digits, test))
    run.result = checkpoint.result(run, on_train, on_test, digits)
    print(f"\n{calibration}\n\n{report.accuracy_table(on_train, on_test)}")
    SHIPPED.mkdir(parents=True, exist_ok=True)
    checkpoint.save(run, SHIPPED)
    facts = {
        "validation_accuracy": trial.history[-1].validation_accuracy,
        "data_sha256": {"train": digits.checksum(), "test": test.checksum()},
    }
    export_run(run, SHIPPED / MODEL, calibration, facts)
    print(f"\nWritten to {SHIPPED}, {(SHIPPED / MODEL).stat().st_size / 1e6:.2f} MB")


def _train(part: str) -> Run:
    """One of the two trainings, in a process of its own."""
    torch.set_num_threads(1)
    digits, _ = load_mnist()
    kept, validation = split_validation(digits) if part == "calibrate" else (digits, None)

    def tell(run: Run) -> None:
        print(f"{part:<10} {report.epoch_line(run.history[-1])}", flush=True)

    return train(ROBUST, kept, validation, on_epoch=tell)


if __name__ == "__main__":
    main()
