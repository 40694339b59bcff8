"""Trainings that are killed at random moments and resumed: the very weights, in the end."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import torch

from mnist_digits import Run, load
from mnist_digits.command.cli import main

# What the training has besides 60,000 images: everything that must be put back when it goes on.
RECIPES = {
    "plain": [],
    "augmented": ["--shift", "2"],
    "ensemble": ["--ensemble-size", "2", "--epochs", "2"],
}
SMALL = ["--epochs", "4", "--widths", "4", "8", "--hidden", "16", "--batch-size", "2000"]
ALWAYS = ["--threads", "1", "--no-figures"]

# Processes are forked from one that has imported torch: few are killed before they train.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    [
        "mnist_digits.command.cli",
        "mnist_digits.training.checkpoint",
        "mnist_digits.command.report",
    ]
)


def flags(name: str) -> list[str]:
    return [*SMALL, *RECIPES[name]]


def start(log: Path, *arguments: object) -> ForkServerProcess:
    """The command in a process of its own; what it says goes to the end of the log."""
    process = context.Process(target=_command, args=(log, [str(word) for word in arguments]))
    process.start()
    return process


def _command(log: Path, arguments: list[str]) -> None:
    file = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.exit(main(arguments))


def undisturbed(folder: Path, name: str) -> tuple[Run, float]:
    """A run that nobody stops, and how many seconds its process took."""
    started = time.monotonic()
    process = start(folder.with_suffix(".log"), "train", *flags(name), *ALWAYS, "--output", folder)
    process.join()
    assert process.exitcode == 0, folder.with_suffix(".log").read_text()
    return load(folder), time.monotonic() - started


def killed_until_finished(
    folder: Path, name: str, random: np.random.Generator, seconds: float, most: int
) -> int:
    """Kill the run's process after up to so many seconds, and resume it, until it is finished.

    The first `most` times at a random moment; then nobody kills it any more.

    Returns how often it was killed. A run of which nothing is saved yet is begun anew.
    """
    kills, log = 0, folder.with_suffix(".log")
    while not (folder / "result.json").exists():
        if (folder / "training.safetensors").exists():
            process = start(log, "train", "--resume", folder, *ALWAYS)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            process = start(log, "train", *flags(name), *ALWAYS, "--output", folder)
        process.join(random.uniform(0, seconds) if kills < most else None)
        if process.exitcode is None:
            process.kill()
            process.join()
            kills += 1
        elif process.exitcode != 0:
            raise AssertionError(log.read_text())
    return kills


def identical(folder: Path, expected: Run) -> bool:
    """Whether the run in the folder is finished, and every weight and loss is as expected."""
    run = load(folder)
    weights = expected.model.state_dict()
    return (
        run.result == json.loads((folder / "result.json").read_text())
        and [epoch.loss for epoch in run.history] == [epoch.loss for epoch in expected.history]
        and all(torch.equal(value, weights[name]) for name, value in run.model.state_dict().items())
    )
