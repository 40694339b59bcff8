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

SMALL = DetectorRecipe(scenes=18, batch_size=3, synthetic=10, ema_decay=0.5, warmup=0.5)


@pytest.fixture(scope="module")
def few(training_set: Digits) -> Digits:
    return training_set[:60]


def weights(run: DetectorRun) -> Tensor:
    return torch.cat([value.flatten().float() for value in run.model.state_dict().values()])


def test_the_shipped_networks_are_small() -> None:
    """The two that find and name digits; the classifier's file has 1.7 MB."""
    assert sum((MODELS / name).stat().st_size for name in (DETECT, LOOK)) <= 4_100_000


@pytest.mark.slow
def test_the_same_recipe_gives_the_same_weights_stopped_or_not(few: Digits, tmp_path: Path) -> None:
    parts: list[Path] = []

    def keep(run: DetectorRun) -> None:
        parts.append(tmp_path / f"{run.steps}.safetensors")
        save_detector(run, parts[-1])

    whole = fit(SMALL, few, workers=0, on_part=keep, steps_per_part=2)
    assert [path.stem for path in parts] == ["2", "4", "6"]
    begun = load_detector(parts[0])
    assert begun.recipe == SMALL
    resumed = fit(SMALL, few, begun, workers=0, steps_per_part=2)
    assert torch.equal(weights(whole), weights(resumed))
    names = ("step", "heat", "class", "ink")
    values = [[entry[name] for name in names] for entry in whole.history]
    assert values == [[entry[name] for name in names] for entry in resumed.history]
    assert not torch.equal(weights(whole), weights(begun))


@pytest.mark.slow
def test_it_learns(few: Digits) -> None:
    recipe = dataclasses.replace(SMALL, scenes=160, batch_size=8)
    first, *_, last = fit(recipe, few, workers=0, steps_per_part=4).history
    assert last["heat"] < first["heat"]
    assert last["class"] < first["class"]


def test_it_begins_with_the_weights_of_another(few: Digits) -> None:
    start = Networks()
    still = dataclasses.replace(SMALL, scenes=16, batch_size=16, learning_rate=1e-9)
    run = fit(still, few, start=start, workers=0)
    one, other = run.model.look.names.weight, start.look.names.weight
    assert torch.allclose(one, other, atol=1e-6)


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
    """Before anything of it is saved."""
    kept: list[int] = []
    monkeypatch.setattr(loss_functions, "detect_loss", loss)
    recipe = dataclasses.replace(SMALL, scenes=16, batch_size=8)
    with pytest.raises(TrainingError, match="became infinite in the 2 steps up to step 2: choose"):
        fit(recipe, few, workers=0, on_part=lambda run: kept.append(run.steps), steps_per_part=2)
    assert not kept


@pytest.mark.parametrize(("precision", "wanted"), [("auto", False), ("bfloat16", True)])
def test_a_cpu_is_not_made_to_use_bfloat16(
    few: Digits, precision: str, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those without it are 13 times slower."""
    seen: set[bool] = set()
    forward = DetectNet.forward

    def watched(model: DetectNet, pixels: Tensor) -> Tensor:
        seen.add(torch.is_autocast_enabled("cpu"))
        return forward(model, pixels)

    monkeypatch.setattr(DetectNet, "forward", watched)
    fit(dataclasses.replace(SMALL, scenes=16, batch_size=16, precision=precision), few, workers=0)
    assert seen == {wanted}


def test_invalid_run_is_refused(tmp_path: Path) -> None:
    file = tmp_path / STATE
    with pytest.raises(CheckpointError, match="is no detector's run"):
        load_detector(file)
    file.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="is no detector's run"):
        load_detector(file)
