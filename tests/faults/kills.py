"""Trainings that are killed at random moments and resumed: the very weights, in the end."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
from itertools import count
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mnist_digits import Run, load
from mnist_digits.cli.main import main

# What the training has besides 60,000 images: everything that must be put back when it goes on.
RECIPES = {
    "plain": [],
    "augmented": ["--shift", "2"],
}
SMALL = ["--epochs", "4", "--widths", "4", "8", "--hidden", "16", "--batch-size", "2000"]
ALWAYS = ["--threads", "1", "--no-figures"]

# Processes are forked from one that has imported torch: few are killed before they train.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    [
        "mnist_digits.cli.main",
        "mnist_digits.classifier.checkpoint",
        "mnist_digits.report",
        "torch._dynamo",
    ]
)


def flags(name: str) -> list[str]:
    return [*SMALL, *RECIPES[name]]


def start(log: Path, moment: int, *arguments: object) -> ForkServerProcess:
    """The command in a process of its own; what it says goes to the end of the log.

    It kills itself at the function call with the number `moment`, wherever that is, and notes the
    number of its calls beside the log if it reaches its end. A share of a measured time would be
    past the end wherever the first run, by which it is measured, was the slower one.
    """
    words = [str(word) for word in arguments]
    process = context.Process(target=_command, args=(log, moment, words))
    process.start()
    return process


def _command(log: Path, moment: int, arguments: list[str]) -> None:
    file = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    calls = count()

    def watch(_frame: object, event: str, _argument: Any) -> None:
        if event in ("call", "c_call") and next(calls) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(watch)
    status = main(arguments)
    sys.setprofile(None)
    log.with_suffix(".calls").write_text(str(next(calls)))
    sys.exit(status)


def undisturbed(folder: Path, name: str, *data: object) -> tuple[Run, int]:
    """A run that nobody stops, and how many functions its process called.

    Args:
        data: flags for other digits than MNIST's.
    """
    log = folder.with_suffix(".log")
    process = start(log, -1, "train", *flags(name), *ALWAYS, *data, "--output", folder)
    process.join()
    assert process.exitcode == 0, log.read_text()
    return load(folder), int(log.with_suffix(".calls").read_text())


def killed_until_finished(
    folder: Path, name: str, random: np.random.Generator, calls: int, most: int, *data: object
) -> int:
    """Have the run's process killed at one of so many calls, and resume it, until it is finished.

    The first `most` times at a random moment, of half as many calls each time, since less and less
    is left to do; then nobody kills it any more. It may be over before its moment.

    Returns how often it was killed. A run of which nothing is saved yet is begun anew.
    """
    kills, log, always = 0, folder.with_suffix(".log"), [*ALWAYS, *data]
    while not (folder / "result.json").exists():
        moment = int(random.integers(calls >> kills)) if kills < most else -1
        if (folder / "training.safetensors").exists():
            process = start(log, moment, "train", "--resume", folder, *always)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            process = start(log, moment, "train", *flags(name), *always, "--output", folder)
        process.join()
        if process.exitcode == -signal.SIGKILL:
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
