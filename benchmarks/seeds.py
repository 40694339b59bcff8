"""Train a recipe with several seeds: test accuracy as mean ± standard deviation.

    python benchmarks/seeds.py fast --seeds 10

The seeds are 0, 1, 2, ... The test set is evaluated once for each, on the weights of the
last step; nothing is chosen by it. Runs on a GPU where there is one, after one training that
does not count: the first one loads and tunes the GPU's kernels.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import statistics

import torch

from mnist_digits import evaluate, load_mnist, pick_device, train
from mnist_digits.training.recipe import named


def main() -> None:
    """Print a line a seed, then mean, deviation and median time."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("recipe", nargs="?", default="fast")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()

    device = pick_device()
    digits, test = (part.to(device) for part in load_mnist())
    print(
        f"{options.recipe}, seeds 0 to {options.seeds - 1}, on {device}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"Python {platform.python_version()}"
    )
    if device.type == "cuda":
        train(named(options.recipe), digits)
    errors, seconds = [], []
    for seed in range(options.seeds):
        run = train(dataclasses.replace(named(options.recipe), seed=seed), digits)
        errors.append(evaluate(run.model, test).errors)
        seconds.append(run.training_seconds)
        print(f"seed {seed}: {errors[-1]} errors, {seconds[-1]:.2f} s", flush=True)
    accuracies = [1 - wrong / len(test) for wrong in errors]
    spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
    print(
        f"test accuracy {statistics.mean(accuracies):.2%} ± {spread:.2%}, "
        f"training time {statistics.median(seconds):.2f} s (median)"
    )


if __name__ == "__main__":
    main()
