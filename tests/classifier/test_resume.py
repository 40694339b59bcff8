"""A training that was stopped goes on as if it had not been: the same weights, bit for bit."""

from __future__ import annotations

import dataclasses
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import safetensors.torch
import torch

from mnist_digits import FAST, CheckpointError, Digits, Recipe, Run, TrainingError, save, train
from mnist_digits.classifier.checkpoint import load_unfinished
from mnist_digits.classifier.device import use_deterministic_operations
from mnist_digits.cli import main

SHORT = dataclasses.replace(FAST, widths=(8, 16), hidden=16, batch_size=100, epochs=3)
RECIPES = {
    "augmented": dataclasses.replace(
        SHORT, rotation=10, shift=2, appearance=0.5, synthetic_fraction=0.2
    ),
    "calibrated": dataclasses.replace(SHORT, calibration_fraction=0.2),
}


class StoppedError(Exception):
    """What ends a training in the middle of these tests."""


@pytest.fixture(scope="module")
def few(training_set: Digits) -> Digits:
    return training_set[:600]


def weights(run: Run) -> torch.Tensor:
    return torch.cat([value.double().flatten() for value in run.model.state_dict().values()])


def train_until(
    recipe: Recipe, digits: Digits, epoch: int, folder: Path, begun: Run | None = None
) -> Run:
    """Train, saving every epoch, stop in the middle of the one after `epoch`; what was saved."""

    def on_epoch(run: Run) -> None:
        save(run, folder)
        if len(run.history) == epoch:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(recipe, digits, resume=begun, on_epoch=on_epoch)
    return load_unfinished(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_resumed_run_ends_with_the_very_weights(name: str, few: Digits, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    whole = train(recipe, few)
    assert (float(whole.model.temperature) == 1) == (recipe.calibration_fraction < 0.1)
    begun = None
    for epoch in range(1, recipe.epochs + 1):
        # Each time from where it was stopped before.
        begun = train_until(recipe, few, epoch, tmp_path, begun)
        resumed = train(recipe, few, resume=load_unfinished(tmp_path))
        assert torch.equal(weights(resumed), weights(whole)), epoch
        assert [e.loss for e in resumed.history] == [e.loss for e in whole.history]
        assert [e.epoch for e in resumed.history] == [e.epoch for e in whole.history]
        assert resumed.training_seconds == pytest.approx(resumed.history[-1].seconds)


def test_a_run_goes_on_only_as_it_was_begun(few: Digits, tmp_path: Path) -> None:
    begun = train_until(SHORT, few, 1, tmp_path)
    twice = dataclasses.replace(begun, history=begun.history * 2)
    for says, recipe, digits, run in (
        ("by the recipe that it", dataclasses.replace(SHORT, epochs=4), few, begun),
        ("begun on 600 images, not on 500", SHORT, few[:500], begun),
        ("does not fit its history", SHORT, few, twice),
        ("no state to go on from", SHORT, few, Run(SHORT, begun.model)),
    ):
        with pytest.raises(TrainingError, match=says):
            train(recipe, digits, resume=run)


def test_there_must_be_something_to_resume(
    run_directory: Path, few: Digits, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="is finished: there is nothing to resume"):
        load_unfinished(run_directory)
    with pytest.raises(CheckpointError, match="there is no run to resume"):
        load_unfinished(tmp_path)
    train_until(SHORT, few, 1, tmp_path)
    file = tmp_path / "training.safetensors"
    tensors = safetensors.torch.load_file(file)
    with safetensors.safe_open(file, framework="pt") as opened:
        header = opened.metadata()
    del tensors["optimizer.3.exp_avg"]
    safetensors.torch.save_file(tensors, file, header)
    with pytest.raises(CheckpointError, match=r"optimizer\.3\.exp_avg"):
        load_unfinished(tmp_path)
    shutil.copy(run_directory / "model.safetensors", file)
    with pytest.raises(CheckpointError, match="has no state to go on from"):
        load_unfinished(tmp_path)


def test_the_command_goes_on_with_what_the_bits_depend_on(
    few: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_deterministic_operations()
    train_until(SHORT, few, 1, tmp_path)
    torch.use_deterministic_algorithms(False)
    chosen: dict[str, object] = {}
    monkeypatch.setattr(
        "mnist_digits.cli.train_command.prepare", lambda options: chosen.update(vars(options))
    )
    with suppress(AttributeError):  # there is no device then
        main.main(["train", "--resume", str(tmp_path)])
    assert chosen["deterministic"]
    assert chosen["device"] == "cpu"
    assert chosen["threads"] == torch.get_num_threads()
