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
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..classifier.recipe import Recipe
from ..errors import ClusterError
from ..files import write_whole
from .connection import begin, check_installed, digits, perform, prepare, write_json

RESULT = "result.json"


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
        from scipy import stats

        count = len(self.accuracies)
        if count < 2:
            return 0.0, 1.0
        reach = float(stats.t.ppf(0.975, count - 1)) * self.deviation / math.sqrt(count)
        return self.mean - reach, self.mean + reach

    def to_dict(self) -> dict[str, Any]:
        """The study as it stands in `result.json`."""
        return {
            "recipe": asdict(self.recipe),
            "accuracies": self.accuracies,
            "mean": self.mean,
            "deviation": self.deviation,
            "interval": self.interval,
            "median_seconds": statistics.median(self.seconds),
            "failed": self.failed,
        }


def sign_flips(differences: Sequence[float]) -> float:
    """The two-sided p-value of the mean of differences under random flips of their signs.

    Without a difference between the recipes either sign would be as likely (Fisher, "The Design
    of Experiments", 1935). With 16 differences or fewer all choices of signs are tried, else
    100,000 random ones, and the observed one, so that p is never 0 (Phipson and Smyth, 2010).
    """
    from scipy import stats

    test = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=100_000,
        batch=10_000,
        random_state=np.random.default_rng(0),
    )
    return float(test.pvalue)


def verdict(one: Study, other: Study) -> str:
    """One sentence: whether the recipes differ, judged by the seeds that both have."""
    seeds = sorted(one.accuracies.keys() & other.accuracies.keys())
    if len(seeds) < 2:
        return "too few seeds to compare: take five at least"
    differences = [one.accuracies[seed] - other.accuracies[seed] for seed in seeds]
    p, mean = sign_flips(differences), statistics.mean(differences)
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
    report: Callable[[str], None] = print,
) -> list[Study]:
    """Train each recipe with each seed, unless that run is there already, and sum up.

    Args:
        held_out: train without the validation slice and measure on it, to choose between recipes.
        address, cpus, gpus: as `perform` takes them, for each run.
        report: called with each line of progress.

    Raises:
        ClusterError: scipy is not installed, two recipes have the same name, the folder belongs to
            another study, Ray is needed and missing or does not answer, no machine has so many
            cores, or every run of a recipe failed.
    """
    check_installed("scipy")
    if len({recipe.name for recipe in recipes}) < len(recipes):
        raise ClusterError(
            f"two recipes are called {recipes[0].name}: change `name` in one of their files"
        )
    job = {"study": [asdict(recipe) for recipe in recipes], "held_out": held_out, "cpus": cpus}
    # A GPU gives other weights than a CPU: they are not mixed.
    begin(directory, {**job, "gpus": gpus > 0}, resume=True)
    runs = [replace(recipe, seed=seed) for recipe in recipes for seed in seeds]
    # Below runs/, so that no recipe's name can be that of one of the study's files.
    folders = {run: directory / "runs" / run.name / f"seed-{run.seed}" for run in runs}
    missing = [run for run in runs if not (folders[run] / RESULT).is_file()]
    if len(missing) < len(runs):
        report(f"{len(runs) - len(missing)} of {len(runs)} runs are there already")
    train = partial(train_here, held_out=held_out, threads=cpus, gpus=gpus)
    failed: dict[Recipe, str] = {}
    with closing(perform(train, missing, address, cpus, gpus)) as trained:
        for run, files in trained:
            if isinstance(files, str):
                failed[run] = files
                said = f"failed: {files}"
            else:
                _keep(folders[run], files)
                said = "{:.2%}  {:6.1f} s".format(*_result(folders[run], held_out))
            report(f"{run.name:<12}  seed {run.seed:<5}  {said}")
    studies = [_sum_up(recipe, folders, failed, held_out) for recipe in recipes]
    write_json(directory / RESULT, {study.recipe.name: study.to_dict() for study in studies})
    return studies


def train_here(recipe: Recipe, held_out: bool, threads: int, gpus: float) -> dict[str, bytes]:
    """One run, as `mnist-digits train` makes it, in a process of its own.

    Returns:
        The files that `checkpoint.save` writes, by name: the machine may share no folder with
        the one that asked.
    """
    from ..classifier import checkpoint
    from ..classifier.procedure import split, train_and_measure

    device = prepare(threads, gpus)
    train, test = (part.to(device) for part in digits())
    run, _, _ = train_and_measure(recipe, *split(train, held_out), test)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(run, Path(folder))
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def _keep(folder: Path, files: dict[str, bytes]) -> None:
    """Write a run's files, the result last: where it is, the run is complete."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in sorted(files, key=lambda name: name == RESULT):
            write_whole(folder / name, files[name])
    except OSError as error:
        raise ClusterError(f"cannot write the run to {folder}: {error.strerror}") from error


def _result(folder: Path, held_out: bool) -> tuple[float, float]:
    """A finished run's accuracy, and the seconds of its training."""
    result = json.loads((folder / RESULT).read_text())
    accuracy = result["validation_accuracy" if held_out else "test_accuracy"]
    return float(accuracy), float(result["training_seconds"])


def _sum_up(
    recipe: Recipe, folders: dict[Recipe, Path], failed: dict[Recipe, str], held_out: bool
) -> Study:
    errors = {run.seed: said for run, said in failed.items() if run.name == recipe.name}
    ended = [run for run in folders if run.name == recipe.name and run not in failed]
    if not ended:
        first = next(iter(errors.values()))
        raise ClusterError(f"no run of {recipe.name} came to its end: {first}")
    accuracies, seconds = zip(*(_result(folders[run], held_out) for run in ended), strict=True)
    seeds = [run.seed for run in ended]
    return Study(recipe, dict(zip(seeds, accuracies, strict=True)), list(seconds), errors)
