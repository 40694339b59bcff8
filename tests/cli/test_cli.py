"""The command line itself, and train, evaluate, show and scenes, as people call them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_line import COMMAND, TINY, Command, run_process, run_python
from PIL import Image

from mnist_digits import Digits, evaluate
from mnist_digits.classifier import checkpoint
from mnist_digits.classifier.recipe import Recipe
from mnist_digits.plots import run_plots
from mnist_digits.reading.reader import SHIPPED


def test_every_field_of_the_recipe_is_a_flag(command: Command) -> None:
    text = command("train", "--help").out
    for field in dataclasses.fields(Recipe):
        assert f"--{field.name.replace('_', '-')} " in text


def test_a_run_is_written_whole(run_directory: Path) -> None:
    assert {path.name for path in run_directory.iterdir()} == {
        *("model.safetensors", "result.json", "predictions.png"),
    }
    result = json.loads((run_directory / "result.json").read_text())
    assert result["test_accuracy"] >= 0.99
    assert result["train_accuracy"] >= 0.99
    assert result["test_accuracy"] == 1 - result["test_errors"] / 10_000
    assert (result["train_images"], result["seed"]) == (60_000, 0)
    assert result["recipe"]["name"] == "fast"
    assert result["versions"]["torch"]
    example = run_directory.with_name("example.png")
    with Image.open(example) as picture:
        assert picture.format == "PNG"
    assert example.read_bytes() == (run_directory / "predictions.png").read_bytes()


@pytest.mark.slow
def test_evaluate_gives_the_very_numbers_of_the_run(
    run_directory: Path, tmp_path: Path, command: Command
) -> None:
    result = json.loads((run_directory / "result.json").read_text())
    again = json.loads(command("evaluate", run_directory, "--no-figures", "--json").out)
    for name in ("train_accuracy", "test_accuracy", "test_errors", "test_calibration_error"):
        assert again[name] == result[name]
    assert len(again["precision"]) == len(again["recall"]) == len(again["confusion"]) == 10

    table = command("evaluate", shutil.copy(run_directory / "model.safetensors", tmp_path)).out
    assert f"{result['test_accuracy']:.2%}" in table
    assert f"{result['train_accuracy']:.2%}" in table
    assert (tmp_path / "confusion.png").stat().st_size > 10_000


@pytest.mark.slow
def test_evaluate_draws_all_figures_of_a_run(
    run_directory: Path, test_set: Digits, tmp_path: Path
) -> None:
    """With nothing of the user's matplotlib: the backend that is named, a folder for settings."""
    written, file = tmp_path / "figures", tmp_path / "file"
    file.touch()
    settings = os.environ | {"MPLBACKEND": "Qt4Agg", "MPLCONFIGDIR": str(file / "folder")}
    done = run_process("evaluate", run_directory, "--output", written, env=settings)
    assert done.stderr == ""
    run = checkpoint.load(run_directory)
    on_test = evaluate(run.model, test_set)
    figures = {
        "predictions.png": run_plots.sample_predictions(test_set, on_test),
        "mistakes.png": run_plots.worst_mistakes(test_set, on_test),
        "confusion.png": run_plots.confusion_matrix(on_test),
        "calibration.png": run_plots.calibration(on_test),
        "curves.png": run_plots.training_curves(run.history),
    }
    assert {path.name for path in written.iterdir()} == set(figures)
    for name, figure in figures.items():
        run_plots.save_figure(figure, tmp_path / name)
        assert (written / name).read_bytes() == (tmp_path / name).read_bytes()


def test_show_tells_recipe_results_and_versions(run_directory: Path, command: Command) -> None:
    text = command("show", run_directory).out
    for line in (r"learning_rate +0.03\n", r"test_accuracy +0\.99", r"torch +\d"):
        assert re.search(line, text)
    shown = json.loads(command("show", run_directory, "--json").out)
    assert shown["result"] == json.loads((run_directory / "result.json").read_text())


BLANK = "blank.png"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "uses", "not_imported"),
    [
        ("--help", "argparse", "torch matplotlib numpy"),
        ("train --help", "argparse", "torch matplotlib numpy"),
        ("--version", "argparse", "torch matplotlib numpy"),
        (f"train {' '.join(TINY)} --output run", "torch", "torchvision matplotlib onnxruntime cv2"),
        (
            f"predict {BLANK}",
            "onnxruntime",
            "torch torchvision matplotlib safetensors importlib.metadata PIL.ImageDraw",
        ),
    ],
)
def test_a_command_imports_nothing_that_it_does_not_use(
    words: str, uses: str, not_imported: str, tmp_path: Path
) -> None:
    Image.new("L", (60, 40), 255).save(tmp_path / BLANK)
    program = (
        "import sys\nimport mnist_digits\nfrom mnist_digits.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\nprint('', *sys.modules)"
    )
    output = run_python(program, *words.split(), cwd=tmp_path)
    imported = set(output.splitlines()[-1].split())
    assert uses in imported
    assert not imported & set(not_imported.split())
    assert not [*tmp_path.glob("run/*.png")]


@pytest.mark.slow
def test_a_reader_that_has_seen_enough(run_directory: Path) -> None:
    show = subprocess.Popen(
        [sys.executable, "-W", "error", *COMMAND[1:], "show", str(run_directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert show.stdout is not None
    show.stdout.close()
    assert show.communicate()[1] == b""


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--json"]])  # the latter is more than Python buffers
def test_full_stdout_is_reported(flags: list[str]) -> None:
    with open("/dev/full", "w") as full:
        options = {"stdout": full, "stderr": subprocess.PIPE}
        said = run_process("show", SHIPPED, *flags, capture_output=False, check=False, **options)
    assert said.returncode == 2
    assert said.stderr.startswith("mnist-digits show: error: cannot write the output: No space")
    assert said.stderr.count("\n") == 1


def test_undecodable_file_name_is_read(tmp_path: Path) -> None:
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    Image.new("L", (60, 40), 255).save(strange)
    said = subprocess.check_output([*COMMAND, "predict", strange])
    assert said.endswith(b"\\udcff.png: no digits found\n")


@pytest.mark.slow
def test_validation_and_json(tmp_path: Path, command: Command) -> None:
    flags = ["--validation", "--json", "--no-figures", "--widths", "8", "16", "--epochs", "2"]
    printed = command("train", *flags, "--output", tmp_path / "run")
    result = json.loads(printed.out)
    assert result["train_images"] == 50_004
    assert result["recipe"]["widths"] == [8, 16]
    assert 0.9 < result["validation_accuracy"] < 1
    assert f"{result['validation_accuracy']:.2%}" in printed.err
    assert f"{result['test_accuracy']:.2%}" in printed.err
    # Evaluating again leaves the same images out of the training accuracy.
    again = json.loads(command("evaluate", tmp_path / "run", "--no-figures", "--json").out)
    assert again["train_accuracy"] == result["train_accuracy"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--epochs", "-1"], "epochs must be a whole number from 1"),
        (["--epochs", "two"], "--epochs: invalid int value"),
        (["--batch-size", "0"], "batch_size must be a whole number from 2 to 60,000, not 0"),
        (["--learning-rate", "nan"], "learning_rate must be a number from"),
        (["--widths", "32"], "widths must be two numbers"),
        (["--precision", "float8"], "precision must be one of auto, float32, bfloat16"),
        (["slow"], "there is no recipe 'slow': choose one of fast, balanced, accurate, record"),
        (["--device", "tpu"], "there is no device 'tpu' here: choose"),
        (["--threads", "0"], "--threads: must be a whole number from 1"),
        (["--epoch-count", "3"], "unrecognized arguments"),
        (["--data", __file__], "name a folder with four files, named as MNIST's"),
        (["--data", "~nobody-has-this-name/x"], "there is no ~nobody-has-this-name/x/train-images"),
        (["--output", "file/run"], "cannot make the folder"),
        (["--output", "run", "--example", "nowhere/example.png"], "there is no folder"),
        ([], "runs is no folder"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Command,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("runs").symlink_to("nowhere")
    assert says in command.refused("train", *arguments)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "runs"}


def test_a_run_is_not_overwritten(run_directory: Path, command: Command) -> None:
    before = (run_directory / "model.safetensors").read_bytes()
    assert "exists already" in command.refused("train", "--output", run_directory)
    assert (run_directory / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("function", "words", "says"),
    [
        ("classifier.loop.augment", "train --output run", "choose a smaller --batch-size"),
        ("reading.documents.read_bounded", f"predict {__file__}", "there is not enough memory"),
    ],
)
def test_too_little_memory(
    function: str,
    words: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Command,
) -> None:
    def too_much(*_: object) -> object:
        return torch.empty(2**60, dtype=torch.uint8) if "train" in words else bytes(2**60)

    monkeypatch.setattr(f"mnist_digits.{function}", too_much)
    monkeypatch.chdir(tmp_path)
    assert says in command(*words.split(), status=2).err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("word", ["evaluate", "show"])
def test_invalid_checkpoint_is_refused(word: str, tmp_path: Path, command: Command) -> None:
    assert "there is no run at" in command.refused(word, tmp_path / "nowhere")
    assert "there is no run at" in command.refused(word, 300 * "long")
    (tmp_path / "model.safetensors").write_bytes(b"garbage")
    assert "does not hold a run" in command.refused(word, tmp_path)


@pytest.mark.slow
def test_nan_loss_removes_the_folder(tmp_path: Path, command: Command) -> None:
    flags = ["--learning-rate", "1000", "--weight-decay", "10", *TINY]
    printed = command("train", *flags, "--output", tmp_path / "run", status=2)
    assert "choose a lower one" in printed.err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_whose_figures_fail_is_told_as_it_is(
    mnist: tuple[Digits, Digits],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Command,
) -> None:
    """It is saved."""
    few = mnist[0][:600], mnist[1]
    monkeypatch.setattr("mnist_digits.cli.train_command.load_data", lambda *_: few)
    run, example = tmp_path / "run", tmp_path / "example.png"
    example.mkdir()
    told = command("train", *TINY[:-1], "--output", run, "--example", example)
    assert f"written to {run}" in told.out
    assert told.err == (
        f"mnist-digits: warning: cannot write the figure {example}: Is a directory; "
        f"everything else is saved in {run}\n"
    )
    assert (run / "result.json").exists()


@pytest.mark.slow
def test_ctrl_c_keeps_the_last_whole_epoch(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(
        [*COMMAND, "train", "--epochs", "1000", *TINY, "--output", str(run)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, it is ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    next(line for line in process.stdout if line.lstrip().startswith("2 "))
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert said.strip().endswith(f"stopped; go on with: mnist-digits train --resume {run}")
    assert not (run / "result.json").exists()
    assert "not finished" in run_process("show", run).stdout


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 10_000)
    except OSError:  # closed on the other side
        return b""


@pytest.mark.slow
def test_a_terminal_gets_a_bar_and_a_pipe_does_not(tmp_path: Path) -> None:
    assert run_process("train", *TINY, "--output", tmp_path / "a").stderr == ""
    fcntl, pty, termios = map(pytest.importorskip, ("fcntl", "pty", "termios"))  # not on Windows
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    words = ["train", *TINY, "--output", str(tmp_path / "b")]
    process = subprocess.Popen([*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    while part := read(ours):
        shown += part
    assert process.wait() == 0
    assert b"epoch 1 of 1" in shown
    assert b"/232" in shown


@pytest.mark.slow
def test_scenes_are_shown(tmp_path: Path, command: Command) -> None:
    output = tmp_path / "scenes.png"
    command("scenes", "--output", output, "--layout", "one", "--features", "boxed")
    assert output.read_bytes().startswith(b"\x89PNG")
    error = command.refused("scenes", "--features", "foxed")
    assert "scenes have no 'foxed': choose among whole, tiny" in error
