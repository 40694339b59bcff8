"""A run is trained again, and the command tells whether it came out the very same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from command_line import TINY, Command

from mnist_digits import load, save


@pytest.mark.slow
def test_the_very_same_or_other_weights_and_why(tmp_path: Path, command: Command) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    command("train", *TINY, "--batch-size", "2000", "--validation", "--output", run)
    result = json.loads((run / "result.json").read_text())
    # What a run depends on.
    assert len(result["data_sha256"]) == 64
    assert result["threads"] == torch.get_num_threads()
    assert (result["seed"], result["device"], result["deterministic"]) == (0, "cpu", False)
    assert result["processor"]
    assert result["versions"].keys() >= {"python", "torch", "numpy"}
    assert command("reproduce", run).out.endswith("The weights are identical, bit for bit.\n")

    other.mkdir()
    changed = load(run)
    with torch.no_grad():
        changed.model.state_dict()["first.0.weight"][0, 0, 0, 0] += 1
    changed.result["versions"]["torch"] = "2.0"
    del changed.result["data_sha256"]
    save(changed, other)
    text = command("reproduce", other, status=1).out
    assert "The weights differ: 1 numbers, by 1 at most." in text
    assert f"the version of torch was 2.0, here it is {torch.__version__.split('+')[0]}" in text
    assert "data_sha256 was not recorded; here it is" in text
    changed.result = result
    save(changed, other)
    told = json.loads(command("reproduce", other, "--json", status=1).out)
    assert told.pop("largest") == pytest.approx(1)
    assert told == {"identical": False, "differing": 1, "reasons": []}


def test_there_must_be_a_finished_run(
    run_directory: Path, tmp_path: Path, command: Command
) -> None:
    unfinished = load(run_directory)
    unfinished.result = {}
    save(unfinished, tmp_path)
    assert "is not finished" in command.refused("reproduce", tmp_path)
    assert "there is no run" in command.refused("reproduce", tmp_path / "none")
