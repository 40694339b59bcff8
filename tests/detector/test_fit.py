"""The training of both networks: that it learns, and goes on as if it had never stopped."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mnist_digits import CheckpointError, Digits, TrainingError
from mnist_digits.classifier.recipe import DetectorRecipe
from mnist_digits.detector import loss as loss_functions
from mnist_digits.detector.fit import (
    STATE,
    DetectorRun,
    Networks,
    fit,
    load_detector,
    save_detector,
)
from mnist_digits.detector.networks import DetectNet
from mnist_digits.reading.detection import DETECT, LOOK, LOOK_FORMAT, MODELS
from mnist_digits.reading.onnx_file import open_model

SMALL = DetectorRecipe(scenes=48, batch_size=4, synthetic=10, ema_decay=0.5, warmup=0.5)


class StoppedError(Exception):
    """What ends a training before its first step."""


@pytest.fixture(scope="module")
def few(training_set: Digits) -> Digits:
    return training_set[:60]


def weights(model: Networks) -> Tensor:
    return torch.cat([value.flatten().float() for value in model.state_dict().values()])


def test_the_shipped_networks_are_small() -> None:
    """The two that find and name digits; the classifier's file has 1.7 MB."""
    assert sum((MODELS / name).stat().st_size for name in (DETECT, LOOK)) <= 4_100_000


@pytest.mark.slow
def test_it_learns_the_same_stopped_or_not(few: Digits, tmp_path: Path) -> None:
    parts: list[Path] = []

    def keep(run: DetectorRun) -> None:
        parts.append(tmp_path / f"{run.steps}.safetensors")
        save_detector(run, parts[-1])

    whole = fit(SMALL, few, workers=0, on_part=keep, steps_per_part=4)
    assert [path.stem for path in parts] == ["4", "8", "12"]
    first, _, last = whole.history
    assert last["heat"] < first["heat"]
    assert last["class"] < first["class"]
    begun = load_detector(parts[1])
    assert begun.recipe == SMALL
    resumed = fit(SMALL, few, begun, workers=0, steps_per_part=4)
    assert torch.equal(weights(whole.model), weights(resumed.model))
    names = ("step", "heat", "class", "ink")
    values = [[entry[name] for name in names] for entry in whole.history]
    assert values == [[entry[name] for name in names] for entry in resumed.history]
    assert not torch.equal(weights(whole.model), weights(begun.model))


@pytest.mark.parametrize(("precision", "wanted"), [("auto", False), ("bfloat16", True)])
def test_it_begins_with_the_weights_of_another_and_in_the_precision_asked_for(
    few: Digits, precision: str, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CPU is not made to use bfloat16: those without it are 13 times slower."""
    start = Networks()

    def forward(model: DetectNet, _: Tensor) -> Tensor:
        assert torch.is_autocast_enabled("cpu") == wanted
        assert torch.equal(model.head.weight, start.detect.head.weight)
        raise StoppedError

    monkeypatch.setattr(DetectNet, "forward", forward)
    with pytest.raises(StoppedError):
        fit(dataclasses.replace(SMALL, precision=precision), few, start=start, workers=0)


def test_the_shipped_weights_are_there_to_start_from() -> None:
    """They are those of the exported networks."""
    run = load_detector(MODELS / STATE)
    assert not run.state
    _, values = open_model((MODELS / LOOK).read_bytes(), LOOK_FORMAT, 1)
    exported = json.loads(values["information"])
    assert exported["recipe"] == dataclasses.asdict(run.recipe)
    assert exported["result"] == run.history[-1]


def infinite_loss(output: Tensor, *_: object) -> Tensor:
    return (output.mean() / 0).expand(2)


def infinite_gradient(output: Tensor, *_: object) -> Tensor:
    return (output.mean() * 0).sqrt().expand(2)


@pytest.mark.parametrize("loss", [infinite_loss, infinite_gradient])
def test_nan_loss_stops_the_training(
    few: Digits, loss: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything of it is saved, and before the next step shows it."""
    kept: list[int] = []
    monkeypatch.setattr(loss_functions, "detect_loss", loss)
    recipe = dataclasses.replace(SMALL, batch_size=2)
    with pytest.raises(TrainingError, match="became infinite in the 1 steps up to step 1: choose"):
        fit(recipe, few, workers=0, on_part=lambda run: kept.append(run.steps), steps_per_part=1)
    assert not kept


def test_invalid_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / STATE).write_bytes(b"nothing")
    for name in (STATE, "nowhere"):
        with pytest.raises(CheckpointError, match="is no detector's run"):
            load_detector(tmp_path / name)
