"""Our recipes against the published ones, in turns on this machine; writes RESULTS.md.

    python benchmarks/run.py           # quick: half an hour on two cores
    python benchmarks/run.py --full    # every recipe and seed, the peers to their end: a night

Each training is a process of its own, so that its peak memory is its own; contenders take
turns, seed by seed. The test set is evaluated after every epoch, off the clock and only to
tell when an accuracy was first reached: the accuracy of a recipe is that of its last epoch.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peers import PEERS, PYTORCH_EXAMPLE, Normalized, train_peer
from tables import accuracy_against_time, results
from torch import nn

from mnist_digits import FAST, DigitNet, Run, evaluate, load_mnist, plots, train
from mnist_digits.recipe import RECIPES

HERE = Path(__file__).parent
# In the quick run a training stops after so many seconds and is extrapolated.
QUICK_PATIENCE = 60.0
# contender: seeds in the quick run, seeds in the full run
SEEDS = {
    "fast": (10, 10),
    "accurate": (5, 5),
    "ensemble": (0, 3),
    "train_mnist_fast": (10, 10),
    "PyTorch example": (1, 3),
    "MnistSimpleCNN M3": (1, 1),
}


def measure(name: str, seed: int, patience: float) -> dict[str, Any]:
    """Train one contender once, in this process.

    Returns name, seed, seconds, whether it `finished` or its seconds are extrapolated, its
    epochs as (seconds, test accuracy), and the peak memory in bytes.
    """
    digits, test = load_mnist()
    epochs: list[tuple[float, float]] = []

    def on_epoch(network: nn.Module, seconds: float) -> None:
        epochs.append((seconds, evaluate(network, test).accuracy))

    finished = True
    if name in RECIPES:
        recipe = RECIPES[name]
        # Ensembles of different seeds have no member in common.
        recipe = dataclasses.replace(recipe, seed=seed * recipe.members)

        def look(run: Run) -> None:
            on_epoch(run.model, run.training_seconds)

        seconds = train(recipe, digits, on_epoch=look).training_seconds
    else:
        peer = PEERS[name]
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
    }


def measure_in_turns(full: bool) -> list[dict[str, Any]]:
    """All the trainings, each in a process of its own, seed by seed."""
    patience = math.inf if full else QUICK_PATIENCE
    counts = {name: seeds[full] for name, seeds in SEEDS.items()}
    outcomes = []
    for seed in range(max(counts.values())):
        for name in (name for name, count in counts.items() if seed < count):
            command = [sys.executable, __file__, "--one", name, str(seed), str(patience)]
            output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            outcome = json.loads(output)
            outcomes.append(outcome)
            how = f"test accuracy {outcome['epochs'][-1][1]:.2%}" if outcome["epochs"] else ""
            if not outcome["finished"]:
                how = "extrapolated"
            print(f"{name}, seed {seed}: {outcome['seconds']:,.1f} s, {how}", flush=True)
    return outcomes


def measure_command(name: str, repetitions: int = 3) -> float:
    """Median seconds of the whole command: start, data, training, evaluation, files."""
    times = []
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "mnist_digits.cli", "train", name, "--no-figures"]
            started = time.perf_counter()
            subprocess.run([*command, "--output", f"{folder}/run"], check=True, capture_output=True)
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def measure_inference(repetitions: int = 15) -> list[tuple[str, float, float]]:
    """(network, images/s in batches of 1000, seconds for one image): medians, in turns."""
    _, test = load_mnist()
    images = test.images[:1000].contiguous(memory_format=torch.channels_last)
    networks: dict[str, nn.Module] = {
        "fast": DigitNet(FAST).to(memory_format=torch.channels_last),
        "PyTorch example": Normalized(PYTORCH_EXAMPLE.network()),
    }
    batch: dict[str, list[float]] = {name: [] for name in networks}
    single: dict[str, list[float]] = {name: [] for name in networks}
    with torch.inference_mode():
        for _ in range(repetitions):
            for name, network in networks.items():
                network.eval()
                batch[name].append(seconds_of(network, images))
                single[name].append(seconds_of(network, images[:1]))
    median = statistics.median
    return [(name, len(images) / median(batch[name]), median(single[name])) for name in networks]


def seconds_of(network: Callable[[torch.Tensor], object], images: torch.Tensor) -> float:
    """How long it takes, the second time."""
    network(images)
    started = time.perf_counter()
    network(images)
    return time.perf_counter() - started


def main() -> None:
    """Measure, print a line a training, and write RESULTS.md with its figure."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--full", action="store_true", help="every recipe and seed")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, seed, patience = options.one
        print(json.dumps(measure(name, int(seed), float(patience))))
        return
    started = time.perf_counter()
    outcomes = measure_in_turns(options.full)
    inference, command = measure_inference(), measure_command("fast")
    minutes = (time.perf_counter() - started) / 60
    plots.save_figure(accuracy_against_time(outcomes, set(RECIPES)), HERE / "accuracy_time.png")
    text = results(outcomes, inference, command, minutes, options.full)
    (HERE / "RESULTS.md").write_text(text)
    print(f"\nWritten to {HERE / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
