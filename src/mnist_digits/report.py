"""The tables that the command prints, as text."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .data.dataset import WRONG_TEST_LABELS
from .errors import on_one_line

if TYPE_CHECKING:
    from .classifier.evaluation import Evaluation
    from .classifier.examples import Examples
    from .classifier.loop import Epoch, Run
    from .classifier.reproduction import Reproduction
    from .classifier.teaching import Taught
    from .cluster.study import Study
    from .cluster.sweep import Trial
    from .detector.fit import DetectorRun
    from .reading.labelled import Outcome

EPOCH_HEADER = "epoch     loss  training  validation  learning rate  images/s     time"
# Pictures that were read wrong; JSON has all of them.
NAMED = 30
DETECTOR_HEADER = (
    "    scenes     heat   middle    class      ink      box  digits  others  scenes/s"
)
COMPARISON_HEADER = f"{'':<16}  validation  deviation  runs  parameters  seconds"


def epoch_line(epoch: Epoch) -> str:
    """A row under EPOCH_HEADER."""
    validation = epoch.validation_accuracy
    return (
        f"{epoch.epoch:5}  {epoch.loss:7.4f}  {epoch.train_accuracy:8.2%}"
        f"  {'-' if validation is None else f'{validation:.2%}':>10}"
        f"  {epoch.learning_rate:13.2e}  {epoch.images_per_second:8,.0f}  {epoch.seconds:5.1f} s"
    )


def detector_line(run: DetectorRun) -> str:
    """A row under DETECTOR_HEADER: mean losses of the last steps, and the share named right."""
    last = run.history[-1]
    losses = "  ".join(f"{last[name]:7.4f}" for name in ("heat", "middle", "class", "ink", "box"))
    shares = "  ".join(f"{last[name]:6.1%}" for name in ("digits_right", "others_right"))
    scenes = run.steps * run.recipe.batch_size
    return f"{scenes:10,}  {losses}  {shares}  {last['scenes_per_second']:8,.0f}"


def comparison_line(setting: str, runs: Sequence[Run]) -> str:
    """A row under COMPARISON_HEADER: the mean over runs that differ only in their seeds.

    The runs need validation accuracies; the deviation is the sample's.
    """
    accuracies = [run.history[-1].validation_accuracy or 0.0 for run in runs]
    deviation = f"{statistics.stdev(accuracies):.2%}" if len(runs) > 1 else "-"
    parameters = sum(parameter.numel() for parameter in runs[0].model.parameters())
    seconds = statistics.mean(run.training_seconds for run in runs)
    return (
        f"{setting:<16}  {statistics.mean(accuracies):10.2%}  {deviation:>9}  {len(runs):4}"
        f"  {parameters:10,}  {seconds:7.1f}"
    )


def accuracy_table(on_train: Evaluation, on_test: Evaluation) -> str:
    """Training and test accuracy with errors and interval, for MNIST also without wrong labels."""
    rows = [("training", on_train), ("test", on_test)]
    if on_test.labels_right:
        rows.append(("test, labels right*", on_test.labels_right))
    lines = [f"{'':<19}  accuracy  {'errors':>15}  95% interval"]
    for name, evaluation in rows:
        errors = f"{evaluation.errors:,} of {evaluation.count:,}"
        low, high = evaluation.interval
        lines.append(
            f"{name:<19}  {evaluation.accuracy:8.2%}  {errors:>15}  {low:.2%} to {high:.2%}"
        )
    if on_test.labels_right:
        lines.append(
            f"* without the {len(WRONG_TEST_LABELS)} test images whose label people agree is wrong"
        )
    return "\n".join(lines)


def digit_table(evaluation: Evaluation) -> str:
    """Precision and recall of each digit."""
    lines = ["digit  precision   recall  images"]
    columns = zip(evaluation.precision, evaluation.recall, evaluation.confusion.sum(1), strict=True)
    for digit, (precision, recall, images) in enumerate(columns):
        lines.append(f"{digit:5}  {precision:9.2%}  {recall:7.2%}  {images:6,}")
    return "\n".join(lines)


def confusion_table(evaluation: Evaluation) -> str:
    """The confusion matrix: labels down, predictions across."""
    lines = ["        read as", "label   " + "".join(f"{digit:>5}" for digit in range(10))]
    for digit, row in enumerate(evaluation.confusion.tolist()):
        lines.append(f"{digit:5}   " + "".join(f"{count or '.':>5}" for count in row))
    return "\n".join(lines)


def calibration_table(evaluation: Evaluation) -> str:
    """Mean confidence against accuracy, in ten groups of equal size by confidence."""
    lines = ["confidence    right   digits"]
    for part in evaluation.calibration():
        lines.append(f"{part.confidence:10.3%}  {part.right / part.count:7.2%}  {part.count:7,}")
    lines.append(
        f"calibration error {evaluation.calibration_error:.2%}, "
        f"negative log-likelihood {evaluation.negative_log_likelihood:.4f}"
    )
    return "\n".join(lines)


def run_table(run: Run) -> str:
    """A run's recipe, its results, and the versions that it was trained with."""
    result = {name: value for name, value in run.result.items() if name != "recipe"}
    versions = result.pop("versions", {})
    sections = [
        ("recipe", vars(run.recipe).items()),
        ("results", result.items() if result else [("", "none: the run was not finished")]),
        ("versions", versions.items()),
    ]
    return "\n\n".join(_section(title, rows) for title, rows in sections if rows)


def reproduction_text(outcome: Reproduction) -> str:
    """Whether a run was reproduced, and if not, the recorded differences."""
    if outcome.identical:
        return "The weights are identical, bit for bit."
    reasons = outcome.reasons or [
        "nothing that is recorded: the run may have been changed, or the device adds in any order"
    ]
    return "\n".join(
        [
            f"The weights differ: {outcome.differing:,} numbers, by {outcome.largest:.2g} at most.",
            "What was different:",
            *(f"  {reason}" for reason in reasons),
        ]
    )


def pictures_summary(outcomes: list[Outcome]) -> dict[str, Any]:
    """Counts of labelled pictures read right, in all and by kind; accuracies are fractions of 1.

    `mistakes` has what was read in each of the other pictures, or why it could not be opened.
    """
    kinds = dict.fromkeys(outcome.picture.kind for outcome in outcomes)
    groups = {kind: [o for o in outcomes if o.picture.kind == kind] for kind in kinds}
    counts = {kind: _counts(part) for kind, part in groups.items()}
    mistakes = [_mistake(outcome) for outcome in outcomes if not outcome.right]
    return {**_counts(outcomes), "kinds": counts, "mistakes": mistakes}


def _mistake(outcome: Outcome) -> dict[str, Any]:
    found = outcome.reading.to_dict() if outcome.reading else {"error": outcome.error}
    return {"file": str(outcome.picture.path), "label": outcome.picture.label, **found}


def _counts(outcomes: list[Outcome]) -> dict[str, Any]:
    right = sum(outcome.right for outcome in outcomes)
    sure = [outcome for outcome in outcomes if outcome.sure]
    return {
        "pictures": len(outcomes),
        "right": right,
        "accuracy": right / len(outcomes),
        "sure": len(sure),
        "sure_but_wrong": sum(not outcome.right for outcome in sure),
        "unreadable": sum(outcome.reading is None for outcome in outcomes),
    }


def pictures_table(outcomes: list[Outcome]) -> str:
    """The same as a table: a row for all, and one for each kind."""
    summary = pictures_summary(outcomes)
    kinds = summary["kinds"]
    rows = [("all", summary), *(kinds.items() if len(kinds) > 1 else [])]
    lines = [f"{'kind':<14}  pictures   right  accuracy    sure  sure but wrong"]
    for kind, counts in rows:
        lines.append(
            f"{on_one_line(kind):<14}  {counts['pictures']:8,}  {counts['right']:6,}"
            f"  {counts['accuracy']:8.2%}  {counts['sure']:6,}  {counts['sure_but_wrong']:14,}"
        )
    if summary["unreadable"]:
        lines.append(f"{summary['unreadable']:,} of them could not be opened: they count as wrong")
    wrong = [outcome for outcome in outcomes if not outcome.right]
    wrong.sort(key=lambda outcome: outcome.reading is not None)
    lines += ["", *map(_mistake_line, wrong[:NAMED])] if wrong else []
    if len(wrong) > NAMED:
        lines.append(f"and {len(wrong) - NAMED:,} more: --json names all")
    return "\n".join(lines)


def _mistake_line(outcome: Outcome) -> str:
    path, label = outcome.picture.path, outcome.picture.label
    read = f"{path}: {outcome.reading}; the label is {label}"
    return on_one_line(read if outcome.reading else outcome.error)


def examples_text(examples: Examples) -> str:
    """How many pictures there are to learn from, and which were left out, and why."""
    pictures, digits = len(examples), len(examples.digits)
    lines = [f"To learn from: {digits:,} digits of {pictures:,} pictures"]
    if examples.left_out:
        lines.append(f"{len(examples.left_out):,} pictures are left out:")
        lines += [on_one_line(f"  {path.name}: {reason}") for path, reason in examples.left_out]
    counts = examples.digits.labels.bincount(minlength=10).tolist()
    missing = [digit for digit, count in enumerate(counts) if not count]
    if missing:
        lines.append(f"No examples of {', '.join(map(str, missing))}: read as before, more or less")
    return "\n".join(lines)


VERDICTS = {
    "better": "Teaching helps: that would hardly come about by chance.",
    "worse": "Teaching does harm: do not use this network. Are all labels right?",
    "unclear": "Too few pictures to tell whether teaching helps: chance alone could do that.",
    "unknown": "Too few pictures to tell whether teaching helps: with ten it is measured.",
}


def teaching_table(taught: Taught) -> str:
    """What teaching has changed: for the pictures, each digit and MNIST; with a verdict."""
    summary = taught.report()
    lines = [f"{'your pictures':<14}  accuracy  {'right':>12}  95% interval"]
    for name in ("before", "after"):
        if name not in summary:
            continue
        counts, (low, high) = summary[name], summary[name]["interval"]
        right = f"{counts['right']:,} of {summary['pictures']:,}"
        title = name if name == "before" else "after*"
        lines.append(
            f"{title:<14}  {counts['accuracy']:8.2%}  {right:>12}  {low:.2%} to {high:.2%}"
        )
    if "after" in summary:
        lines += ["* each by a network that was taught with other pictures", ""]
        lines += ["digit  examples  right before  right after"]
        rows = zip(
            summary["examples"],
            summary["before"]["digits_right"],
            summary["after"]["digits_right"],
            strict=True,
        )
        for digit, (count, before, after) in enumerate(rows):
            if count:
                lines.append(f"{digit:5}  {count:8}  {before:12}  {after:11}")
        wrong = summary["after"]["wrong"]
        lines += ["", "Still wrong:"] if wrong else []
        lines += [f"  {w['file']}: {w['read'] or 'nothing'} instead of {w['label']}" for w in wrong]
    result = taught.run.result
    before = 1 - summary["test_errors_before"] / result["test_images"]
    lines += ["", VERDICTS[summary["verdict"]]]
    lines.append(f"MNIST's test set: {before:.2%} before, {result['test_accuracy']:.2%} after")
    return "\n".join(lines)


def leaderboard(trials: Sequence[Trial], most: int = 10) -> str:
    """The best trials of a sweep: accuracy, epochs, time and values."""
    lines = ["trial  validation  epochs     time  values"]
    for trial in trials[:most]:
        accuracy = "failed" if trial.accuracy is None else f"{trial.accuracy:.2%}"
        values = "  ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in trial.values.items()
        )
        lines.append(
            f"{trial.number:5}  {accuracy:>10}  {trial.epochs:6}  {trial.seconds:5.1f} s  {values}"
        )
    if len(trials) > most:
        lines.append(f"and {len(trials) - most} more, in leaderboard.json")
    return "\n".join(lines)


def study_table(studies: Sequence[Study], held_out: bool) -> str:
    """A row for each recipe: seeds, mean, deviation, interval of the mean, median time."""
    part = "validation" if held_out else "test"
    lines = [f"{'recipe':<12}  seeds  {part:>10}  deviation  95% interval of the mean     time"]
    for study in studies:
        low, high = study.interval
        several = len(study.accuracies) > 1
        deviation = f"{study.deviation:.2%}" if several else "-"
        interval = f"{low:.2%} to {high:.2%}" if several else "-"
        lines.append(
            f"{study.recipe.name:<12}  {len(study.accuracies):5}  {study.mean:10.2%}"
            f"  {deviation:>9}  {interval:>24}  {statistics.median(study.seconds):5.1f} s"
        )
        lines += [f"  seed {seed} failed: {text}" for seed, text in study.failed.items()]
    return "\n".join(lines)


def _section(title: str, rows: Iterable[tuple[str, object]]) -> str:
    return "\n".join([title] + [f"  {name:<36}{value}" for name, value in rows])
