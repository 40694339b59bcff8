"""From digits to a measured run: what `train`, a study and `make pretrained` have in common."""

from __future__ import annotations

from collections.abc import Callable

from ..data.dataset import Digits, split_validation
from .evaluation import Evaluation, evaluate, summary
from .loop import Run, train
from .recipe import Recipe
from .reproduction import environment
from .temperature import split_calibration


def split(digits: Digits, held_out: bool) -> tuple[Digits, Digits | None]:
    """The training digits to learn from, and the validation slice if it is held out."""
    return split_validation(digits) if held_out else (digits, None)


def unlearned(run: Run, digits: Digits) -> Digits | None:
    """Those of the training digits that the run has not learned from, to calibrate it on.

    The validation slice if it was held out; otherwise the images that the temperature was fitted
    on, if any.
    """
    if run.held_out:
        return split_validation(digits)[1]
    return split_calibration(digits, run.recipe.calibration_fraction)[1]


def train_and_measure(
    recipe: Recipe,
    kept: Digits,
    validation: Digits | None,
    test: Digits,
    resume: Run | None = None,
    on_epoch: Callable[[Run], None] | None = None,
) -> tuple[Run, Evaluation, Evaluation]:
    """Train, then evaluate once: the run with its result, on the `kept` and the test digits.

    Raises:
        TrainingError: the loss or the weights became infinite.
    """
    run = train(recipe, kept, validation, resume=resume, on_epoch=on_epoch)
    return run, *measure(run, kept, test)


def measure(run: Run, digits: Digits, test: Digits) -> tuple[Evaluation, Evaluation]:
    """Evaluate a run on the digits that it was trained on and the test set; set its `result`.

    That holds the run's metrics, and what is needed to reproduce them. Accuracies are fractions
    of 1, times are seconds.
    """
    on_train, on_test = evaluate(run.model, digits), evaluate(run.model, test)
    run.result = {**summary(on_train, on_test), **environment(digits), **run.facts()}
    return on_train, on_test
