"""Train, calibrate, measure and export the networks that the package ships.

    python -m mnist_digits.command.pretrained      (make pretrained)

First the detector's two, on scenes with training digits outside the validation slice; if they were
stopped, they go on. Then the classifier, on digits as those find them: an ordinary run, saved to
`models/digits` as PyTorch weights, ONNX and results. On the validation slice, which none of them
has seen, temperature and thresholds are fitted, and how the answers of look and classifier become
one. Then the classifier is evaluated on the test set, once.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from ..data.dataset import Digits, load_mnist, split_validation
from ..detector.confidence import fit_answer
from ..detector.export import export_networks
from ..detector.fit import STATE, DetectorRun, load_detector, save_detector, weights_alone
from ..reading.detection import DETECT, LOOK, MODELS
from ..reading.reader import MODEL, SHIPPED, Reader
from ..training import checkpoint
from ..training.calibration import calibrate
from ..training.device import pick_device
from ..training.export import export_run
from ..training.loop import Run
from ..training.procedure import train_and_measure
from ..training.recipe import ROBUST, DetectorRecipe
from . import report
from .detector import fit_into

# bfloat16 halves the time of a step on processors with such arithmetic.
RECIPE = replace(ROBUST, precision="bfloat16")
# The detector's training takes longest: it is kept, to go on from.
DETECTOR_RUN = Path("runs") / "detector"


def main() -> None:
    """Train everything, print the results, and write the ONNX files into the package."""
    digits, test = load_mnist()
    kept, validation = split_validation(digits)
    detector = _detector(kept)
    export_networks(detector)
    print(f"\nTraining the classifier\n\n{report.EPOCH_HEADER}")
    run, on_train, on_test = train_and_measure(RECIPE, kept, validation, test, on_epoch=_tell)
    calibration = calibrate(run.model, RECIPE, validation)
    print(f"\n{calibration}\n\n{report.accuracy_table(on_train, on_test)}")
    SHIPPED.mkdir(parents=True, exist_ok=True)
    facts = {"data_sha256": {"train": digits.checksum(), "test": test.checksum()}}
    export_run(run, SHIPPED / MODEL, calibration, facts, half=True)
    checkpoint.save(run, SHIPPED)
    values = fit_answer(Reader.load(threads=1), validation)
    print(f"\n{values}")
    export_networks(detector, values=values)
    save_detector(weights_alone(detector), MODELS / STATE)
    for file in (MODELS / DETECT, MODELS / LOOK, SHIPPED / MODEL):
        print(f"Written to {file}, {file.stat().st_size / 1e6:.2f} MB")


def _detector(digits: Digits) -> DetectorRun:
    """Both networks, trained to their end: finished ones, ones that go on, or new ones."""
    file = DETECTOR_RUN / STATE
    begun = load_detector(file) if file.exists() else None
    recipe = begun.recipe if begun else DetectorRecipe(precision=RECIPE.precision)
    if begun and begun.steps == recipe.steps:
        return begun
    DETECTOR_RUN.mkdir(parents=True, exist_ok=True)
    device = pick_device()
    workers = max(1, (os.cpu_count() or 1) - 1)
    return fit_into(DETECTOR_RUN, recipe, digits, begun, None, device, workers)


def _tell(run: Run) -> None:
    print(report.epoch_line(run.history[-1]), flush=True)


if __name__ == "__main__":
    main()
