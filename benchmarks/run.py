"""Our recipes against the published ones, in turns on this machine; writes RESULTS.md.

    python benchmarks/run.py                    # some three hours on two cores, half of it `record`
    python benchmarks/run.py --folder FOLDER    # keeps each epoch: may be stopped and goes on
    python benchmarks/run.py --full             # the peers to their end: more than a day

Each training is a process of its own, so that its peak memory is its own; contenders take
turns, seed by seed. The test set is evaluated after every epoch, off the clock and only to
tell when an accuracy was first reached: the accuracy of a recipe is that of its last epoch.

Slow peers are stopped, and their time is extrapolated from their steps; the figure has what they
published at that time.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from commands import measure_commands
from matplotlib.figure import Figure
from peers import PEERS, PYTORCH_EXAMPLE, Normalized, train_peer
from tables import by_name, results
from torch import nn

from mnist_digits import FAST, DigitNet, Digits, Run, evaluate, load_mnist, save, train
from mnist_digits.classifier.checkpoint import TRAINING, load_unfinished
from mnist_digits.classifier.recipe import RECIPES, Recipe
from mnist_digits.files import write_whole
from mnist_digits.plots import run_plots

HERE = Path(__file__).parent
# contender: seeds
SEEDS = {
    "fast": 10,
    "balanced": 5,
    "accurate": 6,
    "record": 3,
    "train_mnist_fast": 10,
    "PyTorch example": 1,
    "MnistSimpleCNN M3": 1,
}
# Seconds of training after which the quick run stops a peer, and extrapolates. The example
# is given the epochs that it needs to pass 99.0% for the first time.
PATIENCE = {"PyTorch example": 600.0, "MnistSimpleCNN M3": 60.0}


def measure(name: str, seed: int, patience: float, directory: Path) -> dict[str, Any]:
    """Train one contender once, in this process; one of ours is kept in the directory.

    Returns name, seed, seconds, whether it `finished` or its seconds are extrapolated, its
    epochs as (seconds, test accuracy), and the peak memory in bytes; of ours also the calibration
    error and the negative log-likelihood.
    """
    digits, test = load_mnist()
    finished, doubt = True, {}
    if name in RECIPES:
        recipe = dataclasses.replace(RECIPES[name], seed=seed)
        run, epochs = train_ours(recipe, digits, test, directory)
        seconds, doubt = run.training_seconds, doubt_of(run.model, test)
    else:
        peer, epochs = PEERS[name], []

        def on_epoch(network: nn.Module, seconds: float) -> None:
            epochs.append((seconds, evaluate(network, test).accuracy))

        seconds, steps = train_peer(peer, digits, seed, on_epoch, patience)
        finished = len(epochs) == peer.epochs
        seconds *= peer.epochs * math.ceil(len(digits) / peer.batch_size) / steps
    return {
        "name": name,
        "seed": seed,
        "seconds": seconds,
        "finished": finished,
        "epochs": epochs,
        "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        **doubt,
    }


def train_ours(
    recipe: Recipe, digits: Digits, test: Digits, directory: Path
) -> tuple[Run, list[tuple[float, float]]]:
    """Train, or go on after the last epoch in the directory; gives the epochs, too."""
    file = directory / "epochs.json"
    begun, epochs = None, []
    if (directory / TRAINING).exists():
        begun = load_unfinished(directory)
        epochs = json.loads(file.read_text())[: len(begun.history)]

    def keep(run: Run) -> None:
        epochs.append((run.training_seconds, evaluate(run.model, test).accuracy))
        write_whole(file, json.dumps(epochs).encode())
        save(run, directory)

    return train(recipe, digits, resume=begun, on_epoch=keep), epochs


def doubt_of(network: nn.Module, test: Digits) -> dict[str, float]:
    """How well its confidences fit its errors."""
    on_test = evaluate(network, test)
    return {
        "calibration_error": on_test.calibration_error,
        "negative_log_likelihood": on_test.negative_log_likelihood,
    }


def measure_in_turns(full: bool, folder: Path) -> list[dict[str, Any]]:
    """All the trainings, each in a process of its own, seed by seed.

    Runs and outcomes go to `folder`; what has an outcome there is not trained again.
    """
    outcomes = []
    for seed in range(max(SEEDS.values())):
        for name in (name for name, count in SEEDS.items() if seed < count):
            patience = math.inf if full else PATIENCE.get(name, math.inf)
            directory = folder / f"{name} {seed}"
            outcome = directory / "outcome.json"
            if not outcome.exists():
                directory.mkdir(parents=True, exist_ok=True)
                arguments = [name, str(seed), str(patience), str(directory)]
                command = [sys.executable, __file__, "--one", *arguments]
                output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
                write_whole(outcome, output)
            outcomes.append(json.loads(outcome.read_text()))
            report(outcomes[-1])
    return outcomes


def report(outcome: dict[str, Any]) -> None:
    """Print the line of a training."""
    how = f"test accuracy {outcome['epochs'][-1][1]:.2%}" if outcome["epochs"] else ""
    if not outcome["finished"]:
        how += " so far, the time extrapolated"
    print(
        f"{outcome['name']}, seed {outcome['seed']}: {outcome['seconds']:,.1f} s, {how}", flush=True
    )


def measure_inference(repetitions: int = 15) -> list[tuple[str, float, float]]:
    """(network, images/s, seconds for one image): medians, in turns.

    Images/s are those of batches of 100 or of 1,000, whichever suits the network better.
    """
    _, test = load_mnist()
    images = test.images[:1000].contiguous(memory_format=torch.channels_last)
    networks: dict[str, nn.Module] = {
        "fast": DigitNet(FAST).to(memory_format=torch.channels_last),
        "PyTorch example": Normalized(PYTORCH_EXAMPLE.network()),
    }
    times: dict[tuple[str, int], list[float]] = defaultdict(list)
    with torch.inference_mode():
        for _ in range(repetitions):
            for (name, network), count in itertools.product(networks.items(), (1, 100, 1000)):
                network.eval()
                times[name, count].append(seconds_of(network, images[:count]))
    pace = {key: statistics.median(several) / key[1] for key, several in times.items()}
    return [(name, 1 / min(pace[name, 100], pace[name, 1000]), pace[name, 1]) for name in networks]


def seconds_of(network: Callable[[torch.Tensor], object], images: torch.Tensor) -> float:
    """The time of a second call."""
    network(images)
    started = time.perf_counter()
    network(images)
    return time.perf_counter() - started


def figure(outcomes: list[dict[str, Any]]) -> Figure:
    """Accuracy against time; of what was stopped also what was published, at the time it takes."""
    epochs: dict[str, list[Any]] = {}
    published: dict[str, tuple[float, float]] = {}
    for name, several in by_name(outcomes).items():
        stopped = not several[0]["finished"]
        if several[0]["epochs"]:
            epochs[name + " (stopped)" * stopped] = [each["epochs"] for each in several]
        if stopped:
            published[name] = several[0]["seconds"], PEERS[name].accuracy
    return run_plots.accuracy_against_time(epochs, set(RECIPES), published)


def main() -> None:
    """Measure, print a line a training, and write RESULTS.md with its figure."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--full", action="store_true", help="train the slow peers to their end")
    parser.add_argument("--folder", type=Path, help="keep the trainings here, and go on with them")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, seed, patience, directory = options.one
        print(json.dumps(measure(name, int(seed), float(patience), Path(directory))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        outcomes = measure_in_turns(options.full, folder)
    inference, commands = measure_inference(), measure_commands()
    run_plots.save_figure(figure(outcomes), HERE / "accuracy_time.png")
    text = results(outcomes, inference, commands, options.full)
    (HERE / "RESULTS.md").write_text(text)
    print(f"\nWritten to {HERE / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
