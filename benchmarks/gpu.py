"""How fast the recipes train on a GPU, and how well; prints a table.

    python benchmarks/gpu.py                    # fast, balanced and accurate: a minute
    python benchmarks/gpu.py --recipe record    # one of them alone

The first training of all does not count: libraries are loaded and choose their algorithms in it.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from dataclasses import replace

import torch
from answers import table

from mnist_digits import Digits, Recipe, evaluate, load_mnist, train
from mnist_digits.classifier.device import pick_device
from mnist_digits.classifier.recipe import FAST, RECIPES

SEEDS = {"fast": 10, "balanced": 5, "accurate": 5, "record": 3}


def measured(recipe: Recipe, digits: Digits, test: Digits) -> Iterator[tuple[float, float]]:
    """Seconds and test accuracy of the recipe's seeds."""
    for seed in range(SEEDS[recipe.name]):
        run = train(replace(recipe, seed=seed), digits)
        outcome = run.training_seconds, evaluate(run.model, test).accuracy
        print(f"{recipe.name}, seed {seed}: {outcome[0]:.3f} s, {outcome[1]:.2%}", flush=True)
        yield outcome


def main() -> None:
    """Train, seed by seed."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--recipe", choices=SEEDS, help="this one alone")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    device = pick_device(options.device)
    digits, test = (part.to(device) for part in load_mnist())
    train(FAST, digits)
    rows = []
    for name in [options.recipe] if options.recipe else ["fast", "balanced", "accurate"]:
        seconds, accuracies = zip(*measured(RECIPES[name], digits, test), strict=True)
        spread = f"{statistics.mean(accuracies):.2%} ± {statistics.stdev(accuracies):.2%}"
        rows.append((name, str(len(seconds)), spread, f"{statistics.median(seconds):.2f} s"))
    print(f"\n{torch.cuda.get_device_name(device) if device.type == 'cuda' else device}")
    print(table(("recipe", "seeds", "test accuracy", "training time"), rows))


if __name__ == "__main__":
    main()
