"""A recipe trained with many seeds in parallel: mean, deviation, interval and comparison.

    study/
        _job.json             recipes and settings
        runs/robust/seed-7/   a run, as `train` writes it
        result.json           accuracies, mean, deviation, interval

Finished runs are kept: a study that was stopped goes on with the missing ones. On this machine
alone it needs no Ray.
"""

from __future__ import annotations

import json
import math
import shutil
import statistics
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..errors import ClusterError
from ..files import write_whole
from ..processes import RETRIES, last_line, usable_cores
from ..training.recipe import Recipe
from .connection import as_dict, begin, connected, on_this_machine, train_here, write_json

RESULT = "result.json"
# With more seeds than this, sign flips are drawn at random: 2^16 of them are quickly tried.
COUNTED = 16


@dataclass(frozen=True)
class Study:
    """The runs of a recipe, by seed.

    Attributes:
        accuracies: fractions of 1, on the validation slice or the test set.
        seconds: training times.
        failed: the error message of each run that ended with one.
    """

    recipe: Recipe
    accuracies: dict[int, float]
    seconds: list[float]
    failed: dict[int, str]

    @property
    def mean(self) -> float:
        return statistics.mean(self.accuracies.values())

    @property
    def deviation(self) -> float:
        """Standard deviation of the sample; 0 for a single run."""
        several = len(self.accuracies) > 1
        return statistics.stdev(self.accuracies.values()) if several else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95% confidence interval of the mean, if accuracies are normally distributed."""
        count = len(self.accuracies)
        if count < 2:
            return 0.0, 1.0
        reach = student(count - 1) * self.deviation / math.sqrt(count)
        return self.mean - reach, self.mean + reach

    def to_dict(self) -> dict[str, Any]:
        """The study as it stands in `result.json`."""
        return {
            "recipe": as_dict(self.recipe),
            "accuracies": {str(seed): value for seed, value in self.accuracies.items()},
            "mean": self.mean,
            "deviation": self.deviation,
            "interval": self.interval,
            "median_seconds": statistics.median(self.seconds),
            "failed": {str(seed): text for seed, text in self.failed.items()},
        }


def student(freedom: int) -> float:
    """The 97.5% quantile of Student's t-distribution, by degrees of freedom.

    By the expansion 26.7.5 of Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964;
    below five degrees, where it is too rough, by their table.
    """
    if freedom < 5:
        return (math.nan, 12.706, 4.303, 3.182, 2.776)[freedom]
    z = statistics.NormalDist().inv_cdf(0.975)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def permutation_test(differences: Sequence[float]) -> float:
    """The two-sided p-value of the mean of N differences under random flips of their signs.

    Without a difference between the recipes either sign would be as likely (Fisher, "The Design
    of Experiments", 1935). All 2^N sign choices are tried; for large N 100,000 random ones and
    the observed one, so that p is never 0 (Phipson and Smyth, 2010).
    """
    values = np.asarray(differences)
    count = len(values)
    if count <= COUNTED:
        signs = 1 - 2 * (np.arange(2**count)[:, None] >> np.arange(count) & 1)
    else:
        signs = np.random.default_rng(0).choice((-1, 1), (100_000, count))
    means = np.abs((signs * values).mean(axis=1))
    hits = means >= abs(values.mean()) - 1e-12
    return float(hits.mean()) if count <= COUNTED else float((hits.sum() + 1) / (len(hits) + 1))


def verdict(one: Study, other: Study) -> str:
    """One sentence: whether the recipes differ, judged by the seeds that both have."""
    seeds = sorted(one.accuracies.keys() & other.accuracies.keys())
    if len(seeds) < 2:
        return "too few seeds to compare: take five at least"
    differences = [one.accuracies[seed] - other.accuracies[seed] for seed in seeds]
    p, mean = permutation_test(differences), statistics.mean(differences)
    better, worse = (one, other) if mean > 0 else (other, one)
    names = f"{better.recipe.name} is {abs(mean):.3%} better than {worse.recipe.name}"
    chance = f"p = {p:.3g}, sign flips over {len(seeds)} seeds"
    if p >= 0.05:
        least = 2 ** (1 - len(seeds))
        few = "; so few seeds could not show one" if least >= 0.05 else ""
        return f"no difference is shown: {names}, which may be chance ({chance}{few})"
    return f"{names} ({chance})"


def run_study(
    recipes: Sequence[Recipe],
    seeds: Sequence[int],
    directory: Path,
    held_out: bool = False,
    address: str | None = None,
    cpus: int = 1,
    gpus: float = 0,
    tell: Callable[[str], None] = print,
) -> list[Study]:
    """Train each recipe with each seed, unless that run is there already, and sum up.

    Args:
        held_out: train without the validation slice and measure on it, to choose between recipes.
        address: of a Ray cluster, or `auto`; without one, processes of this machine.
        cpus: cores and threads of each run.
        gpus: GPUs of each run; a fraction shares one. They need Ray, on this machine too.
        tell: called with each line of progress.

    Raises:
        ClusterError: two recipes have the same name, the folder belongs to another study, Ray is
            needed and missing or does not answer, no machine has so many cores, or every run of
            a recipe failed.
        RecipeError: a seed is too large.
    """
    names = [recipe.name for recipe in recipes]
    if len(set(names)) < len(names):
        raise ClusterError(
            f"two recipes are called {names[0]}: change `name` in one of their files"
        )
    wanted = [replace(recipe, seed=seed) for recipe in recipes for seed in seeds]
    job = {"study": [as_dict(recipe) for recipe in recipes], "held_out": held_out, "cpus": cpus}
    job["gpus"] = gpus > 0  # a GPU gives other weights than a CPU: they are not mixed
    begin(directory, job, resume=True)
    failed = _train_missing(wanted, directory, held_out, cpus, gpus, address, tell)
    studies = [_sum_up(directory, recipe, seeds, held_out, failed) for recipe in recipes]
    write_json(directory / RESULT, {study.recipe.name: study.to_dict() for study in studies})
    return studies


def _train_missing(
    wanted: Sequence[Recipe],
    directory: Path,
    held_out: bool,
    cpus: int,
    gpus: float,
    address: str | None,
    tell: Callable[[str], None],
) -> dict[Recipe, str]:
    """Train what is not there yet, writing each run when it ends; returns the errors by recipe."""
    missing = [recipe for recipe in wanted if not (_folder(directory, recipe) / RESULT).is_file()]
    if len(missing) < len(wanted):
        tell(f"{len(wanted) - len(missing)} of {len(wanted)} runs are there already")
    failed: dict[Recipe, str] = {}
    if not missing:
        return failed
    with closing(_trained(missing, held_out, cpus, gpus, address)) as trained:
        for recipe, files in trained:
            start = f"{recipe.name:<12}  seed {recipe.seed:<5}"
            if isinstance(files, str):
                failed[recipe] = files
                tell(f"{start}  failed: {files}")
                continue
            _keep(_folder(directory, recipe), files)
            result = _result(directory, recipe)
            seconds = f"{result['training_seconds']:6.1f} s"
            tell(f"{start}  {_accuracy(result, held_out):.2%}  {seconds}")
    return failed


# Each run when it ends: its files, or the error message.
Trained: TypeAlias = Generator[tuple[Recipe, dict[str, bytes] | str], None, None]


def _trained(
    recipes: Sequence[Recipe], held_out: bool, cpus: int, gpus: float, address: str | None
) -> Trained:
    if not address and not gpus:
        cores = usable_cores()
        if cpus > cores:
            raise ClusterError(f"a run can have {cores} CPU cores here: ask for fewer")
        train = partial(train_here, held_out=held_out, threads=cpus, gpus=0)
        yield from on_this_machine(train, recipes, cores // cpus)
        return
    with connected(address, cpus, gpus):
        yield from _on_ray(recipes, held_out, cpus, gpus)


def _on_ray(recipes: Sequence[Recipe], held_out: bool, cpus: int, gpus: float) -> Trained:
    import ray

    # Runs that are lost with their machine are made again elsewhere.
    task = ray.remote(train_here).options(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)
    waiting = {task.remote(r, held_out, cpus, gpus): r for r in recipes}
    while waiting:
        (ready,), _ = ray.wait(list(waiting))
        recipe = waiting.pop(ready)
        try:
            yield recipe, ray.get(ready)
        except ray.exceptions.RayError as error:
            yield recipe, last_line(getattr(error, "cause", None) or error)


def _folder(directory: Path, recipe: Recipe) -> Path:
    # Below runs/, so that no recipe's name can be that of one of the study's files.
    return directory / "runs" / recipe.name / f"seed-{recipe.seed}"


def _keep(folder: Path, files: dict[str, bytes]) -> None:
    """Write a run's files, the result last: where it is, the run is complete."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in sorted(files, key=lambda name: name == RESULT):
            write_whole(folder / name, files[name])
    except OSError as error:
        raise ClusterError(f"cannot write the run to {folder}: {error.strerror}") from error


def _result(directory: Path, recipe: Recipe) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((_folder(directory, recipe) / RESULT).read_text())
    return values


def _accuracy(result: dict[str, Any], held_out: bool) -> float:
    return float(result["validation_accuracy" if held_out else "test_accuracy"])


def _sum_up(
    directory: Path,
    recipe: Recipe,
    seeds: Sequence[int],
    held_out: bool,
    failed: dict[Recipe, str],
) -> Study:
    runs = {seed: replace(recipe, seed=seed) for seed in seeds}
    errors = {seed: failed[run] for seed, run in runs.items() if run in failed}
    results = {s: _result(directory, run) for s, run in runs.items() if run not in failed}
    if not results:
        first = next(iter(errors.values()))
        raise ClusterError(f"no run of {recipe.name} came to its end: {first}")
    accuracies = {seed: _accuracy(result, held_out) for seed, result in results.items()}
    seconds = [float(result["training_seconds"]) for result in results.values()]
    return Study(recipe, accuracies, seconds, errors)
