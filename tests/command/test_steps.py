"""What the subcommands have in common."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_digits import Digits
from mnist_digits.command.cli import main


@pytest.mark.slow
def test_figures_need_nothing_of_the_users_matplotlib(run_directory: Path, tmp_path: Path) -> None:
    """Neither the backend that the environment names nor a folder for settings."""
    file = tmp_path / "file"
    file.touch()
    environment = os.environ | {"MPLBACKEND": "Qt4Agg", "MPLCONFIGDIR": str(file / "folder")}
    command = [sys.executable, "-m", "mnist_digits", "evaluate", str(run_directory)]
    done = subprocess.run(
        [*command, "--output", str(tmp_path)], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    drawn, before = tmp_path / "predictions.png", run_directory / "predictions.png"
    assert drawn.read_bytes() == before.read_bytes()


@pytest.mark.slow
def test_a_run_whose_figures_fail_is_told_as_it_is(
    mnist: tuple[Digits, Digits],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is saved."""
    few = mnist[0][:600], mnist[1]
    monkeypatch.setattr("mnist_digits.command.train.load_data", lambda *_: few)
    run, example = tmp_path / "run", tmp_path / "example.png"
    example.mkdir()
    flags = ["--widths", "4", "8", "--hidden", "8", "--output", str(run)]
    assert main(["train", "fast", *flags, "--example", str(example)]) == 0
    told = capsys.readouterr()
    assert f"written to {run}" in told.out
    assert told.err == (
        f"mnist-digits: warning: cannot write the figure {example}: Is a directory; "
        f"everything else is saved in {run}\n"
    )
    assert (run / "result.json").exists()
