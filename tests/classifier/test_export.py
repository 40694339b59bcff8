"""An exported run answers as the run does, with its confidence calibrated."""

from __future__ import annotations

import copy
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Command
from PIL import Image

from mnist_digits import (
    BALANCED,
    FAST,
    CheckpointError,
    Digits,
    Reader,
    Recipe,
    Run,
    evaluate,
    load,
    save,
)
from mnist_digits.classifier.augmentation import augment
from mnist_digits.classifier.calibration import Calibration, calibrate
from mnist_digits.classifier.export import export_run, write_graph
from mnist_digits.classifier.model import DigitNet
from mnist_digits.reading.reader import SHIPPED
from mnist_digits.synthesis.negatives import negatives

PAGE = Path(__file__).parents[2] / "docs" / "onnx.md"


@pytest.fixture(scope="module")
def exported(fast_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("export") / "model.onnx"
    export_run(fast_run, file, Calibration(float(fast_run.model.temperature), sure_above=0.8))
    return file


@pytest.fixture(scope="module")
def uncalibrated(fast_run: Run) -> DigitNet:
    """The network of `fast` without its temperature."""
    model = copy.deepcopy(fast_run.model).eval()
    model.temperature.fill_(1.0)
    return model


def test_the_lines_of_its_page_read_with_onnx_runtime_alone(
    exported: Path,
    test_set: Digits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (lines,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert "mnist_digits" not in lines
    monkeypatch.chdir(tmp_path)
    shutil.copy(exported, "model.onnx")
    seven = test_set.images[0, 0].numpy()
    for pixels in (seven, 255 - seven):
        Image.fromarray(pixels).resize((56, 56)).save("digit.png")
        exec(lines, {})
        description, answer = capsys.readouterr().out.splitlines()
        assert "uint8 (N, 1, 28, 28), 0 to 255, light ink on a dark ground" in description
        digit, confidence = answer.split()
        assert digit == "7"
        assert float(confidence) > 0.9


def test_it_answers_as_the_network_does(exported: Path, fast_run: Run, test_set: Digits) -> None:
    few = test_set[:1000]
    expected = evaluate(fast_run.model, few).probabilities.numpy()
    reader = Reader.load(exported)
    np.testing.assert_allclose(reader.classify(few.images.numpy()), expected, atol=1e-5)
    assert reader.sure_above == 0.8
    assert reader.information["recipe"]["name"] == "fast"


@pytest.mark.slow
def test_the_temperature_is_in_the_graph(test_set: Digits, tmp_path: Path) -> None:
    """Of networks with test-time augmentation, too; that of the calibration, not of the run."""
    model = DigitNet(replace(BALANCED, widths=(4, 8), hidden=16)).eval()
    model.temperature.fill_(0.3)
    few = test_set[:50]
    before = evaluate(model, few).probabilities
    export_run(Run(BALANCED, model), tmp_path / "model.onnx", Calibration(0.2, 0.8))
    assert torch.equal(before, evaluate(model, few).probabilities)
    model.temperature.fill_(0.2)
    expected = evaluate(model, few).probabilities
    assert not torch.allclose(expected, before, atol=1e-3)
    answers = Reader.load(tmp_path / "model.onnx").classify(few.images.numpy())
    np.testing.assert_allclose(answers, expected.numpy(), atol=1e-5)


@pytest.mark.slow
def test_exporting_leaves_the_run_as_it_was(
    exported: Path, fast_run: Run, test_set: Digits, tmp_path: Path
) -> None:
    few = test_set[:1000]
    before = evaluate(fast_run.model, few).probabilities
    temperature = float(fast_run.model.temperature)
    export_run(fast_run, tmp_path / "again.onnx", Calibration(temperature, 0.8))
    assert torch.equal(before, evaluate(fast_run.model, few).probabilities)
    # No time, no folder, no name of a machine: the same run is the same file.
    assert (tmp_path / "again.onnx").read_bytes() == exported.read_bytes()


def test_a_place_that_cannot_be_written(exported: Path) -> None:
    import onnx

    with pytest.raises(CheckpointError, match="cannot write"):
        write_graph(onnx.load(exported), "", {}, Path("/proc/model.onnx"))


def test_the_temperature_mends_the_confidence(
    fast_run: Run, uncalibrated: DigitNet, test_set: Digits
) -> None:
    """Label smoothing makes networks doubt themselves; on digits not used to fit, too."""
    fitted = calibrate(uncalibrated, FAST, test_set[:5000])
    assert 0.1 < fitted.temperature < 0.9
    assert 0.5 < fitted.sure_above < 1
    others = test_set[5000:]
    plain = evaluate(uncalibrated, others)
    with torch.inference_mode():
        logits = uncalibrated(others.images) / fitted.temperature
    better = replace(plain, probabilities=logits.softmax(dim=1))
    assert better.calibration_error < plain.calibration_error / 5
    # One that has a temperature keeps it: `evaluate` and an exported run tell the same.
    assert calibrate(fast_run.model, FAST, others).temperature == fast_run.model.temperature
    assert fitted.temperature != fast_run.model.temperature


def test_few_negatives_are_sure(
    uncalibrated: DigitNet, test_set: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As few as is asked for; this small network would be sure of more than a tenth of them."""
    monkeypatch.setattr("mnist_digits.classifier.calibration.DOUBTED_NEGATIVES", 0.9)
    digits = test_set[:2000]
    fitted = calibrate(uncalibrated, FAST, digits)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        moved = replace(FAST, appearance=0.0)
        others = augment(negatives(digits.images, digits.labels), moved)
    with torch.inference_mode():
        logits = uncalibrated(others) / fitted.temperature
    sure = logits.softmax(dim=1).amax(dim=1) >= fitted.sure_above
    assert 0.09 < sure.float().mean() < 0.102


@pytest.mark.slow
def test_the_command_exports(tiny_run: Path, tmp_path: Path, command: Command) -> None:
    output = tmp_path / "seven.onnx"
    printed = command("export", tiny_run, "--output", output)
    assert f"Written to {output}" in printed.out
    assert not printed.err
    result = json.loads((tiny_run / "result.json").read_text())
    information = Reader.load(output).information
    assert information["result"] == result
    assert information["calibration"]["temperature"] == result["temperature"]
    # Of a run that learned from all images, it warns.
    run = load(tiny_run)
    run.recipe = replace(run.recipe, calibration_fraction=0)
    save(run, tmp_path)
    error = command("export", tmp_path).err
    assert "too sure of itself: train with --validation" in error


def test_an_unfinished_run_is_not_exported(
    tiny_run: Path, tmp_path: Path, command: Command
) -> None:
    begun = load(tiny_run)
    begun.result = {}
    save(begun, tmp_path)
    assert "is not finished: go on with it first" in command.refused("export", tmp_path)
    assert not (tmp_path / "model.onnx").exists()


def test_the_run_that_ships_is_the_one_that_was_exported(test_set: Digits, tmp_path: Path) -> None:
    run, shipped = load(SHIPPED), Reader.load()
    result = json.loads((SHIPPED / "result.json").read_text())
    assert run.result == shipped.information["result"] == result
    assert run.recipe == Recipe.from_dict(shipped.information["recipe"])
    calibration = Calibration(**shipped.information["calibration"])
    assert float(run.model.temperature) == pytest.approx(calibration.temperature)
    export_run(run, tmp_path / "model.onnx", calibration)
    few = test_set.images[:500].numpy()
    again = Reader.load(tmp_path / "model.onnx").classify(few)
    np.testing.assert_allclose(shipped.classify(few), again, atol=1e-5)
    assert run.result["test_calibration_error"] < 0.005
