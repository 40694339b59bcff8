"""What the subcommands have in common."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_digits import Digits
from mnist_digits.command.cli import main
from mnist_digits.figures import process
from mnist_digits.reading.reader import SHIPPED


@pytest.mark.slow
def test_all_of_torch_is_there_after_a_command() -> None:
    """Such as torchvision asks for when it is imported."""
    program = (
        "from mnist_digits.command.cli import main\nassert main() == 0\n"
        "from torchvision.datasets import MNIST"
    )
    subprocess.run([sys.executable, "-c", program, "show", str(SHIPPED)], check=True)


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
    assert (tmp_path / "confusion.png").read_bytes() == (
        run_directory / "confusion.png"
    ).read_bytes()


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
    monkeypatch.setattr(process, "PROGRAM", "raise SystemExit(3)")
    run = tmp_path / "run"
    flags = ["--widths", "4", "8", "--hidden", "8", "--output", str(run)]
    assert main(["train", "fast", *flags]) == 0
    told = capsys.readouterr()
    assert f"written to {run}" in told.out
    assert told.err == (
        "mnist-digits: warning: the figures could not be drawn: their process ended with the exit "
        f"status 3; leave them out by --no-figures; everything else is saved in {run}\n"
    )
    assert (run / "result.json").exists()
