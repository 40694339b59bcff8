"""The model that the package ships: trained, calibrated, measured, exported.

    python -m mnist_digits.pretrained      (make pretrained)

It is an ordinary run, in `models/digits`: weights for PyTorch, ONNX to read with, results.
Two trainings: one without the validation slice, which temperature and threshold are
fitted on, and one on all 60,000 images, which is shipped with these. The test set is
evaluated once, on the latter.
"""

from __future__ import annotations

from pathlib import Path

from . import checkpoint, evaluation, report
from .dataset import load_mnist, split_validation
from .export import calibrate, checksum, export_run
from .reader import MODEL
from .recipe import ROBUST
from .training import Run, pick_device, train

SHIPPED = Path(__file__).parent / "models" / "digits"


def main() -> None:
    """Train twice, print what came of it, and write the ONNX file into the package."""
    device = pick_device()
    digits, test = (part.to(device) for part in load_mnist())
    kept, validation = split_validation(digits)
    print(f"Training on {len(kept):,} images, to calibrate\n\n{report.EPOCH_HEADER}", flush=True)
    trial = train(ROBUST, kept, validation, on_epoch=_tell)
    calibration = calibrate(trial.model, ROBUST, validation)
    print(f"\n{calibration}\n\nTraining on all images\n\n{report.EPOCH_HEADER}", flush=True)
    run = train(ROBUST, digits, on_epoch=_tell)
    on_train, on_test = (evaluation.evaluate(run.model, part) for part in (digits, test))
    run.result = checkpoint.result(run, on_train, on_test)
    print(f"\n{report.accuracy_table(on_train, on_test)}")
    SHIPPED.mkdir(parents=True, exist_ok=True)
    checkpoint.save(run, SHIPPED)
    facts = {
        "validation_accuracy": trial.history[-1].validation_accuracy,
        "data_sha256": {"train": checksum(digits), "test": checksum(test)},
    }
    export_run(run, SHIPPED / MODEL, calibration, facts)
    print(f"\nWritten to {SHIPPED}, {(SHIPPED / MODEL).stat().st_size / 1e6:.2f} MB")


def _tell(run: Run) -> None:
    print(report.epoch_line(run.history[-1]), flush=True)


if __name__ == "__main__":
    main()
