from __future__ import annotations

import pytest
import torch

from mnist_digits import TrainingError, pick_device
from mnist_digits.classifier.device import uses_bfloat16


def test_bfloat16_is_for_gpus_unless_asked_for() -> None:
    assert not uses_bfloat16("auto", torch.device("cpu"))
    assert uses_bfloat16("bfloat16", torch.device("cpu"))
    assert not uses_bfloat16("float32", torch.device("cpu"))


def test_devices_are_picked_by_what_is_here() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device().type in ("cpu", "cuda", "mps")
    for name in ("gpu", "", "cpu:99:1", "meta", "xla"):
        with pytest.raises(TrainingError, match=r"there is no device .* here: choose .*cpu"):
            pick_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(TrainingError, match="there is no device 'cuda' here: choose "):
        pick_device("cuda")
