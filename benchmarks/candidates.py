"""Candidates for a better recipe: errors on digits of unseen writers, and on the test set.

    python benchmarks/candidates.py FOLDER --workers 14 --seconds 280   # on a GPU

The training file is in the order of its writers, and the test set has other writers. So a
candidate is trained without one block of 10,000 digits, and judged by its answers to them; what
is chosen is chosen by these. All answers are kept in FOLDER as NumPy files, `<candidate>-<part>`,
where the part is `block<n>` or `seed<n>`; those of seeds are to the test set, by networks that
have learned from all 60,000. Many trainings run side by side, as one does not fill a GPU.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mnist_digits.data.dataset import Digits, load_mnist
from mnist_digits.training import checkpoint
from mnist_digits.training.evaluation import evaluate
from mnist_digits.training.loop import train
from mnist_digits.training.model import Ensemble
from mnist_digits.training.recipe import ACCURATE, BALANCED, FAST, Recipe

BLOCKS, BLOCK = 4, 10_000
LOOKS: dict[str, Any] = {"appearance": 0.35, "elastic": 1}
FIVE = replace(
    ACCURATE, name="five", kernel=5, widths=(16, 32, 48, 64, 80), hidden=0, dropout=0.3, epochs=20
)
THREE = replace(FIVE, name="three", kernel=3, widths=tuple(range(16, 89, 8)))
CANDIDATES = (
    ACCURATE,
    replace(ACCURATE, name="looks", **LOOKS),
    FIVE,
    replace(FIVE, name="five-looks", **LOOKS),
    # The geometry of the published M5.
    replace(FIVE, name="five-turned", rotation=20, shear=0, scale=0, shift=5),
    THREE,
    replace(FIVE, name="seven", kernel=7, widths=(24, 48, 72, 96), epochs=16),
)
# Whose mean teaches a network of the size of `accurate`.
TEACHERS = ("accurate", "five", "three")


def jobs() -> Iterator[tuple[Recipe, str]]:
    """What to train, the most important first: recipe and part."""
    for part in [f"block{number}" for number in range(BLOCKS)]:
        yield from ((recipe, part) for recipe in reversed(CANDIDATES))
    for seed in range(3):
        yield from ((recipe, f"seed{seed}") for recipe in reversed(CANDIDATES))
    yield from ((BALANCED, f"seed{seed}") for seed in range(5))
    yield from ((ACCURATE, f"seed{seed}") for seed in (3, 4))


@cache
def digits(device: str) -> tuple[Digits, Digits]:
    """The training and the test digits, on the device."""
    train_set, test = load_mnist()
    return train_set.to(torch.device(device)), test.to(torch.device(device))


def parts(train_set: Digits, test: Digits, part: str) -> tuple[Digits, Digits]:
    """What to learn from, and what to answer to."""
    if part.startswith("seed"):
        return train_set, test
    first = BLOCK * int(part.removeprefix("block"))
    held_out = torch.zeros(len(train_set), dtype=torch.bool, device=train_set.device)
    held_out[first : first + BLOCK] = True
    return train_set[~held_out], train_set[held_out]


def run(job: tuple[Recipe, str, str, Path, float, bool]) -> str:
    """Train by a job, in a worker; a line about it, or none where the time is over."""
    recipe, part, device, folder, deadline, taught = job
    torch.set_num_threads(1)
    name = f"{recipe.name}-{part}"
    if time.time() > deadline or (folder / f"{name}.npy").exists():
        return ""
    learn, answer = parts(*digits(device), part)
    seed = int(part[-1])
    teacher = _teacher(folder, part, device) if taught else None
    trained = train(replace(recipe, seed=seed), learn, teacher=teacher)
    evaluation = evaluate(trained.model, answer)
    np.save(folder / f"{name}.npy", evaluation.probabilities.numpy().astype(np.float16))
    (folder / name).mkdir(exist_ok=True)
    checkpoint.save(trained, folder / name)
    told = {
        "errors": evaluation.errors,
        "calibration_error": round(evaluation.calibration_error, 5),
        "seconds": round(trained.training_seconds, 2),
    }
    (folder / f"{name}.json").write_text(json.dumps(told))
    return f"{name} {told}"


def _teacher(folder: Path, part: str, device: str) -> Ensemble:
    members = [checkpoint.load(folder / f"{name}-{part}").model for name in TEACHERS]
    return Ensemble(members).to(device)


def alone(device: str, folder: Path) -> None:
    """Seconds of the smaller recipes with nothing beside them; the first training is a warm-up."""
    learn, test = digits(device)
    train(FAST, learn)
    rows = []
    for recipe, seeds in ((FAST, 10), (BALANCED, 2)):
        for seed in range(seeds):
            trained = train(replace(recipe, seed=seed), learn)
            found = evaluate(trained.model, test)
            rows.append([recipe.name, seed, trained.training_seconds, found.errors])
            print(rows[-1], flush=True)
    (folder / "alone.json").write_text(json.dumps(rows))


def main() -> None:
    """Train all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--seconds", type=float, default=86_400, help="begin nothing after these")
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    deadline = time.time() + options.seconds
    alone(options.device, options.folder)
    about = (options.device, options.folder, deadline)
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.workers) as pool:
        first = [(*job, *about, False) for job in jobs()]
        for line in pool.imap_unordered(run, first):
            print(line, flush=True)
        student = replace(ACCURATE, name="student")
        numbers = [f"block{number}" for number in range(BLOCKS)] + [f"seed{n}" for n in range(3)]
        for line in pool.imap_unordered(run, [(student, part, *about, True) for part in numbers]):
            print(line, flush=True)


if __name__ == "__main__":
    main()
