"""A hyperparameter search: many trials on Ray Tune, compared by their validation accuracy.

Optuna proposes the values, and trials that fall behind are stopped early (Li et al., "A System for
Massively Parallel Hyperparameter Tuning", 2020). The test set is not used.

    sweep/
        _job.json          recipe, search space, number of trials
        trials/            Ray Tune's state, with each trial's last epoch, to go on from
        leaderboard.json   every trial, the best first
        best.json          the best recipe, for `train --recipe`
        *.png              figures
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from ..classifier.recipe import FAST, Recipe
from ..errors import ClusterError, RecipeError, TrainingError
from ..processes import RETRIES, last_line
from .connection import JOB, begin, check_installed, connected, digits, prepare, write_json

# field: {low, high, log} or {choices}. These matter in nearly every recipe.
DEFAULT_SPACE: dict[str, dict[str, Any]] = {
    "learning_rate": {"low": 0.003, "high": 0.1, "log": True},
    "label_smoothing": {"low": 0.0, "high": 0.2},
    "batch_size": {"choices": [125, 250, 500]},
    "hidden": {"choices": [32, 64, 128]},
    "shift": {"low": 0.0, "high": 2.0},
}
METRIC = "validation_accuracy"


@dataclass(frozen=True)
class Trial:
    """One choice of values, and how well it did.

    Attributes:
        accuracy: on the validation slice, a fraction of 1; None if the trial failed.
        epochs: trained; fewer than `planned`, those of its recipe, if it was stopped early.
        seconds: of training.
    """

    number: int
    values: dict[str, Any]
    accuracy: float | None
    epochs: int
    planned: int
    seconds: float
    error: str = ""


def read_space(path: Path | None, recipe: Recipe) -> dict[str, dict[str, Any]]:
    """The search space in a JSON file, or the default one, checked against the recipe.

    Raises:
        ClusterError: the file cannot be read, has a field or a value that no recipe can have, or
            nothing to vary.
    """
    try:
        space = json.loads(path.read_text()) if path else DEFAULT_SPACE
    except (OSError, ValueError, RecursionError) as error:
        raise ClusterError(f"cannot read the search space {path}: {error}") from error
    if not isinstance(space, dict):
        raise ClusterError('a search space is like {"learning_rate": {"low": 0.01, "high": 0.1}}')
    values = {name: _ends(name, part) for name, part in space.items()}
    try:
        for name, value in ((name, value) for name, ends in values.items() for value in ends):
            Recipe.from_dict({**asdict(recipe), name: value})
    except RecipeError as error:
        raise ClusterError(f"the search space does not fit: {error}") from error
    if all(len(set(map(str, ends))) == 1 for ends in values.values()):
        raise ClusterError("the search space has nothing to vary: give a field two values at least")
    return space


def _ends(name: str, part: object) -> list[Any]:
    """The choices, or the lowest and the highest value."""
    match part:
        case {"choices": [_, *_] as choices}:
            return choices
        case {"low": int() | float() as low, "high": int() | float() as high, **rest}:
            if low <= high and (low > 0 or not rest.get("log")):
                return [low, high]
    raise ClusterError(
        f'{name} must have {{"low": ..., "high": ..., "log": true}}, numbers in this order, above '
        f'0 with log, or {{"choices": [...]}}'
    )


def run_sweep(
    recipe: Recipe,
    trials: int,
    directory: Path,
    space: dict[str, dict[str, Any]],
    resume: bool = False,
    address: str | None = None,
    cpus: int = 1,
    gpus: float = 0,
    report: Callable[[str], None] = print,
) -> list[Trial]:
    """Run so many trials and write the leaderboard; returns the trials, the best first.

    Args:
        directory: on a cluster, one that all machines reach by the same path.
        space: see `read_space`.
        resume: go on with the sweep in the folder, each trial after its last finished epoch.
        address, cpus, gpus: as `connected` takes them, for each trial.
        report: called with a line for each trial that ends.

    Raises:
        ClusterError: the folder belongs to another job, Ray is not installed or does not answer,
            or every trial failed.
        KeyboardInterrupt: it was stopped before all trials had ended.
    """
    if resume and not (directory / JOB).is_file():
        raise ClusterError(f"there is no sweep at {directory}: begin one, without --resume")
    check_installed("optuna")
    job = {"sweep": asdict(recipe), "space": space, "trials": trials, "gpus": gpus > 0}
    begin(directory, job, resume)

    def trial(values: dict[str, Any]) -> None:
        _run_trial(replace(recipe, **values), cpus, gpus)

    with connected(address, cpus, gpus):
        from ray import tune

        trainable = tune.with_resources(trial, {"cpu": cpus, "gpu": gpus})
        state = str(directory.absolute() / "trials")
        if resume and tune.Tuner.can_restore(state):
            tuner: Any = tune.Tuner.restore(state, trainable, resume_unfinished=True)
        else:
            tuner = _tuner(trainable, recipe, trials, directory, space, report)
        results = tuner.fit()
        # After Ctrl-C Tune returns results as usual. The state that it saved tells who has ended.
        kept = tune.ExperimentAnalysis(state).trials or []
        if sum(one.is_finished() for one in kept) < trials:
            again = f"--name {directory.name} --resume"
            raise KeyboardInterrupt(f"; go on with the same command and {again}")
    found = [_trial(number, result, recipe) for number, result in enumerate(results)]
    return _ranked(found, directory, recipe)


def _ranked(trials: list[Trial], directory: Path, recipe: Recipe) -> list[Trial]:
    """The trials, the best first; they are written, and the best recipe."""
    ranked = sorted(trials, key=lambda trial: -(trial.accuracy or 0.0))
    first = ranked[0]
    if first.accuracy is None:
        raise ClusterError(f"no trial came to an end: {first.error}")
    # Renamed, so that a study can compare it with the recipe that the sweep began with.
    best = replace(recipe, **(first.values | {"name": f"{recipe.name[:59]}-best"}))
    write_json(directory / "leaderboard.json", [asdict(trial) for trial in ranked])
    write_json(directory / "best.json", asdict(best))
    return ranked


def _tuner(
    trainable: Callable[[dict[str, Any]], None],
    recipe: Recipe,
    trials: int,
    directory: Path,
    space: dict[str, dict[str, Any]],
    report: Callable[[str], None],
) -> Any:
    """A sweep from its beginning."""
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            metric=METRIC,
            mode="max",
            num_samples=trials,
            search_alg=OptunaSearch(
                _distributions(space), metric=METRIC, mode="max", seed=recipe.seed
            ),
            scheduler=_scheduler(recipe, space),
        ),
        run_config=tune.RunConfig(
            name="trials",
            storage_path=str(directory.absolute()),
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
            callbacks=[_reporter(report, trials)],
            verbose=0,
        ),
    )


def _distributions(space: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The space as Optuna has it."""
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found: dict[str, Any] = {}
    for name, part in space.items():
        if "choices" in part:
            found[name] = CategoricalDistribution([_hashable(value) for value in part["choices"]])
            continue
        # The field's type decides, not that of the ends: a shift from 0 to 2 may be 0.7.
        kind = IntDistribution if isinstance(getattr(FAST, name), int) else FloatDistribution
        found[name] = kind(part["low"], part["high"], log=bool(part.get("log")))
    return found


def _hashable(value: Any) -> Any:
    """Optuna compares choices by their hash, which a list has not."""
    return tuple(value) if isinstance(value, list) else value


def _scheduler(recipe: Recipe, space: dict[str, dict[str, Any]]) -> Any:
    """Stops trials that fall behind, if the longest of them has three epochs or more.

    After a third of the longest trial's epochs, and each time that number has doubled, a trial is
    compared with those that reached the same epoch before it: the worse half is stopped.
    """
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

    epochs = max(_ends("epochs", space["epochs"])) if "epochs" in space else recipe.epochs
    if epochs < 3:
        return FIFOScheduler()
    return ASHAScheduler(
        time_attr="epoch", max_t=epochs + 1, grace_period=epochs // 3, reduction_factor=2
    )


def _reporter(report: Callable[[str], None], count: int) -> Any:
    from ray import tune

    class Reporter(cast(Any, tune.Callback)):  # type: ignore[misc]
        """Prints a line when a trial is over."""

        def on_trial_complete(self, trials: list[Any], trial: Any, **_: Any) -> None:
            last = trial.last_result
            failed = trial.status == trial.ERROR or "error" in last
            outcome = "failed" if failed else f"{last.get(METRIC, 0):.2%}"
            # All trials, including those that ended before the sweep was resumed.
            done = 1 + sum(other.is_finished() for other in trials if other is not trial)
            values = "  ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                for name, value in trial.config.items()
            )
            report(f"{done:4} of {count}  {outcome:>7}  epoch {last.get('epoch', 0):<3}  {values}")

        on_trial_error = on_trial_complete

    return Reporter()


def _run_trial(recipe: Recipe, threads: int, gpus: float) -> None:
    """Train in a Ray process, reporting and saving every epoch; go on from a saved one."""
    from ray import tune

    from ..classifier import checkpoint
    from ..classifier.loop import Run, train
    from ..data.dataset import split_validation

    begun = None
    if last := tune.get_checkpoint():
        with last.as_directory() as folder:
            begun = checkpoint.load_unfinished(Path(folder))
    reached: dict[str, Any] = {METRIC: 0.0, "epoch": 0, "spent": 0.0}

    def on_epoch(run: Run) -> None:
        epoch = run.history[-1]
        reached.update(epoch=epoch.epoch, spent=epoch.seconds)
        reached[METRIC] = epoch.validation_accuracy
        with tempfile.TemporaryDirectory() as folder:
            checkpoint.save(run, Path(folder))
            tune.report(dict(reached), checkpoint=tune.Checkpoint.from_directory(folder))

    try:
        device = prepare(threads, gpus)
        kept, validation = (part.to(device) for part in split_validation(digits()[0]))
        train(recipe, kept, validation, resume=begun, on_epoch=on_epoch)
    except TrainingError as error:
        # It would fail each time: ended without an exception, which Tune would answer by a retry.
        tune.report({**reached, METRIC: 0.0, "error": str(error)})


def _trial(number: int, result: Any, recipe: Recipe) -> Trial:
    metrics, values = result.metrics or {}, dict(result.config or {})
    error = last_line(result.error) if result.error else str(metrics.get("error", ""))
    return Trial(
        number,
        values,
        accuracy=None if error else metrics.get(METRIC),
        epochs=int(metrics.get("epoch", 0)),
        planned=replace(recipe, **values).epochs,
        seconds=float(metrics.get("spent", 0.0)),
        error=error,
    )


def importance(trials: list[Trial], space: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The share of each field in the differences between the trials; the shares sum to 1.

    By Optuna's PED-ANOVA (Watanabe, Bansal and Hutter, "PED-ANOVA: Efficiently Quantifying
    Hyperparameter Importance in Arbitrary Subspaces", 2023); empty with fewer than four trials.
    """
    import optuna

    done = [trial for trial in trials if trial.accuracy is not None]
    if len(done) < 4:
        return {}
    kinds, study = _distributions(space), optuna.create_study(direction="maximize")
    for trial in done:
        values = {name: _hashable(value) for name, value in trial.values.items()}
        study.add_trial(
            optuna.create_trial(params=values, distributions=kinds, value=trial.accuracy)
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna warns that it is experimental
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return optuna.importance.get_param_importances(study, evaluator=evaluator)
