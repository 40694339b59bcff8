from __future__ import annotations

import dataclasses

import pytest
import torch

from mnist_digits import FAST, DigitNet, Digits, Recipe, Run, TrainingError, evaluate, train
from mnist_digits.classifier import loop as training
from mnist_digits.classifier.device import use_deterministic_operations

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


def test_a_given_network_is_trained_on(few: Digits) -> None:
    network = DigitNet(SHORT)
    run = train(SHORT, few, model=network)
    assert run.model is network
    again = train(dataclasses.replace(SHORT, learning_rate=1e-5), few, model=network)
    assert again.history[0].loss_curve[0] < run.history[0].loss_curve[0] / 2


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
