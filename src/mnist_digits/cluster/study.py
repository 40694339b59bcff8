"""One recipe over many seeds, side by side: mean, deviation, interval, and comparison.

    study/
        _job.json             what it is a study of
        runs/robust/seed-7/   a run, as `train` writes it
        result.json           the figures

The members of an ensemble of three have the seeds 21, 22 and 23 in `seed-7`: no two ensembles of a
study have one in common.

A run that is there is not made again: a study that was stopped goes on where it was. On this
machine alone it needs no Ray.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
import signal
import statistics
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..errors import ClusterError
from ..files import write_whole
from ..training.recipe import Recipe
from .connection import RETRIES, as_dict, begin, connected, last_line, train_here, write_json

RESULT = "result.json"
# Sign flips are drawn, not counted out, where there are more than 2 to the power of this.
COUNTED = 16


@dataclass(frozen=True)
class Study:
    """The accuracies of a recipe, by seed, fractions of 1: on the validation slice or the test set.

    Attributes:
        failed: seeds whose runs ended with an error, and what it said.
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
        """Of the sample; 0 for a single run."""
        several = len(self.accuracies) > 1
        return statistics.stdev(self.accuracies.values()) if several else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """In which the mean over all seeds lies with 95%, if accuracies are normal (Student)."""
        count = len(self.accuracies)
        if count < 2:
            return 0.0, 1.0
        reach = student(count - 1) * self.deviation / math.sqrt(count)
        return self.mean - reach, self.mean + reach

    def to_dict(self) -> dict[str, Any]:
        """What JSON has of it."""
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
    """The 97.5% quantile of Student's distribution.

    Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, 26.7.5; below five degrees of
    freedom that is too rough, and the values are theirs, too.
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
    """How probable it is that the mean differs so much from 0 by chance: p, two-sided.

    If there were no difference, each of them could as well have the other sign (Fisher, "The
    Design of Experiments", 1935). All 2^N choices of signs are counted, or 100,000 drawn and the
    one that was seen counted with them, so that p is never 0 (Phipson and Smyth, 2010).
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
    """In words, whether the recipes differ, by the seeds that both have."""
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
    """Train each recipe with each seed, those that are not there yet, and sum up.

    Args:
        held_out: without the validation slice, and measured on it: to choose between recipes.
        address: of a Ray cluster, or `auto`; without one, processes of this machine.
        cpus: cores and threads of each run.
        gpus: of each run; a fraction shares one. Ray hands them out, on this machine, too.

    Raises:
        ClusterError: the folder is another study's, Ray is needed and missing or does not answer,
            no machine has so many cores, or no run of a recipe came to its end.
        RecipeError: a seed is too large for an ensemble.
    """
    names = [recipe.name for recipe in recipes]
    if len(set(names)) < len(names):
        raise ClusterError(
            f"two recipes are called {names[0]}: change `name` in one of their files"
        )
    job = {"study": [as_dict(recipe) for recipe in recipes], "held_out": held_out, "cpus": cpus}
    # Runs on a GPU are not those of a CPU, to the bit: they are not mixed.
    job["gpus"] = gpus > 0
    wanted = [replace(recipe, seed=seed) for recipe in recipes for seed in seeds]
    for recipe in wanted:
        independent(recipe)  # a seed that is too large is refused before anything begins
    begin(directory, job, resume=True)
    missing = [recipe for recipe in wanted if not (_folder(directory, recipe) / RESULT).is_file()]
    if len(missing) < len(wanted):
        tell(f"{len(wanted) - len(missing)} of {len(wanted)} runs are there already")
    failed: dict[tuple[str, int], str] = {}
    if missing:
        for recipe, files in _trained(missing, held_out, cpus, gpus, address):
            if isinstance(files, str):
                failed[recipe.name, recipe.seed] = files
            else:
                _keep(_folder(directory, recipe), files)
            tell(_line(directory, recipe, files, held_out))
    studies = [_sum_up(directory, recipe, seeds, held_out, failed) for recipe in recipes]
    told = {study.recipe.name: study.to_dict() for study in studies}
    write_json(directory / RESULT, told)
    return studies


# Each run as it comes to its end, with its files, or with what went wrong.
Trained: TypeAlias = Iterator[tuple[Recipe, dict[str, bytes] | str]]


def _trained(
    recipes: Sequence[Recipe], held_out: bool, cpus: int, gpus: float, address: str | None
) -> Trained:
    if not address and not gpus:
        yield from _in_processes(recipes, held_out, cpus)
        return
    with connected(address, cpus, gpus):
        yield from _on_ray(recipes, held_out, cpus, gpus)


def _in_processes(recipes: Sequence[Recipe], held_out: bool, cpus: int) -> Trained:
    """On this machine, each run in a process that has so many of its cores."""
    cores = os.cpu_count() or 1
    if cpus > cores:
        raise ClusterError(f"this machine has {cores} CPU cores: ask for fewer for a run")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores // cpus, context, _end_with_parent) as pool:
        waiting = {pool.submit(train_here, independent(r), held_out, cpus, 0): r for r in recipes}
        try:
            for done in as_completed(waiting):
                error = done.exception()
                yield waiting[done], last_line(error) if error else done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _end_with_parent() -> None:
    """Leave Ctrl-C to the process that started this one, and end when it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent  # as it is one of a pool

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _on_ray(recipes: Sequence[Recipe], held_out: bool, cpus: int, gpus: float) -> Trained:
    import ray

    # A node that dies takes its runs along: they are made again elsewhere.
    task = ray.remote(train_here).options(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)
    waiting = {task.remote(independent(r), held_out, cpus, gpus): r for r in recipes}
    while waiting:
        (ready,), _ = ray.wait(list(waiting))
        recipe = waiting.pop(ready)
        try:
            yield recipe, ray.get(ready)
        except ray.exceptions.RayError as error:
            yield recipe, last_line(getattr(error, "cause", None) or error)


def independent(recipe: Recipe) -> Recipe:
    """As a study trains it: ensembles of neighbouring seeds would have members in common.

    Their accuracies would not be independent, which deviation, interval and comparison need.
    """
    return replace(recipe, seed=recipe.seed * recipe.ensemble_size)


def _folder(directory: Path, recipe: Recipe) -> Path:
    # In a folder of their own, so that no name meets that of another file of the study.
    return directory / "runs" / recipe.name / f"seed-{recipe.seed}"


def _keep(folder: Path, files: dict[str, bytes]) -> None:
    """Write a run's files, the result last: it says that the others are there."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in sorted(files, key=lambda name: name == RESULT):
            write_whole(folder / name, files[name])
    except OSError as error:
        raise ClusterError(f"cannot write the run to {folder}: {error.strerror}") from error


def _line(directory: Path, recipe: Recipe, files: dict[str, bytes] | str, held_out: bool) -> str:
    start = f"{recipe.name:<12}  seed {recipe.seed:<5}"
    if isinstance(files, str):
        return f"{start}  failed: {files}"
    result = _result(directory, recipe)
    return f"{start}  {_accuracy(result, held_out):.2%}  {result['training_seconds']:6.1f} s"


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
    failed: dict[tuple[str, int], str],
) -> Study:
    wrong = {seed: failed[recipe.name, seed] for seed in seeds if (recipe.name, seed) in failed}
    done = [seed for seed in seeds if seed not in wrong]
    if not done:
        raise ClusterError(f"no run of {recipe.name} came to its end: {next(iter(wrong.values()))}")
    results = {seed: _result(directory, replace(recipe, seed=seed)) for seed in done}
    accuracies = {seed: _accuracy(result, held_out) for seed, result in results.items()}
    seconds = [float(result["training_seconds"]) for result in results.values()]
    return Study(recipe, accuracies, seconds, wrong)
