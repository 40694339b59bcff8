"""The way in which the shipped networks are made, with little of everything."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pretrained
import pytest

from mnist_digits import Digits, Reader
from mnist_digits.classifier import checkpoint
from mnist_digits.classifier.recipe import ROBUST
from mnist_digits.detector import onnx_networks
from mnist_digits.detector.fit import STATE, load_detector, save_detector
from mnist_digits.reading import detection


@pytest.mark.slow
def test_networks_are_trained_calibrated_and_exported(
    mnist: tuple[Digits, Digits],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = load_detector(detection.MODELS / STATE)
    # The detector's training has come to its end: `fit` has tests of its own.
    save_detector(replace(run, steps=run.recipe.steps), tmp_path / STATE)
    monkeypatch.setattr(pretrained, "load_mnist", lambda: (mnist[0][:1200], mnist[1][:200]))
    monkeypatch.setattr(pretrained, "DETECTOR_RUN", tmp_path)
    shipped = tmp_path / "models" / "digits"
    for name in ("MODELS", "SHIPPED"):
        monkeypatch.setattr(pretrained, name, shipped if name == "SHIPPED" else shipped.parent)
    monkeypatch.setattr(detection, "MODELS", shipped.parent)
    # They are exported twice, before and after calibration: their graphs are made once.
    for name in ("detect_graph", "look_graph"):
        monkeypatch.setattr(onnx_networks, name, cache(getattr(onnx_networks, name)))
    shipped.mkdir(parents=True)
    few = replace(ROBUST, widths=(8, 16), epochs=2, batch_size=50, detected_ratio=0.01)
    pretrained.main(few, scenes=60)

    written = capsys.readouterr().out
    assert "calibrate" in written
    assert f"Written to {shipped / 'model.onnx'}" in written
    reader = Reader.load(shipped)
    assert reader.information["result"] == checkpoint.load(shipped).result
    assert reader.information["result"]["train_images"] == 1200
    assert 0 < reader.sure_above <= 1
    assert len(reader.detector.answer) == 5
    assert reader.detector.presence[0] > 0 < reader.detector.presence[1]
    weights = checkpoint.load(shipped).model.parameters()
    assert all((weight.half().float() == weight).all() for weight in weights)
