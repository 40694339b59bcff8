"""Teach a trained network a writer's hand, by a few pictures and what it learned before.

The network is trained on for a minute: its weights go on from where they are, on the examples
and digits of MNIST side by side, all changed as its recipe changes them, with its synthetic
digits and negatives. How much that helps is measured by cross-validation: each picture is judged
by a network that was taught with other pictures.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.dataset import Digits, split_validation
from ..errors import TrainingError
from ..processes import in_processes, usable_cores
from ..reading.labelled import Outcome
from ..reading.reader import MODEL, Reader
from .calibration import Calibration, calibrate, raised
from .evaluation import Evaluation, evaluate, wilson_interval
from .examples import Examples
from .loop import Run, train
from .model import DigitNet
from .procedure import measure, unlearned
from .recipe import Recipe

STEPS, BATCH = 100, 200
LEARNING_RATE = 0.01
# How often an example is seen, each time changed; and the most of all images that are examples.
TIMES, MOST = 120, 0.75
# The rest is of MNIST, half of it from the 2,000 digits that are hardest for the network: with
# them it forgets a third as much (LOG.md). The 100 that are harder still are not among them.
HARD, SUSPECT = 1 / 30, 1 / 600
FOLDS = 5
# With fewer pictures nothing can be said of how much they help.
MIN_PICTURES = 10
# Differences that chance makes more often than this show nothing.
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Taught:
    """A network that was taught, and how it reads compared with before.

    Attributes:
        run: the network, with its results on MNIST; `result["teaching"]` is `report()`.
        examples: what it was taught with.
        calibration: what makes its answers a confidence.
        before: the network as it was, on the examples' digits.
        after: networks that were taught with other pictures, by cross-validation; None with
            fewer than ten pictures.
        test_errors_before: on MNIST's test set.
    """

    run: Run
    examples: Examples
    calibration: Calibration
    before: Evaluation
    after: Evaluation | None
    test_errors_before: int

    def outcomes(self, evaluation: Evaluation) -> list[Outcome]:
        """The pictures as they were read `before` or `after`."""
        answers = evaluation.probabilities.numpy()
        return self.examples.outcomes(answers, self.calibration.sure_above)

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `unclear`, or `unknown` with fewer than ten pictures."""
        if self.after is None:
            return "unknown"
        gained, lost = self._changes()
        if sign_test(gained, lost) >= SIGNIFICANT:
            return "unclear"
        return "better" if gained > lost else "worse"

    def _changes(self) -> tuple[int, int]:
        """How many pictures are read right only after, and only before."""
        assert self.after
        pairs = zip(self.outcomes(self.before), self.outcomes(self.after), strict=True)
        changes = [after.right - before.right for before, after in pairs]
        return changes.count(1), changes.count(-1)

    def report(self) -> dict[str, Any]:
        """For JSON: pictures right before and after, digit by digit, and what is still wrong."""
        labels = self.before.labels.numpy()
        report: dict[str, Any] = {
            "pictures": len(self.examples),
            "left_out": [{"file": p.name, "reason": why} for p, why in self.examples.left_out],
            "verdict": self.verdict,
            "test_errors_before": self.test_errors_before,
            "examples": np.bincount(labels, minlength=10).tolist(),
        }
        for name, evaluation in (("before", self.before), ("after", self.after)):
            if evaluation is None:
                continue
            outcomes = self.outcomes(evaluation)
            right = sum(outcome.right for outcome in outcomes)
            report[name] = {
                "right": right,
                "accuracy": right / len(outcomes),
                "interval": list(wilson_interval(right, len(outcomes))),
                "digits_right": evaluation.confusion.diagonal().tolist(),
                "wrong": [
                    {
                        "file": outcome.picture.path.name,
                        "label": outcome.picture.label,
                        "read": outcome.reading.text,
                    }
                    for outcome in outcomes
                    if not outcome.right and outcome.reading
                ],
            }
        return report


def teach(
    base: Run,
    examples: Examples,
    digits: Digits,
    test: Digits,
    calibration: Calibration | None = None,
    processes: int = 1,
    seed: int = 0,
    on_part: Callable[[int, int], None] | None = None,
    steps: int = STEPS,
    folds: int = FOLDS,
) -> Taught:
    """Train a finished run's network on with a user's examples; the run stays as it is.

    Args:
        digits: MNIST's training digits, or some of them.
        calibration: that of the base; the taught network has its temperature, too, and its
            threshold rises if cross-validation asks for it. Without one, the temperature is
            that of the base's network.
        processes: trainings at a time, each on one thread; more than one only on a CPU.
        on_part: called after each training with how many are done, and of how many.
        steps: of each training, with 200 images each.
        folds: parts of the pictures for cross-validation; two and more.

    Raises:
        TrainingError: the labels fit neither what the network reads nor each other.
        UsageError: several processes are asked for by a script without its main guard.
    """
    calibration = calibration or Calibration(float(base.model.temperature))
    parts = _parts(examples, folds, seed)
    *others, run = _taught_with(parts, base, examples, digits, steps, processes, seed, on_part)
    untaught = copy.deepcopy(base.model).to("cpu")
    for model in (untaught, run.model, *(other.model for other in others)):
        model.temperature.fill_(calibration.temperature)
    before = evaluate(untaught, examples.digits)
    after = _judged(others, examples, parts) if others else None
    if after:
        _check_labels(before, after)
        calibration = raised(calibration, after)
    measure(run, examples.digits.to(digits.device), test)
    errors = evaluate(base.model.to(digits.device), test).errors
    taught = Taught(run, examples, calibration, before, after, errors)
    run.result["teaching"] = taught.report()
    return taught


def _parts(examples: Examples, folds: int, seed: int) -> list[NDArray[np.bool_]]:
    """Which pictures each network is taught with: all but a fold, for each fold, and then all.

    The folds have as equal parts of each label as can be; with few pictures there are none.
    """
    count = len(examples)
    every = np.ones(count, bool)
    if count < MIN_PICTURES:
        return [every]
    random = np.random.default_rng(seed).permutation(count).tolist()
    fold = np.empty(count, np.int64)
    fold[sorted(random, key=lambda n: examples.pictures[n].label)] = np.arange(count) % folds
    return [*(fold != number for number in range(folds)), every]


def _taught_with(
    parts: list[NDArray[np.bool_]],
    base: Run,
    examples: Examples,
    digits: Digits,
    steps: int,
    processes: int,
    seed: int,
    on_part: Callable[[int, int], None] | None,
) -> list[Run]:
    """A run for each part of the examples, from the base's weights."""
    model = base.model.to(digits.device)
    hard = hardest(model, digits)
    count = steps * BATCH
    mixtures = (with_examples(digits, hard, examples.of(part), seed, count) for part in parts)
    runs: dict[int, Run] = {}
    for number, run in _trained(lesson(base.recipe, seed), model, mixtures, processes):
        runs[number] = run
        if on_part:
            on_part(len(runs), len(parts))
    return [run for _, run in sorted(runs.items())]


def base_calibration(base: Run, folder: Path, digits: Digits) -> Calibration:
    """That of the model that is exported in the base's folder, if there is one; else fitted."""
    file = folder / MODEL
    if file.is_file():
        return Calibration(**Reader.load(file).information["calibration"])
    digits = digits.to("cpu")
    held_out = unlearned(base, digits) or split_validation(digits)[1]
    return calibrate(base.model, base.recipe, held_out)


def lesson(recipe: Recipe, seed: int) -> Recipe:
    """How a network that was trained by a recipe is taught: one epoch of a hundred steps."""
    name = recipe.name.removesuffix("-taught")[:50] + "-taught"
    return replace(
        recipe,
        name=name,
        seed=seed,
        epochs=1,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        # A few examples must stand for many: also where 60,000 digits needed no change.
        rotation=max(recipe.rotation, 10),
        shear=max(recipe.shear, 10),
        scale=max(recipe.scale, 0.1),
        shift=max(recipe.shift, 1.5),
        # Detecting digits in scenes takes longer than all of teaching.
        detected_ratio=0,
        # The temperature is the base's: each image comes several times, so none is unseen.
        calibration_fraction=0,
        precision="auto",
    )


def hardest(model: DigitNet, digits: Digits) -> Tensor:
    """int64: the indices of the digits whose labels are least probable to the network.

    Without the very least: most of these have wrong labels, in MNIST at least.
    """
    order = evaluate(model, digits).label_probability.argsort(stable=True)
    first = round(SUSPECT * len(digits))
    return order[first : first + max(1, round(HARD * len(digits)))]


def with_examples(
    digits: Digits, hard: Tensor, examples: Digits, seed: int, count: int = STEPS * BATCH
) -> Digits:
    """So many digits: each example several times, and others of `digits`.

    Args:
        hard: int64, the indices of those that half of the others are.
    """
    generator = torch.Generator().manual_seed(seed)
    taught = min(round(MOST * count), TIMES * len(examples))
    from_hard = (count - taught) // 2
    order = torch.randperm(len(digits), generator=generator)
    others = torch.cat([_cycled(hard, from_hard), _cycled(order, count - taught - from_hard)])
    again = _cycled(torch.arange(len(examples)), taught)
    beside = digits[others.to(digits.device)].to("cpu")
    return Digits(
        torch.cat([beside.images, examples.images[again]]),
        torch.cat([beside.labels, examples.labels[again]]),
    ).to(digits.device)


def _cycled(values: Tensor, count: int) -> Tensor:
    """So many of the values, from the first one again after the last."""
    return values[torch.arange(count) % len(values)]


def added(digits: Digits, examples: Digits, epochs: int) -> Digits:
    """All the digits, and the examples, for a training from nothing.

    Each example is there several times: in all epochs together as often as in teaching, but at
    most until a tenth of the digits are examples.
    """
    room = len(digits) // 10 // len(examples)
    times = max(1, min(TIMES // epochs, room))
    examples = examples.to(digits.device)
    return Digits(
        torch.cat([digits.images, examples.images.repeat(times, 1, 1, 1)]),
        torch.cat([digits.labels, examples.labels.repeat(times)]),
    )


def _trained(
    recipe: Recipe, model: DigitNet, mixtures: Iterable[Digits], processes: int
) -> Iterator[tuple[int, Run]]:
    """A run for each mixture, and its number, from the model's weights; in any order."""
    numbered = enumerate(mixtures)
    if processes == 1:
        for number, mixture in numbered:
            yield number, _train_on(recipe, model, mixture)
        return
    with closing(in_processes(partial(_train_alone, recipe, model), numbered, processes)) as runs:
        for (number, _), run in runs:
            if isinstance(run, str):
                raise TrainingError(f"a network could not be taught: {run}")
            yield number, run


def _train_alone(recipe: Recipe, model: DigitNet, numbered: tuple[int, Digits]) -> Run:
    """In a process of its own, on one thread."""
    torch.set_num_threads(1)
    return _train_on(recipe, model, numbered[1])


def _train_on(recipe: Recipe, model: DigitNet, mixture: Digits) -> Run:
    run = train(recipe, mixture, model=copy.deepcopy(model))
    run.state = {}
    return run


def _judged(runs: list[Run], examples: Examples, parts: list[NDArray[np.bool_]]) -> Evaluation:
    """The answers to each picture of the run whose part it is not in."""
    probabilities = torch.empty(len(examples.digits), 10)
    for run, part in zip(runs, parts, strict=False):  # the last part is of all
        others = evaluate(run.model.to("cpu"), examples.of(~part))
        probabilities[torch.from_numpy(~part[examples.owner])] = others.probabilities
    return Evaluation(probabilities, examples.digits.labels)


def _check_labels(before: Evaluation, after: Evaluation) -> None:
    """Refuse labels most of which are wrong, read as before or as taught by the others."""
    if before.accuracy < 0.5 and after.accuracy < 0.5:
        raise TrainingError(
            f"most labels seem to be wrong: the network reads {before.accuracy:.0%} of the digits "
            f"as they say, and {after.accuracy:.0%} when it is taught with the others; correct "
            f"them, or bring more examples"
        )


def sign_test(gained: int, lost: int) -> float:
    """The probability of so uneven changes, or more uneven ones, if each way is as likely.

    McNemar, "Note on the Sampling Error of the Difference between Correlated Proportions or
    Percentages", 1947, in its exact form.
    """
    changes, most = gained + lost, max(gained, lost)
    tail = sum(math.comb(changes, number) for number in range(most, changes + 1))
    return min(1.0, 2 * tail / 2**changes)


def workers() -> int:
    """How many trainings this machine does at a time."""
    return min(FOLDS + 1, usable_cores())
