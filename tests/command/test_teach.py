"""mnist-digits teach, and train --pictures, as people call them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from writers import save_pictures, sevens

from mnist_digits import Digits, Reader
from mnist_digits.command.cli import main
from mnist_digits.reading.reader import SHIPPED
from mnist_digits.training import export

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def hand(test_set: Digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve pictures: four usual digits, seven odd sevens, and one with a letter."""
    usual, odd = test_set[:5], sevens(7)
    both = Digits(torch.cat([usual.images, odd.images]), torch.cat([usual.labels, odd.labels]))
    labels = ["l", *(str(int(label)) for label in both.labels[1:])]
    return save_pictures(both, tmp_path_factory.mktemp("hand"), labels)


@pytest.fixture(scope="module")
def output(run_directory: Path, hand: Path) -> Path:
    """A run that was taught."""
    folder = hand / "taught"
    base = str(run_directory)
    assert (
        main(["teach", str(hand), "--base", base, "--output", str(folder), "--threads", "1"]) == 0
    )
    return folder


def test_a_taught_run_reads(output: Path, hand: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {file.name for file in output.iterdir()} >= {"model.onnx", "result.json"}
    assert main(["predict", str(hand / "8.png"), "--model", str(output)]) == 0
    assert ": 7  (" in capsys.readouterr().out
    assert Reader.load(output).information["result"]["teaching"]["pictures"] == 11


def test_it_tells_what_it_left_out_and_what_came_of_it(
    run_directory: Path, hand: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["teach", str(hand), "--base", str(run_directory), "--threads", "1", "--json"]
    assert main([*arguments, "--output", str(tmp_path / "run")]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)["teaching"]
    assert told["left_out"] == [
        {"file": "0.png", "reason": "its label 'l' has something else than digits"}
    ]
    for line in (
        "To learn from: 11 digits of 11 pictures",
        "  0.png: its label 'l' has something else than digits",
        "No examples of 3, 5, 6, 8, 9",
        "taught network 6 of 6",
        f"{told['after']['right']} of 11",
        "MNIST's test set: ",
    ):
        assert line in captured.err


def test_a_taught_run_is_taught_again(output: Path, hand: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    arguments = ["--base", str(output), "--output", str(again), "--threads", "1", "--no-figures"]
    assert main(["teach", str(hand), *arguments]) == 0
    assert json.loads((again / "result.json").read_text())["recipe"]["name"] == "fast-taught"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no folder nowhere"),
        (["{hand}", "--base", "nowhere"], "there is no run at nowhere"),
        (["{hand}", "--base", "{shipped}/model.onnx"], "does not hold a run"),
        (["{hand}", "--output", "{hand}"], "exists already"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, hand: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"hand": str(hand), "shipped": str(SHIPPED)}
    assert main(["teach", *(text.format(**places) for text in arguments)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[-1]
    assert lines[-1].startswith("mnist-digits teach: error: ")


def test_what_is_not_exported_is_not_finished(
    run_directory: Path,
    test_set: Digits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "export_run", killed)
    few, run = save_pictures(test_set[:2], tmp_path), tmp_path / "run"
    assert main(["teach", str(few), "--base", str(run_directory), "--output", str(run)]) == 130
    assert not (run / "result.json").exists()
    capsys.readouterr()


def test_what_has_learned_from_pictures_is_not_reproduced(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", str(output)]) == 2
    assert "has learned from pictures" in capsys.readouterr().err


def test_a_training_from_nothing_with_pictures(
    hand: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = ["train", "fast", "--pictures", str(hand), "--output", str(run), "--no-figures"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "To learn from: 11 digits" in shown
    assert f"on {60_000 + 11 * 120:,} images" in shown
    assert json.loads((run / "result.json").read_text())["pictures"] == str(hand)
