"""A run is trained again, and the command tells whether it came out the very same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from command_line import Command

from mnist_digits import load, save
from mnist_digits.cli.main import main

SMALL = ["--widths", "4", "8", "--hidden", "16", "--batch-size", "2000", "--no-figures"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without the validation slice."""
    folder = tmp_path_factory.mktemp("reproduce") / "run"
    assert main(["train", *SMALL, "--validation", "--output", str(folder)]) == 0
    return folder


def test_a_result_tells_what_it_depends_on(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    assert len(result["data_sha256"]) == 64
    assert result["threads"] == torch.get_num_threads()
    assert (result["seed"], result["device"], result["deterministic"]) == (0, "cpu", False)
    assert result["processor"]
    assert result["versions"].keys() >= {"python", "torch", "numpy"}


@pytest.mark.slow
def test_the_very_same(run: Path, command: Command) -> None:
    assert command("reproduce", run).out.endswith("The weights are identical, bit for bit.\n")


@pytest.mark.slow
def test_other_weights_and_why(run: Path, tmp_path: Path, command: Command) -> None:
    changed = load(run)
    with torch.no_grad():
        changed.model.state_dict()["first.0.weight"][0, 0, 0, 0] += 1
    changed.result["versions"]["torch"] = "2.0"
    del changed.result["data_sha256"]
    save(changed, tmp_path)
    text = command("reproduce", tmp_path, status=1).out
    assert "The weights differ: 1 numbers, by 1 at most." in text
    assert f"the version of torch was 2.0, here it is {torch.__version__.split('+')[0]}" in text
    assert "data_sha256 was not recorded; here it is" in text
    changed.result = json.loads((run / "result.json").read_text())
    save(changed, tmp_path)
    told = json.loads(command("reproduce", tmp_path, "--json", status=1).out)
    assert told.pop("largest") == pytest.approx(1)
    assert told == {"identical": False, "differing": 1, "reasons": []}


def test_there_must_be_a_finished_run(run: Path, tmp_path: Path, command: Command) -> None:
    unfinished = load(run)
    unfinished.result = {}
    save(unfinished, tmp_path)
    assert "is not finished" in command.refused("reproduce", tmp_path)
    assert "there is no run" in command.refused("reproduce", tmp_path / "none")
