from __future__ import annotations

import pytest
import torch

from mnist_digits import TrainingError, pick_device
from mnist_digits.classifier.device import uses_bfloat16


def test_bfloat16_is_for_gpus_unless_asked_for() -> None:
    asked = [uses_bfloat16(name, torch.device("cpu")) for name in ("auto", "bfloat16", "float32")]
    assert asked == [False, True, False]


def test_devices_are_picked_by_what_is_here() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device().type in ("cpu", "cuda", "mps")
    missing = [] if torch.cuda.is_available() else ["cuda"]
    for name in ("gpu", "", "cpu:99:1", "meta", "xla", *missing):
        with pytest.raises(TrainingError, match=f"there is no device '{name}' here: choose .*cpu"):
            pick_device(name)
