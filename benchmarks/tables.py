"""The text of RESULTS.md, from what run.py measured."""

from __future__ import annotations

import platform
import statistics
from datetime import date
from pathlib import Path
from typing import Any

import torch
from answers import grouped
from commands import REPETITIONS, commands_table
from peers import PEERS

REFERENCE = "train_mnist_fast"
THRESHOLDS = (0.99, 0.995, 0.997)

Outcome = dict[str, Any]
TEMPLATE = """# Results

Written by `python benchmarks/run.py{flag}` on {day}, on {machine}.

## Training

| recipe | seeds | test accuracy | training time | against {reference} | first at 99.0% | 99.5% | 99.7% | calibration error | negative log-likelihood | peak memory |
|---|---|---|---|---|---|---|---|---|---|---|
{training}

Accuracy is that of the last epoch, mean ± standard deviation over the seeds 0, 1, 2, ...;
times and memory are medians. Training time goes from the data in memory to the final weights;
"first at" is when an epoch first ended with that test accuracy.
The expected calibration error is that of ten bins of equal count, the negative log-likelihood
the mean -log of the label's probability; both on the test set, means over the seeds.
Times with * are of trainings that were stopped and extrapolated from their steps. The peers
are written anew from their published settings (`peers.py`), and train as they do: see there.
What they published themselves:

{published}

From Enter to the prompt, in turns, medians of {repetitions} (`commands.py`):

{commands}

![Accuracy against training time](accuracy_time.png)

## Inference

| network | images/s | one image |
|---|---|---|
{inference}

In eager mode; batches of 100 or of 1,000, whichever suits the network better.
"""


def results(
    outcomes: list[Outcome],
    inference: list[tuple[str, float, float]],
    commands: dict[str, float],
    full: bool,
) -> str:
    """The text of RESULTS.md. Times are in seconds."""
    groups = by_name(outcomes)
    reference = statistics.median(outcome["seconds"] for outcome in groups[REFERENCE])
    return TEMPLATE.format(
        flag=" --full" if full else "",
        day=date.today(),
        machine=machine(),
        reference=REFERENCE,
        published="\n".join(f"- {peer.name}: {peer.published}." for peer in PEERS.values()),
        training="\n".join(training_row(several, reference) for several in groups.values()),
        repetitions=REPETITIONS,
        commands=commands_table(commands),
        inference="\n".join(
            f"| {name} | {rate:,.0f} | {1000 * seconds:.2f} ms |"
            for name, rate, seconds in inference
        ),
    )


def by_name(outcomes: list[Outcome]) -> dict[str, list[Outcome]]:
    """The trainings of each contender."""
    return grouped(outcomes, lambda outcome: str(outcome["name"]))


def training_row(outcomes: list[Outcome], reference: float) -> str:
    """A contender's line in the table."""
    accuracies = [outcome["epochs"][-1][1] for outcome in outcomes if outcome["finished"]]
    accuracy = "not trained to its end"
    if accuracies:
        accuracy = f"{statistics.mean(accuracies):.2%}"
    if len(accuracies) > 1:
        accuracy += f" ± {statistics.stdev(accuracies):.2%}"
    seconds = statistics.median(outcome["seconds"] for outcome in outcomes)
    star = "" if len(accuracies) == len(outcomes) else "*"
    memory = statistics.median(outcome["peak_memory"] for outcome in outcomes) / 2**30
    cells = [
        outcomes[0]["name"],
        str(len(outcomes)),
        accuracy,
        f"{seconds:,.1f} s{star}",
        f"{seconds / reference:.2f}×",
        *(first_reached(outcomes, threshold) for threshold in THRESHOLDS),
        mean_of(outcomes, "calibration_error", ".2%"),
        mean_of(outcomes, "negative_log_likelihood", ".4f"),
        f"{memory:.2f} GiB",
    ]
    return f"| {' | '.join(cells)} |"


def mean_of(outcomes: list[Outcome], what: str, form: str) -> str:
    """The mean of a measurement that ours have, or a dash."""
    if any(what not in outcome for outcome in outcomes):
        return "–"
    return format(statistics.mean(outcome[what] for outcome in outcomes), form)


def first_reached(outcomes: list[Outcome], threshold: float) -> str:
    """Median time of the first epoch with this test accuracy, and how many runs had one."""
    times = [
        next(seconds for seconds, accuracy in outcome["epochs"] if accuracy >= threshold)
        for outcome in outcomes
        if any(accuracy >= threshold for _, accuracy in outcome["epochs"])
    ]
    if not times:
        return "–"
    share = "" if len(times) == len(outcomes) else f" ({len(times)} of {len(outcomes)})"
    return f"{statistics.median(times):,.1f} s{share}"


def machine() -> str:
    """Processor, threads and versions."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    threads = torch.get_num_threads()
    return (
        f"{names[0] if names else platform.machine()}, {threads} thread{'s' * (threads > 1)}, "
        f"torch {torch.__version__}, Python {platform.python_version()}, {platform.system()}"
    )
