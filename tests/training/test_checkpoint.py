from __future__ import annotations

import dataclasses
import json
import pickle
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from mnist_digits import (
    FAST,
    CheckpointError,
    Digits,
    Run,
    evaluate,
    load,
    new_directory,
    save,
)
from mnist_digits.training.checkpoint import CHECKSUM, content_checksum

FINISHED = {"model.safetensors", "result.json"}


def tampered(file: Path, **fields: str) -> None:
    """Write the run's file anew with these fields of its header changed."""
    with safetensors.safe_open(file, framework="pt") as tensors:
        header = tensors.metadata() | fields
    safetensors.torch.save_file(safetensors.torch.load_file(file), file, header)


def forged(file: Path, **fields: str) -> None:
    """The same with the checksum that fits."""
    tampered(file, **fields)
    with safetensors.safe_open(file, framework="pt") as tensors:
        header = tensors.metadata()
    tampered(file, **{CHECKSUM: content_checksum(safetensors.torch.load_file(file), header)})


@pytest.fixture
def file(run_directory: Path, tmp_path: Path) -> Path:
    """A run's `model.safetensors`, to be damaged."""
    return Path(shutil.copy(run_directory / "model.safetensors", tmp_path))


def test_a_run_comes_back_as_it_was(fast_run: Run, test_set: Digits, tmp_path: Path) -> None:
    save(fast_run, tmp_path)
    again = load(tmp_path)
    assert again.recipe == fast_run.recipe
    assert again.history == fast_run.history
    assert again.training_seconds == fast_run.training_seconds
    few = test_set[:1000]
    before, after = evaluate(fast_run.model, few), evaluate(again.model, few)
    assert torch.equal(before.probabilities, after.probabilities)


def test_the_file_alone_will_do(file: Path) -> None:
    assert load(file).recipe == FAST


def test_a_finished_run_has_a_result(run_directory: Path, tmp_path: Path, fast_run: Run) -> None:
    result = json.loads((run_directory / "result.json").read_text())
    assert load(run_directory).result == result
    save(fast_run, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"training.safetensors"}


def test_a_run_is_one_file_until_it_is_finished(
    fast_run: Run, run_directory: Path, tmp_path: Path
) -> None:
    save(fast_run, tmp_path)
    begun = load(tmp_path)
    assert begun.result == {}
    assert begun.state.keys() == fast_run.state.keys()
    finished = load(run_directory)
    save(finished, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FINISHED
    assert load(tmp_path).result == finished.result
    assert load(tmp_path).state == {}
    # What the header says of the run is not said again in its result.
    with safetensors.safe_open(tmp_path / "model.safetensors", framework="pt") as tensors:
        header = tensors.metadata()
    assert not json.loads(header["result"]).keys() & finished.facts().keys()


def garbage(file: Path) -> None:
    file.write_bytes(b"\x00\xff" * 5000)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def foreign(file: Path) -> None:
    safetensors.torch.save_file({"weight": torch.zeros(3)}, file)


def other_network(file: Path) -> None:
    forged(file, recipe=dataclasses.replace(FAST, widths=(32, 65)).to_json())


def huge_network(file: Path) -> None:
    forged(file, recipe=json.dumps({"widths": [10**12, 10**12]}))


def broken_recipe(file: Path) -> None:
    forged(file, recipe="{")


def not_json(file: Path) -> None:
    forged(file, result="[" * 100_000)


def flipped_weight(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1000] ^= 4
    file.write_bytes(content)


def changed_result(file: Path) -> None:
    tampered(file, result='{"test_accuracy": 1.0}')


def changed_seed(file: Path) -> None:
    tampered(file, recipe=dataclasses.replace(FAST, seed=1).to_json())


def other_type(file: Path) -> None:
    weights = safetensors.torch.load_file(file)
    with safetensors.safe_open(file, framework="pt") as tensors:
        header = tensors.metadata()
    halves = {name: value.half() for name, value in weights.items()}
    safetensors.torch.save_file(halves, file, header)


@pytest.mark.parametrize(
    "damage",
    [
        *(flipped_weight, changed_result, changed_seed, garbage, empty, truncated, foreign),
        *(other_network, huge_network, broken_recipe, not_json, other_type),
    ],
)
def test_a_damaged_file_is_refused(file: Path, damage: Callable[[Path], None]) -> None:
    damage(file)
    with pytest.raises(CheckpointError, match="does not hold a run"):
        load(file)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("loss", "small"),
        ("loss", [1.0]),
        ("loss", 10**400),
        ("validation_accuracy", "high"),
        ("loss_curve", 0.5),
        ("loss_curve", [[0.5]]),
        ("epochs", 2),
    ],
)
def test_a_history_that_is_not_one_is_refused(file: Path, field: str, value: object) -> None:
    epoch = dataclasses.asdict(load(file).history[0])
    forged(file, history=json.dumps([epoch]))
    load(file)
    forged(file, history=json.dumps([epoch | {field: value}]))
    with pytest.raises(CheckpointError, match="header is damaged"):
        load(file)


@pytest.mark.parametrize(
    "result", [[1], {"versions": [1]}, {"threads": "2"}, {"threads": 10**6}, {"threads": 0}]
)
def test_a_result_that_is_not_one_is_refused(file: Path, result: object) -> None:
    forged(file, result=json.dumps(result))
    with pytest.raises(CheckpointError, match="header is damaged"):
        load(file)


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_a_pickle_is_never_loaded(tmp_path: Path, writer: str) -> None:
    trap = Trap(tmp_path / "sprung")
    file = tmp_path / "model.safetensors"
    if writer == "pickle":
        file.write_bytes(pickle.dumps(trap))
    else:
        torch.save(trap, file)
    with pytest.raises(CheckpointError, match="does not hold a run"):
        load(file)
    assert not trap.path.exists()


def test_where_there_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no run at"):
        load(tmp_path)
    with pytest.raises(CheckpointError, match="there is no run at"):
        load(tmp_path / "nowhere")


def test_new_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Three in the same second, or at least in no more than two.
    names = {new_directory(FAST) for _ in range(3)}
    assert len(names) == 3
    assert all(name.parent == Path("runs") and "-fast" in name.name for name in names)
    with pytest.raises(CheckpointError, match="exists already: choose another folder"):
        new_directory(FAST, min(names))
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot make the folder"):
        new_directory(FAST, tmp_path / "file" / "run")


@pytest.mark.parametrize("finished", [False, True])
def test_a_full_disk_leaves_the_run_that_was_there(
    fast_run: Run, run_directory: Path, tmp_path: Path, finished: bool
) -> None:
    run = load(run_directory) if finished else fast_run
    save(run, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert before.keys() == (FINISHED if finished else {"training.safetensors"})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow beyond 1 kB: writing the weights fails as it does on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(CheckpointError, match="make room there, or choose another folder"):
            save(run, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
