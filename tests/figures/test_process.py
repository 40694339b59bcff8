"""Figures that another process draws: the same ones, and what happens if it cannot."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from mnist_digits import Digits, OutputError, Run, evaluate
from mnist_digits.command import steps
from mnist_digits.figures import plots, shown
from mnist_digits.figures.process import Drawing

pytestmark = pytest.mark.slow


def test_they_are_those_that_this_process_would_draw(
    fast_run: Run, mnist: tuple[Digits, Digits], tmp_path: Path
) -> None:
    test = mnist[1]
    on_test = evaluate(fast_run.model, test)
    with Drawing() as drawing:
        with steps.drawn(drawing, test, fast_run, on_test):
            pass
        steps.write_figures(drawing.finished(), tmp_path / "figures")
    for name, figure in {
        "predictions.png": plots.sample_predictions(test, on_test),
        "mistakes.png": plots.worst_mistakes(test, on_test),
        "confusion.png": plots.confusion_matrix(on_test),
        "calibration.png": plots.calibration(on_test),
        "curves.png": plots.training_curves(fast_run.history),
    }.items():
        plots.save_figure(figure, tmp_path / name)
        assert (tmp_path / "figures" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_no_process_is_left_when_the_work_is_stopped() -> None:
    with suppress(KeyboardInterrupt), Drawing():
        (process,) = drawing_processes()
        raise KeyboardInterrupt
    assert not process.is_running()


def test_a_process_that_is_killed_is_told_of(fast_run: Run) -> None:
    with Drawing() as drawing:
        drawing_processes()[0].kill()
        drawing.draw("training_curves", shown.curves(fast_run.history))
        with pytest.raises(OutputError, match=r"could not be drawn: .*leave them out by --no-fig"):
            drawing.finished()


def drawing_processes() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if "figures.process" in " ".join(child.cmdline())]


def test_what_draws_them_needs_no_torch() -> None:
    program = "import sys, mnist_digits.figures.results; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False\n"


def test_what_they_show_needs_no_matplotlib() -> None:
    program = (
        "import sys, mnist_digits.figures.shown, mnist_digits.figures.png\n"
        "print({'torch', 'matplotlib'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "set()\n"
