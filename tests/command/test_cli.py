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
from PIL import Image

from mnist_digits import Digits, evaluate
from mnist_digits.command.cli import main
from mnist_digits.figures import plots
from mnist_digits.reading.reader import SHIPPED
from mnist_digits.training import checkpoint
from mnist_digits.training import loop as training
from mnist_digits.training.recipe import Recipe

COMMAND = [sys.executable, "-W", "error", "-m", "mnist_digits"]


def failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run the command, which must exit with status 2; returns its one line."""
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as exit_of_argparse:
        status = exit_of_argparse.code  # type: ignore[assignment]
    assert status == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


def test_help_and_version_do_not_import_torch() -> None:
    program = (
        "import sys, mnist_digits, mnist_digits.command.cli as cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print('heavy:', {'torch', 'matplotlib', 'numpy'} & set(sys.modules))"
    )
    for arguments in (["--help"], ["train", "--help"], ["--version"]):
        command = [sys.executable, "-c", program, *arguments]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert output.endswith("heavy: set()\n")


def test_every_field_of_the_recipe_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
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
    assert result["train_images"] == 60_000
    assert result["seed"] == 0
    assert result["recipe"]["name"] == "fast"
    assert result["versions"]["torch"]
    example = run_directory.with_name("example.png")
    with Image.open(example) as picture:
        assert picture.format == "PNG"
    assert example.read_bytes() == (run_directory / "predictions.png").read_bytes()


@pytest.mark.slow
def test_evaluate_gives_the_very_numbers_of_the_run(
    run_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = json.loads((run_directory / "result.json").read_text())
    assert main(["evaluate", str(run_directory), "--no-figures", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    for name in ("train_accuracy", "test_accuracy", "test_errors", "test_calibration_error"):
        assert again[name] == result[name]
    assert len(again["precision"]) == len(again["recall"]) == len(again["confusion"]) == 10

    file = shutil.copy(run_directory / "model.safetensors", tmp_path)
    assert main(["evaluate", str(file)]) == 0
    table = capsys.readouterr().out
    assert f"{result['test_accuracy']:.2%}" in table
    assert f"{result['train_accuracy']:.2%}" in table
    assert (tmp_path / "confusion.png").stat().st_size > 10_000


@pytest.mark.slow
def test_evaluate_draws_all_figures_of_a_run(
    run_directory: Path, test_set: Digits, tmp_path: Path
) -> None:
    written = tmp_path / "figures"
    assert main(["evaluate", str(run_directory), "--output", str(written)]) == 0
    run, test = checkpoint.load(run_directory), test_set
    on_test = evaluate(run.model, test)
    figures = {
        "predictions.png": plots.sample_predictions(test, on_test),
        "mistakes.png": plots.worst_mistakes(test, on_test),
        "confusion.png": plots.confusion_matrix(on_test),
        "calibration.png": plots.calibration(on_test),
        "curves.png": plots.training_curves(run.history),
    }
    assert {path.name for path in written.iterdir()} == set(figures)
    for name, figure in figures.items():
        plots.save_figure(figure, tmp_path / name)
        assert (written / name).read_bytes() == (tmp_path / name).read_bytes()


def test_show_tells_recipe_results_and_versions(
    run_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(run_directory)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"learning_rate +0.03\n", text)
    assert re.search(r"test_accuracy +0\.99", text)
    assert re.search(r"torch +\d", text)
    assert main(["show", str(run_directory), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["result"] == json.loads((run_directory / "result.json").read_text())


def imported_by(*arguments: str) -> set[str]:
    """The modules that a process has imported when it has done a command."""
    program = "import sys\nfrom mnist_digits.command.cli import main\nmain()\nprint(*sys.modules)"
    command = [sys.executable, "-c", program, *arguments]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return set(output.splitlines()[-1].split())


@pytest.mark.slow
def test_training_imports_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    flags = ["--widths", "4", "8", "--hidden", "8", "--no-figures"]
    imported = imported_by("train", "fast", *flags, "--output", str(tmp_path / "run"))
    assert "torch" in imported
    assert not imported & {"torchvision", "matplotlib", "onnxruntime", "cv2"}
    assert not list((tmp_path / "run").glob("*.png"))


def test_reading_imports_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    Image.new("L", (60, 40), 255).save(tmp_path / "blank.png")
    imported = imported_by("predict", str(tmp_path / "blank.png"))
    assert "onnxruntime" in imported
    assert not imported & {"torch", "matplotlib", "importlib.metadata", "PIL.ImageDraw"}


@pytest.mark.slow
def test_a_reader_that_has_seen_enough(run_directory: Path) -> None:
    show = subprocess.Popen(
        [*COMMAND, "show", str(run_directory)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert show.stdout is not None
    show.stdout.close()
    assert show.communicate()[1] == b""


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--json"]])  # the latter is more than Python buffers
def test_an_output_that_takes_nothing(flags: list[str]) -> None:
    command = [*COMMAND, "show", str(SHIPPED), *flags]
    with open("/dev/full", "w") as full:
        said = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert said.returncode == 2
    assert said.stderr.startswith("mnist-digits show: error: cannot write the output: No space")
    assert said.stderr.count("\n") == 1


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    Image.new("L", (60, 40), 255).save(tmp_path / "blank.png")
    strange = os.fsencode(tmp_path) + b"/\xff.png"
    os.rename(tmp_path / "blank.png", strange)
    command = [*COMMAND, "predict", os.fsdecode(strange)]
    said = subprocess.run(command, capture_output=True, check=True).stdout
    assert said.endswith(b"\\udcff.png: no digits found\n")


@pytest.mark.slow
def test_validation_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--validation", "--json", "--no-figures", "--widths", "8", "16", "--epochs", "2"]
    assert main(["train", *flags, "--output", str(tmp_path / "run")]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["train_images"] == 50_004
    assert result["recipe"]["widths"] == [8, 16]
    assert 0.9 < result["validation_accuracy"] < 1
    assert f"{result['validation_accuracy']:.2%}" in captured.err
    assert f"{result['test_accuracy']:.2%}" in captured.err
    # Evaluating again leaves the same images out of the training accuracy.
    assert main(["evaluate", str(tmp_path / "run"), "--no-figures", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["train_accuracy"] == result["train_accuracy"]


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
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in failure(capsys, "train", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be(
    run_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run_directory / "model.safetensors").read_bytes()
    assert "exists already" in failure(capsys, "train", "--output", run_directory)
    assert (run_directory / "model.safetensors").read_bytes() == before
    (tmp_path / "file").touch()
    assert "cannot make the folder" in failure(capsys, "train", "--output", tmp_path / "file" / "x")
    nowhere = tmp_path / "nowhere" / "example.png"
    said = failure(capsys, "train", "--output", tmp_path / "run", "--example", nowhere)
    assert "there is no folder" in said
    assert not (tmp_path / "run").exists()


def test_a_link_to_nowhere_in_the_place_of_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to(tmp_path / "nowhere")
    assert "runs is no folder" in failure(capsys, "train")


def test_too_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def too_much(*_: object) -> None:
        torch.empty(2**60, dtype=torch.uint8)

    monkeypatch.setattr(training, "augment", too_much)
    assert main(["train", "--output", str(tmp_path / "run")]) == 2
    assert "choose a smaller --batch-size" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_too_little_memory_for_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def too_much(_: object) -> bytes:
        return bytes(2**60)

    monkeypatch.setattr("mnist_digits.reading.documents.read_bounded", too_much)
    assert "error: there is not enough memory" in failure(capsys, "predict", __file__)


@pytest.mark.parametrize("command", ["evaluate", "show"])
def test_a_checkpoint_that_is_none(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "there is no run at" in failure(capsys, command, tmp_path / "nowhere")
    assert "there is no run at" in failure(capsys, command, 300 * "long")
    (tmp_path / "model.safetensors").write_bytes(b"garbage")
    assert "does not hold a run" in failure(capsys, command, tmp_path)


@pytest.mark.slow
def test_a_loss_that_is_no_number_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--learning-rate", "1000", "--weight-decay", "10", "--widths", "4", "8"]
    flags += ["--output", str(tmp_path / "run")]
    assert main(["train", *flags]) == 2
    assert "choose a lower one" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_ctrl_c_keeps_the_last_whole_epoch(
    tmp_path: Path,
) -> None:
    flags = ["--epochs", "1000", "--widths", "4", "8", "--output", str(tmp_path / "run")]
    process = subprocess.Popen(
        [*COMMAND, "train", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, it is ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.lstrip().startswith("2 "):
            break
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert said.strip().endswith(f"stopped; go on with: mnist-digits train --resume {tmp_path}/run")
    assert not (tmp_path / "run" / "result.json").exists()
    shown = subprocess.run(
        [*COMMAND, "show", str(tmp_path / "run")], capture_output=True, text=True, check=True
    )
    assert "not finished" in shown.stdout


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 10_000)
    except OSError:  # closed on the other side
        return b""


@pytest.mark.slow
def test_a_terminal_gets_a_bar_and_a_pipe_does_not(
    tmp_path: Path,
) -> None:
    flags = ["--widths", "4", "8", "--no-figures", "--output"]
    piped = subprocess.run(
        [*COMMAND, "train", *flags, str(tmp_path / "a")], capture_output=True, text=True, check=True
    )
    assert piped.stderr == ""
    fcntl, pty, termios = map(pytest.importorskip, ("fcntl", "pty", "termios"))  # not on Windows
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, "train", *flags, str(tmp_path / "b")], stdout=subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    while part := read(ours):
        shown += part
    assert process.wait() == 0
    assert b"epoch 1 of 1" in shown
    assert b"/232" in shown


@pytest.mark.slow
def test_scenes_are_shown(tmp_path: Path) -> None:
    output = tmp_path / "scenes.png"
    assert main(["scenes", "--output", str(output), "--layout", "one", "--features", "boxed"]) == 0
    assert output.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_scenes_that_there_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenes", "--features", "foxed"]) == 2
    assert "scenes have no 'foxed': choose among whole, tiny" in capsys.readouterr().err
