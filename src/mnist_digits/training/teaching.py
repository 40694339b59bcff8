"""Teach a trained network a writer's hand, by a few pictures and what it learned before.

The network is trained on for a minute: its weights go on from where they are, on the examples
and digits of MNIST side by side, all changed as its recipe changes them, with its drawn digits
and negatives. How much that helps is measured by cross-validation: each picture is judged by a
network that was taught with other pictures.
"""

from __future__ import annotations

import copy
import math
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.dataset import Digits, split_validation
from ..errors import TrainingError
from ..reading.labelled import Outcome
from ..reading.reader import MODEL, Reader
from . import checkpoint
from .calibration import Calibration, calibrate, raised
from .evaluation import Evaluation, evaluate, wilson_interval
from .examples import Examples
from .loop import Run, train
from .model import DigitNet
from .recipe import Recipe

STEPS, BATCH = 100, 200
LEARNING_RATE = 0.005
# How often an example is seen, each time changed; and the most of all images that are examples.
# The rest is MNIST: with fewer of its digits they are forgotten.
TIMES, MOST = 120, 0.6
FOLDS = 5
# With fewer pictures nothing can be said of how much they help.
LEAST_JUDGED = 10
# Differences that chance makes more often than this tell nothing.
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
        return self.examples.outcomes(
            answers, self.calibration.sure_above, range(len(self.examples))
        )

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
    calibration: Calibration,
    examples: Examples,
    digits: Digits,
    test: Digits,
    processes: int = 1,
    seed: int = 0,
    on_part: Callable[[int, int], None] | None = None,
) -> Taught:
    """Train a finished run's network on with a user's examples; the run stays as it is.

    Args:
        calibration: that of the base; its threshold rises if cross-validation asks for it.
        digits: MNIST's training digits, or as many as there are.
        processes: trainings at a time, each on one thread; more than one only on a CPU.
        on_part: called after each training with how many are done, and of how many.

    Raises:
        TrainingError: the base is an ensemble, or the labels fit neither what the network reads
            nor each other.
    """
    if not isinstance(base.model, DigitNet):
        raise TrainingError("an ensemble cannot be taught: choose a run of a single network")
    temperature = calibration.temperature
    before = evaluate(base.model, examples.digits).at_temperature(temperature)
    folds = _folds(examples, seed)
    parts = [folds != fold for fold in range(FOLDS)] if folds is not None else []
    every = np.ones(len(examples), bool)
    recipe = lesson(base.recipe, seed)
    mixtures = (with_examples(digits, examples.of(part), seed) for part in [*parts, every])
    runs: list[Run] = []
    for run in _trained(recipe, base.model, mixtures, processes):
        runs.append(run)
        if on_part:
            on_part(len(runs), len(parts) + 1)
    after = _judged(runs[:-1], examples, parts).at_temperature(temperature) if parts else None
    if after:
        _check_labels(before, after)
        calibration = raised(calibration, after)
    run = runs[-1]
    run.model.to(digits.device)
    checkpoint.measure(run, examples.digits.to(digits.device), test)
    errors = evaluate(base.model.to(digits.device), test).errors
    taught = Taught(run, examples, calibration, before, after, errors)
    run.result["teaching"] = taught.report()
    return taught


def base_calibration(base: Run, path: Path, digits: Digits) -> Calibration:
    """That of the base's exported model, if there is one beside it; else fitted anew."""
    file = (path if path.is_dir() else path.parent) / MODEL
    if file.is_file():
        return Calibration(**Reader.load(file).information["calibration"])
    return calibrate(base.model, base.recipe, split_validation(digits.to("cpu"))[1])


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
        # Finding digits in scenes takes longer than all of teaching.
        found=0,
        precision="auto",
    )


def with_examples(
    digits: Digits, examples: Digits, seed: int, count: int = STEPS * BATCH
) -> Digits:
    """So many digits: each example several times, the others drawn from `digits`."""
    generator = torch.Generator().manual_seed(seed)
    taught = min(round(MOST * count), TIMES * len(examples))
    order = torch.randperm(len(digits), generator=generator)
    others = order[torch.arange(count - taught) % len(order)].to(digits.device)
    again = torch.arange(taught) % len(examples)
    images, labels = examples.images[again], examples.labels[again]
    return Digits(
        torch.cat([digits.images[others], images.to(digits.device)]),
        torch.cat([digits.labels[others], labels.to(digits.device)]),
    )


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


def _folds(examples: Examples, seed: int) -> NDArray[np.int64] | None:
    """The fold of each picture, with as equal parts of each label as can be; None of too few."""
    count = len(examples)
    if count < LEAST_JUDGED:
        return None
    labels = [picture.label for picture in examples.pictures]
    random = np.random.default_rng(seed).permutation(count)
    order = sorted(random.tolist(), key=lambda number: labels[number])
    folds = np.empty(count, np.int64)
    folds[order] = np.arange(count) % FOLDS
    return folds


def _trained(
    recipe: Recipe, model: DigitNet, mixtures: Iterator[Digits], processes: int
) -> Iterator[Run]:
    """A run for each mixture, from the model's weights; here, or in processes side by side."""
    if processes == 1:
        for mixture in mixtures:
            yield _train_on(recipe, mixture, model)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_one_thread) as pool:
        yield from pool.map(_train_on, *zip(*[(recipe, m, model) for m in mixtures], strict=True))


def _one_thread() -> None:
    torch.set_num_threads(1)


def _train_on(recipe: Recipe, mixture: Digits, model: DigitNet) -> Run:
    run = train(recipe, mixture, model=copy.deepcopy(model))
    run.state = {}
    return run


def _judged(runs: list[Run], examples: Examples, parts: list[NDArray[np.bool_]]) -> Evaluation:
    """The answers to each picture of the run whose part it is not in."""
    probabilities = torch.empty(len(examples.digits), 10)
    for run, part in zip(runs, parts, strict=True):
        device = next(run.model.parameters()).device
        others = evaluate(run.model, examples.of(~part).to(device))
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
    return min(FOLDS + 1, os.cpu_count() or 1)
