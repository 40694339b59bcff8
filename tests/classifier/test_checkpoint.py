from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from full_disk import files_of_at_most

from mnist_digits import (
    FAST,
    CheckpointError,
    Digits,
    Run,
    evaluate,
    load,
    new_directory,
    save,
    train,
)
from mnist_digits.classifier.checkpoint import CHECKSUM, content_checksum


def header(file: Path) -> dict[str, str]:
    with safetensors.safe_open(file, framework="pt") as tensors:
        return dict(tensors.metadata())


def tampered(file: Path, **fields: str) -> None:
    """Write the run's file anew with these fields of its header changed."""
    told = header(file) | fields
    safetensors.torch.save_file(safetensors.torch.load_file(file), file, told)


def forged(file: Path, **fields: str) -> None:
    """The same with the checksum that fits."""
    tampered(file, **fields)
    checksum = content_checksum(safetensors.torch.load_file(file), header(file))
    tampered(file, **{CHECKSUM: checksum})


@pytest.fixture(scope="module")
def begun(training_set: Digits) -> Run:
    """A run that is not finished."""
    return train(replace(FAST, widths=(4, 8), hidden=16), training_set[:600])


@pytest.fixture
def file(run_directory: Path, tmp_path: Path) -> Path:
    """A run's `model.safetensors`, to be damaged."""
    return Path(shutil.copy(run_directory / "model.safetensors", tmp_path))


def test_a_run_is_one_file_until_it_is_finished_and_comes_back_as_it_was(
    begun: Run, fast_run: Run, run_directory: Path, test_set: Digits, tmp_path: Path
) -> None:
    save(begun, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"training.safetensors"}
    assert load(tmp_path).result == {}
    assert load(tmp_path).state.keys() == begun.state.keys()
    save(fast_run, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "result.json"}
    again = load(tmp_path / "model.safetensors")
    assert again.state == {}
    assert again.recipe == fast_run.recipe == FAST
    assert again.history == fast_run.history
    assert again.training_seconds == fast_run.training_seconds
    assert again.result == json.loads((run_directory / "result.json").read_text())
    few = test_set[:1000]
    before, after = evaluate(fast_run.model, few), evaluate(again.model, few)
    assert torch.equal(before.probabilities, after.probabilities)
    # What the header says of the run is not said again in its result.
    stored = json.loads(header(tmp_path / "model.safetensors")["result"])
    assert not stored.keys() & fast_run.facts().keys()


def other_type(file: Path) -> None:
    halves = {name: value.half() for name, value in safetensors.torch.load_file(file).items()}
    safetensors.torch.save_file(halves, file, header(file))


DAMAGES: dict[str, Callable[[Path], object]] = {
    # Any bytes are damaged in tests/faults.
    "empty": lambda file: file.write_bytes(b""),
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-1000]),
    "foreign": lambda file: safetensors.torch.save_file({"weight": torch.zeros(3)}, file),
    "other network": lambda file: forged(file, recipe=replace(FAST, widths=(32, 65)).to_json()),
    "huge network": lambda file: forged(file, recipe=json.dumps({"widths": [10**12, 10**12]})),
    "broken recipe": lambda file: forged(file, recipe="{"),
    "not JSON": lambda file: forged(file, result="[" * 100_000),
    "changed result": lambda file: tampered(file, result='{"test_accuracy": 1.0}'),
    "changed seed": lambda file: tampered(file, recipe=replace(FAST, seed=1).to_json()),
    "other type": other_type,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused(damage: str, file: Path) -> None:
    DAMAGES[damage](file)
    with pytest.raises(CheckpointError, match="does not hold a run"):
        load(file)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("loss", ("small", [1.0], 10**400)),
        ("validation_accuracy", ("high",)),
        ("loss_curve", (0.5, [[0.5]])),
        ("epochs", (2,)),
    ],
)
def test_invalid_history_is_refused(file: Path, name: str, values: tuple[object, ...]) -> None:
    epoch = asdict(load(file).history[0])
    forged(file, history=json.dumps([epoch]))
    load(file)
    for value in values:
        forged(file, history=json.dumps([epoch | {name: value}]))
        with pytest.raises(CheckpointError, match="header is damaged"):
            load(file)


@pytest.mark.parametrize(
    "result", [[1], {"versions": [1]}, {"threads": "2"}, {"threads": 10**6}, {"threads": 0}]
)
def test_invalid_result_is_refused(file: Path, result: object) -> None:
    forged(file, result=json.dumps(result))
    with pytest.raises(CheckpointError, match="header is damaged"):
        load(file)


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("write", [pickle.dump, torch.save])
def test_a_pickle_is_never_loaded(write: Callable[..., None], tmp_path: Path) -> None:
    trap, file = Trap(tmp_path / "sprung"), tmp_path / "model.safetensors"
    with file.open("wb") as opened:
        write(trap, opened)
    with pytest.raises(CheckpointError, match="does not hold a run"):
        load(file)
    assert not trap.path.exists()


def test_where_there_is_no_run(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CheckpointError, match="there is no run at"):
            load(place)


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


def test_a_full_disk_leaves_the_run_that_was_there(begun: Run, tmp_path: Path) -> None:
    save(begun, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with (
        files_of_at_most(1000),
        pytest.raises(CheckpointError, match="make room there, or choose another folder"),
    ):
        save(begun, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
