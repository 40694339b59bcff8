"""An exported run answers as the run does, with its confidence calibrated."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_digits import FAST, CheckpointError, Digits, Reader, Run, evaluate
from mnist_digits.command.cli import main
from mnist_digits.training import checkpoint
from mnist_digits.training.augmentation import augment
from mnist_digits.training.calibration import Calibration, calibrate
from mnist_digits.training.export import export_run
from mnist_digits.training.negatives import negatives


@pytest.fixture(scope="module")
def exported(fast_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("export") / "model.onnx"
    export_run(fast_run, file, Calibration(temperature=0.5, sure_above=0.8))
    return file


def test_it_answers_as_the_network_does(
    exported: Path, fast_run: Run, mnist: tuple[Digits, Digits]
) -> None:
    images = mnist[1].images[:1000]
    with torch.inference_mode():
        expected = (fast_run.model.eval()(images) / 0.5).softmax(dim=1).numpy()
    reader = Reader.load(exported)
    np.testing.assert_allclose(reader.classify(images.numpy()), expected, atol=1e-5)
    assert reader.sure_above == 0.8
    assert reader.information["recipe"]["name"] == "fast"


@pytest.mark.slow
def test_exporting_leaves_the_run_as_it_was(
    exported: Path, fast_run: Run, mnist: tuple[Digits, Digits], tmp_path: Path
) -> None:
    before = evaluate(fast_run.model, mnist[1]).probabilities
    export_run(fast_run, tmp_path / "again.onnx", Calibration(0.5, 0.8))
    assert torch.equal(before, evaluate(fast_run.model, mnist[1]).probabilities)
    # No time, no folder, no name of a machine: the same run is the same file.
    assert (tmp_path / "again.onnx").read_bytes() == exported.read_bytes()


@pytest.mark.slow
def test_the_temperature_mends_the_confidence(fast_run: Run, mnist: tuple[Digits, Digits]) -> None:
    """Label smoothing makes networks doubt themselves; on digits not used to fit, too."""
    fitted = calibrate(fast_run.model, FAST, mnist[1][:5000])
    assert 0.1 < fitted.temperature < 0.9
    assert 0.5 < fitted.sure_above < 1
    others = mnist[1][5000:]
    plain = evaluate(fast_run.model, others)
    with torch.inference_mode():
        logits = fast_run.model.eval()(others.images) / fitted.temperature
    better = replace(plain, probabilities=logits.softmax(dim=1))
    assert better.calibration_error < plain.calibration_error / 5


@pytest.mark.slow
def test_the_command_exports_what_predict_takes(
    run_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "seven.onnx"
    assert main(["export", str(run_directory), "--output", str(output)]) == 0
    captured = capsys.readouterr()
    assert f"Written to {output}" in captured.out
    assert "too sure of itself: train with --validation" in captured.err
    result = json.loads((run_directory / "result.json").read_text())
    assert Reader.load(output).information["result"] == result


def test_an_unfinished_run_is_not_exported(
    run_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = checkpoint.load(run_directory)
    begun.result = {}
    checkpoint.save(begun, tmp_path)
    assert main(["export", str(tmp_path)]) == 2
    assert "is not finished: go on with it first" in capsys.readouterr().err
    assert not (tmp_path / "model.onnx").exists()


def test_few_negatives_are_sure(
    fast_run: Run, mnist: tuple[Digits, Digits], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As few as is asked for; this small network would be sure of more than a tenth of them."""
    monkeypatch.setattr("mnist_digits.training.calibration.DOUBTED_NEGATIVES", 0.9)
    digits = mnist[1][:2000]
    fitted = calibrate(fast_run.model, FAST, digits)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        moved = replace(FAST, appearance=0.0)
        others = augment(negatives(digits.images, digits.labels), moved)
    with torch.inference_mode():
        logits = fast_run.model.eval()(others) / fitted.temperature
    sure = logits.softmax(dim=1).amax(dim=1) >= fitted.sure_above
    assert 0.09 < sure.float().mean() < 0.102


@pytest.mark.slow
def test_a_place_that_cannot_be_written(fast_run: Run) -> None:
    with pytest.raises(CheckpointError, match="cannot write"):
        export_run(fast_run, Path("/proc/model.onnx"), Calibration())
