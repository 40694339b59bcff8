"""The training: it follows from its seed, and goes on after a stop as if there had been none."""

from __future__ import annotations

import dataclasses
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import safetensors.torch
import torch

from mnist_digits import (
    FAST,
    CheckpointError,
    Digits,
    Recipe,
    Run,
    TrainingError,
    evaluate,
    save,
    train,
)
from mnist_digits.classifier import loop as training
from mnist_digits.classifier.checkpoint import load_unfinished
from mnist_digits.classifier.device import use_deterministic_operations
from mnist_digits.cli import main

SHORT = dataclasses.replace(FAST, widths=(8, 16), hidden=16, batch_size=100)


@pytest.fixture(scope="module")
def few(training_set: Digits) -> Digits:
    return training_set[:2000]


def weights(run: Run) -> torch.Tensor:
    return torch.cat([value.double().flatten() for value in run.model.state_dict().values()])


def test_a_run_follows_from_its_seed_whoever_looks_on(few: Digits) -> None:
    recipe = dataclasses.replace(SHORT, epochs=2, rotation=10, shift=1)
    seen: list[int] = []

    def on_epoch(run: Run) -> None:
        seen.append(len(run.history))
        torch.rand(7)

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = train(recipe, few)
    # The caller's random state is left alone.
    assert torch.equal(torch.rand(3), expected)
    watched = train(recipe, few, validation=few[:500], on_epoch=on_epoch)
    assert seen == [1, 2]
    assert torch.equal(weights(first), weights(watched))
    assert [e.loss for e in first.history] == [e.loss for e in watched.history]
    other = train(dataclasses.replace(recipe, seed=1), few)
    assert not torch.equal(weights(first), weights(other))


def test_the_last_epochs_are_clean(few: Digits) -> None:
    """Learning and augmentation are as ever, then geometry alone, without negatives."""
    dirty = dataclasses.replace(
        SHORT, epochs=2, shift=1, elastic=1, appearance=0.5, synthetic_fraction=0.1, negatives=0.2
    )
    clean = dataclasses.replace(dirty, geometry_only_fraction=0.5)
    first, second = train(dirty, few), train(clean, few)
    assert first.history[0].loss == second.history[0].loss
    assert first.history[1].loss > second.history[1].loss
    # From its first epoch on, clean is what never was anything else.
    always = train(dataclasses.replace(clean, geometry_only_fraction=1.0), few)
    assert torch.equal(
        weights(always), weights(train(dataclasses.replace(SHORT, epochs=2, shift=1), few))
    )


def test_deterministic_operations_change_nothing_on_a_cpu(few: Digits) -> None:
    recipe = dataclasses.replace(
        SHORT,
        rotation=10,
        elastic=1,
        appearance=0.5,
        negatives=0.3,
        synthetic_fraction=0.2,
        flagged_ones=0.5,
    )
    plain = train(recipe, few)
    use_deterministic_operations()
    # None of the operations is one that cannot be repeated: torch would warn.
    assert torch.equal(weights(train(recipe, few)), weights(plain))


def test_the_history_tells_what_happened(few: Digits) -> None:
    run = train(dataclasses.replace(SHORT, epochs=3), few, validation=few[:500])
    assert [epoch.epoch for epoch in run.history] == [1, 2, 3]
    assert run.history[-1].loss < run.history[0].loss
    assert run.history[-1].train_accuracy > run.history[0].train_accuracy
    assert run.history[-1].validation_accuracy == evaluate(run.model, few[:500]).accuracy
    assert run.history[-1].seconds == run.training_seconds
    assert max(epoch.learning_rate for epoch in run.history) <= SHORT.learning_rate
    for epoch in run.history:
        assert len(epoch.loss_curve) == len(epoch.accuracy_curve) == 20
        assert sum(epoch.loss_curve) / 20 == pytest.approx(epoch.loss)
        assert sum(epoch.accuracy_curve) / 20 == pytest.approx(epoch.train_accuracy)


@pytest.mark.parametrize("batch_size", [2, 7, 199, 200, 60_000])
def test_every_image_is_learned_from_whatever_the_batch_size(
    few: Digits, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []

    def augment(images: torch.Tensor, _: Recipe) -> torch.Tensor:
        seen.append(images)
        return images

    monkeypatch.setattr(training, "augment", augment)
    train(dataclasses.replace(SHORT, batch_size=batch_size), few[:199])
    assert sum(map(len, seen)) == 199
    assert torch.cat(seen).long().sum() == few.images[:199].long().sum()


def test_what_cannot_be_learned_is_told(few: Digits) -> None:
    with pytest.raises(TrainingError, match="two images at least"):
        train(SHORT, few[:1])
    wild = dataclasses.replace(SHORT, learning_rate=1000.0, weight_decay=10.0)
    with pytest.raises(
        TrainingError, match=r"the loss became (nan|inf) in epoch 1.*choose a lower"
    ):
        train(wild, few)


def test_weights_that_overflow_in_the_last_step_stop_the_run(
    training_set: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = torch.optim.AdamW.step

    def overflows(optimizer: torch.optim.AdamW) -> None:
        step(optimizer)
        optimizer.param_groups[0]["params"][0].data.fill_(torch.inf)

    monkeypatch.setattr(torch.optim.AdamW, "step", overflows)
    few = training_set[:250]  # one step, whose loss is of the weights before it
    with pytest.raises(TrainingError, match=r"the weights became infinite.*step 1.*choose a lower"):
        train(FAST, few)


def test_bfloat16_learns_too(few: Digits) -> None:
    run = train(dataclasses.replace(SHORT, epochs=3, precision="bfloat16"), few)
    assert evaluate(run.model, few).accuracy > 0.8
    assert next(run.model.parameters()).dtype == torch.float32


class StoppedError(Exception):
    """What ends a training in the middle of these tests."""


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
def test_a_resumed_run_ends_with_the_very_weights(few: Digits, tmp_path: Path) -> None:
    moved = dataclasses.replace(SHORT, rotation=10, shift=2, appearance=0.5)
    recipe = dataclasses.replace(moved, epochs=3, synthetic_fraction=0.2, calibration_fraction=0.1)
    whole, begun = train(recipe, few), None
    assert float(whole.model.temperature) != 1
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
        ("by the recipe that it", dataclasses.replace(SHORT, epochs=3), few, begun),
        ("begun on 2,000 images, not on 500", SHORT, few[:500], begun),
        ("does not fit its history", SHORT, few, twice),
        ("no state to go on from", SHORT, few, Run(SHORT, begun.model)),
    ):
        with pytest.raises(TrainingError, match=says):
            train(recipe, digits, resume=run)


def test_nothing_to_resume(run_directory: Path, few: Digits, tmp_path: Path) -> None:
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_on_a_gpu(mnist: tuple[Digits, Digits]) -> None:
    run = train(FAST, mnist[0].to("cuda"))
    assert evaluate(run.model, mnist[1].to("cuda")).accuracy >= 0.985


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_recorded_steps_learn_as_others_do(training_set: Digits) -> None:
    digits = training_set[:5000].to("cuda")
    recipe = dataclasses.replace(SHORT, epochs=2, negatives=0.1, precision="float32")
    recorded = train(recipe, digits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnist_digits.classifier.step.WARM_UP", 10**9)
        one_by_one = train(recipe, digits)
    assert recorded.history[-1].loss == pytest.approx(one_by_one.history[-1].loss, rel=0.05)
    assert evaluate(recorded.model, digits).accuracy > 0.9
