"""The command, run in this process or in one of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, NamedTuple

import pytest

from mnist_digits.cli.main import main

COMMAND = [sys.executable, "-m", "mnist_digits"]
# Of `train`: a network that is trained in a second.
TINY = ("--widths", "4", "8", "--hidden", "16", "--no-figures")


class Printed(NamedTuple):
    """What a command printed."""

    out: str
    err: str


class Command:
    """Runs the command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: object, status: int = 0) -> Printed:
        """What it prints, `out` and `err`; it must exit with the status."""
        self.capsys.readouterr()
        try:
            exited: object = main([str(word) for word in words])
        except SystemExit as end:
            exited = end.code
        printed = Printed(*self.capsys.readouterr())
        assert exited == status, printed.err
        return printed

    def refused(self, *words: object) -> str:
        """The one line that it prints as it exits with status 2."""
        printed = self(*words, status=2)
        assert printed.out == ""
        assert printed.err.count("\n") == 1, printed.err
        return printed.err


def run_process(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own; options are those of `subprocess.run`."""
    options = {"capture_output": True, "text": True, "check": True} | options
    return subprocess.run([*COMMAND, *map(str, words)], **options)
