"""mnist-digits teach, and train --pictures, as people call them."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from command_line import TINY, Command
from writers import save_pictures, sevens

from mnist_digits import Digits, Reader
from mnist_digits.classifier import export
from mnist_digits.reading.reader import SHIPPED

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def hand(test_set: Digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve pictures: four usual digits, seven odd sevens, and one with a letter."""
    usual, odd = test_set[:5], sevens(7)
    both = Digits(torch.cat([usual.images, odd.images]), torch.cat([usual.labels, odd.labels]))
    labels = ["l", *(str(int(label)) for label in both.labels[1:])]
    return save_pictures(both, tmp_path_factory.mktemp("hand"), labels)


@pytest.mark.slow
def test_a_taught_run_reads_and_tells_what_came_of_it_and_is_taught_again(
    tiny_run: Path, hand: Path, tmp_path: Path, command: Command
) -> None:
    run, again = tmp_path / "run", tmp_path / "again"
    flags = ["--steps", "40", "--folds", "2", "--threads", "1"]
    printed = command("teach", hand, "--base", tiny_run, "--output", run, *flags, "--json")
    result = json.loads((run / "result.json").read_text())
    assert json.loads(printed.out) == Reader.load(run).information["result"] == result
    summary = result["teaching"]
    reason = "its label 'l' has something else than digits"
    assert summary["pictures"] == 11
    assert summary["left_out"] == [{"file": "0.png", "reason": reason}]
    for line in (
        "To learn from: 11 digits of 11 pictures",
        f"  0.png: {reason}",
        "No examples of 3, 5, 6, 8, 9",
        "taught network 3 of 3",
        f"{summary['after']['right']} of 11",
        "MNIST's test set: ",
    ):
        assert line in printed.err
    assert ": 7  (" in command("predict", hand / "8.png", "--model", run).out
    # From the pictures of its user nobody else can train it again.
    assert "has learned from pictures" in command.refused("reproduce", run)
    command("teach", hand, "--base", run, "--output", again, *flags)
    assert json.loads((again / "result.json").read_text())["recipe"]["name"] == "fast-taught"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "there is no folder nowhere"),
        (["{hand}", "--base", "nowhere"], "there is no run at nowhere"),
        (["{hand}", "--base", "{shipped}/model.onnx"], "does not hold a run"),
        (["{hand}", "--output", "{hand}"], "exists already"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], says: str, hand: Path, command: Command
) -> None:
    words = [text.format(hand=hand, shipped=SHIPPED) for text in arguments]
    *_, line = command("teach", *words, status=2).err.splitlines()
    assert line.startswith("mnist-digits teach: error: ")
    assert says in line


def test_what_is_not_exported_is_not_finished(
    tiny_run: Path,
    test_set: Digits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Command,
) -> None:
    monkeypatch.setattr(export, "export_run", Mock(side_effect=KeyboardInterrupt))
    few, run = save_pictures(test_set[:2], tmp_path), tmp_path / "run"
    flags = ["--steps", "2", "--threads", "1"]
    command("teach", few, "--base", tiny_run, "--output", run, *flags, status=130)
    assert not (run / "result.json").exists()


def test_a_training_from_nothing_with_pictures(
    hand: Path, tmp_path: Path, command: Command
) -> None:
    run = tmp_path / "run"
    shown = command("train", *TINY, "--pictures", hand, "--output", run).out
    assert "To learn from: 11 digits" in shown
    assert f"on {60_000 + 11 * 120:,} images" in shown
    assert json.loads((run / "result.json").read_text())["pictures"] == str(hand)
