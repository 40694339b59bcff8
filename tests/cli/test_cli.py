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
from unittest.mock import Mock

import pytest
import torch
from command_line import COMMAND, TINY, Command, run_process
from PIL import Image

from mnist_digits import Digits, Run, evaluate
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
def test_evaluate_gives_the_very_numbers_of_the_run_and_draws_all_figures(
    run_directory: Path, fast_run: Run, test_set: Digits, tmp_path: Path, command: Command
) -> None:
    result = json.loads((run_directory / "result.json").read_text())
    # Nothing of the user's matplotlib matters: the backend that is named, a folder for settings.
    (tmp_path / "file").touch()
    settings = {"MPLBACKEND": "Qt4Agg", "MPLCONFIGDIR": str(tmp_path / "file" / "folder")}
    written, words = tmp_path / "figures", ["evaluate", run_directory, "--json", "--output"]
    done = run_process(*words, written, env=os.environ | settings)
    assert done.stderr == ""
    again = json.loads(done.stdout)
    for name in ("train_accuracy", "test_accuracy", "test_errors", "test_calibration_error"):
        assert again[name] == result[name]
    assert len(again["precision"]) == len(again["recall"]) == len(again["confusion"]) == 10
    on_test = evaluate(fast_run.model, test_set)
    figures = {
        "predictions.png": run_plots.sample_predictions(test_set, on_test),
        "mistakes.png": run_plots.worst_mistakes(test_set, on_test),
        "confusion.png": run_plots.confusion_matrix(on_test),
        "calibration.png": run_plots.calibration(on_test),
        "curves.png": run_plots.training_curves(fast_run.history),
    }
    assert {path.name for path in written.iterdir()} == set(figures)
    for name, figure in figures.items():
        run_plots.save_figure(figure, tmp_path / "expected.png")
        assert (written / name).read_bytes() == (tmp_path / "expected.png").read_bytes()
    # The weights alone are a run, too; the figures go where they are.
    table = command("evaluate", shutil.copy(run_directory / "model.safetensors", tmp_path)).out
    assert f"{result['test_accuracy']:.2%}" in table
    assert f"{result['train_accuracy']:.2%}" in table
    assert (tmp_path / "confusion.png").read_bytes() == (written / "confusion.png").read_bytes()


def test_show_tells_recipe_results_and_versions(run_directory: Path, command: Command) -> None:
    text = command("show", run_directory).out
    for line in (r"learning_rate +0.03\n", r"test_accuracy +0\.99", r"torch +\d"):
        assert re.search(line, text)
    shown = json.loads(command("show", run_directory, "--json").out)
    assert shown["result"] == json.loads((run_directory / "result.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "uses", "not_imported"),
    [
        ("--help", "argparse", "torch matplotlib numpy"),
        ("--version", "argparse", "torch matplotlib numpy"),
        (f"train {' '.join(TINY)} --output run", "torch", "torchvision matplotlib onnxruntime cv2"),
        (
            "predict blank.png",
            "onnxruntime",
            "torch torchvision matplotlib safetensors importlib.metadata PIL.ImageDraw",
        ),
    ],
)
def test_a_command_imports_nothing_that_it_does_not_use(
    words: str, uses: str, not_imported: str, tmp_path: Path
) -> None:
    Image.new("L", (60, 40), 255).save(tmp_path / "blank.png")
    program = (
        "import sys\nimport mnist_digits\nfrom mnist_digits.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\nprint('', *sys.modules)"
    )
    words_of_python = [sys.executable, "-c", program, *words.split()]
    output = subprocess.check_output(words_of_python, text=True, cwd=tmp_path)
    imported = set(output.splitlines()[-1].split())
    assert uses in imported
    assert not imported & set(not_imported.split())
    assert not [*tmp_path.glob("run/*.png")]


@pytest.mark.slow
def test_a_reader_that_has_seen_enough(run_directory: Path) -> None:
    words = [sys.executable, "-W", "error", *COMMAND[1:], "show", str(run_directory)]
    show = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
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
    printed = command("train", *TINY, "--validation", "--json", "--output", tmp_path / "run")
    result = json.loads(printed.out)
    assert result["train_images"] == 50_004
    assert result["recipe"]["widths"] == [4, 8]
    assert 0.9 < result["validation_accuracy"] < 1
    assert f"{result['validation_accuracy']:.2%}" in printed.err
    assert f"{result['test_accuracy']:.2%}" in printed.err
    # Evaluating again leaves the same images out of the training accuracy.
    again = json.loads(command("evaluate", tmp_path / "run", "--no-figures", "--json").out)
    assert again["train_accuracy"] == result["train_accuracy"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--epochs", "two"], "--epochs: invalid int value"),
        (["--batch-size", "0"], "batch_size must be a whole number from 2 to 60,000, not 0"),
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
    assert not Path("run").exists()


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
def test_a_run_whose_figures_fail_is_saved_and_told_as_it_is(
    mnist: tuple[Digits, Digits], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    few = mnist[0][:600], mnist[1][:600]
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
def test_ctrl_c_keeps_the_last_whole_epoch(tmp_path: Path, command: Command) -> None:
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
    next(line for line in process.stdout if line.lstrip().startswith("1 "))
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    # Nothing else, such as a bar, which is for terminals.
    stopped = "mnist-digits train: stopped; go on with: mnist-digits train --resume"
    assert said == f"\n{stopped} {run}\n"
    assert not (run / "result.json").exists()
    assert "not finished" in command("show", run).out


@pytest.mark.slow
def test_a_terminal_gets_a_bar(tmp_path: Path) -> None:
    fcntl, pty, termios = map(pytest.importorskip, ("fcntl", "pty", "termios"))  # not on Windows
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    words = ["train", *TINY, "--output", str(tmp_path / "run")]
    process = subprocess.Popen([*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while b"/232" not in shown:
            shown += os.read(ours, 10_000)  # it raises an error if the process has ended
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b"epoch 1 of 1" in shown


@pytest.mark.slow
def test_scenes_are_shown_as_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    draw = Mock(return_value=b"a sheet")
    monkeypatch.setattr("mnist_digits.synthesis.scene.contact_sheet", draw)
    flags = ["--seed", 3, "--layout", "one", "--features", "boxed", "shadow", "--truth"]
    command("scenes", "--output", tmp_path / "scenes.png", *flags)
    assert draw.call_args.args[1:] == (3, "one", ["boxed", "shadow"], True)
    assert (tmp_path / "scenes.png").read_bytes() == b"a sheet"
