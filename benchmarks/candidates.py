"""Candidates for a better recipe, judged by their errors on digits of writers not seen.

    python benchmarks/candidates.py FOLDER --workers 6      # on a GPU: some ten minutes
    python benchmarks/candidates.py FOLDER --only record

The training file is in the order of its writers, and the test set has other writers. So each
candidate is trained six times, without one block of 10,000 digits, and judged by its answers to
them: an error for each of the 60,000, as often as it may be wrong. Answers are kept in FOLDER as
NumPy files, so that a candidate is not trained anew, and can be counted together with others.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from answers import table
from numpy.typing import NDArray

from mnist_digits.classifier.evaluation import evaluate
from mnist_digits.classifier.loop import train
from mnist_digits.classifier.recipe import ACCURATE, RECORD, Recipe
from mnist_digits.data.dataset import Digits, load_mnist

BLOCKS, BLOCK = 6, 10_000
PLAIN = replace(ACCURATE, normalization="dataset")
STRONG: dict[str, Any] = {
    "elastic": RECORD.elastic,
    "synthetic_fraction": RECORD.synthetic_fraction,
    "flagged_ones": RECORD.flagged_ones,
    "appearance": RECORD.appearance,
    "negatives": RECORD.negatives,
    "geometry_only_fraction": RECORD.geometry_only_fraction,
}
WIDE: dict[str, Any] = {"widths": RECORD.widths, "hidden": RECORD.hidden}
CANDIDATES = (
    replace(PLAIN, name="plain"),
    replace(PLAIN, name="plain-strong", **STRONG),
    replace(PLAIN, name="plain-strong-64", **STRONG, epochs=64),
    replace(PLAIN, name="plain-wide", **WIDE),
    replace(PLAIN, name="plain-wide-strong", **WIDE, **STRONG),
    ACCURATE,
    replace(ACCURATE, name="64", epochs=64),
    replace(ACCURATE, name="strong-64", **STRONG, epochs=64),
    RECORD,
)


@cache
def digits(device: str) -> Digits:
    """The training digits, on the device."""
    return load_mnist()[0].to(torch.device(device))


def answer(job: tuple[Recipe, int, int, str, Path]) -> str:
    """Train by a recipe and seed without a block, in a worker, and keep the answers to the block.

    Gives a line about it.
    """
    recipe, seed, block, device, folder = job
    torch.set_num_threads(1)
    file = folder / f"{recipe.name}-{seed}-{block}.npy"
    if not file.exists():
        every = digits(device)
        held_out = torch.zeros(len(every), dtype=torch.bool, device=every.device)
        held_out[BLOCK * block : BLOCK * (block + 1)] = True
        run = train(replace(recipe, seed=seed), every[~held_out])
        np.save(file, evaluate(run.model, every[held_out]).probabilities.numpy().astype(np.float16))
    return file.stem


def errors(answers: NDArray[np.float32]) -> int:
    """Wrong ones among answers (60,000, 10)."""
    return int((answers.argmax(axis=1) != load_mnist()[0].labels.numpy()).sum())


def tables(folder: Path, recipes: list[Recipe], seed: int) -> str:
    """The candidates' errors, and those of each two together, whose agreement is told, too."""
    answers = {
        recipe.name: np.concatenate(
            [np.load(folder / f"{recipe.name}-{seed}-{block}.npy") for block in range(BLOCKS)]
        ).astype(np.float32)
        for recipe in recipes
    }
    alone = table(
        ("candidate", "errors of 60,000"),
        [(name, str(errors(each))) for name, each in answers.items()],
    )
    labels = load_mnist()[0].labels.numpy()
    pairs = []
    for (one, first), (other, second) in itertools.combinations(answers.items(), 2):
        wrong = [each.argmax(axis=1) != labels for each in (first, second)]
        agreement = (wrong[0] & wrong[1]).sum() / (wrong[0] | wrong[1]).sum()
        pairs.append((f"{one} and {other}", str(errors(first + second)), f"{agreement:.0%}"))
    return f"{alone}\n\n{table(('together', 'errors', 'of their errors in common'), pairs)}"


def main() -> None:
    """Train what is not there yet, and print the tables."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=[each.name for each in CANDIDATES])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=6)
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    recipes = [each for each in CANDIDATES if not options.only or each.name in options.only]
    jobs = [
        (recipe, options.seed, block, options.device, options.folder)
        for recipe, block in itertools.product(recipes, range(BLOCKS))
    ]
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for line in pool.imap_unordered(answer, jobs):
            print(line, flush=True)
    print(tables(options.folder, recipes, options.seed))


if __name__ == "__main__":
    main()
