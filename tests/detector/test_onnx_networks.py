"""What ONNX Runtime makes of the exported networks is what torch makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mnist_digits.classifier.export import graph_of, quantize, write_graph
from mnist_digits.classifier.recipe import DetectorRecipe
from mnist_digits.detector.fit import DetectorRun, Networks
from mnist_digits.detector.networks import MULTIPLE, DetectNet, LookNet
from mnist_digits.detector.onnx_networks import Looks, Proposals, export_networks
from mnist_digits.reading.detection import DETECT, DETECT_FORMAT, LOOK, LOOK_FORMAT, NAMES
from mnist_digits.reading.onnx_file import open_model

Network = TypeVar("Network", bound=nn.Module)
pytestmark = pytest.mark.slow


def varied(model: Network, example: Tensor) -> Network:
    """Untrained, but with outputs that differ, and with weights that float16 can hold."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    model.train()(example)
    for values in (*model.parameters(), *model.buffers()):
        if values.is_floating_point():
            values.data = values.data.half().float()
    return model.eval()


@pytest.fixture(scope="module")
def networks() -> tuple[DetectNet, LookNet]:
    torch.manual_seed(0)
    pixels = torch.from_numpy(picture(256, 320)).permute(2, 0, 1)[None]
    detect = DetectNet()
    nn.init.normal_(detect.head.weight[0], std=0.3)
    return varied(detect, pixels), varied(LookNet(), torch.randn(16, 4, 56, 56))


@pytest.fixture(scope="module")
def folder(networks: tuple[DetectNet, LookNet], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both files, with weights in float32."""
    path: Path = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnist_digits.detector.onnx_networks.quantize", lambda _: None)
        model = Networks()
        model.detect, model.look = networks
        run = DetectorRun(DetectorRecipe(scenes=16), model, 1, [{"loss": 0.5}], {})
        export_networks(run, path, {"answer": [1, 2, 3, 4]})
    return path


def picture(high: int, wide: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (high, wide, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 2) * 2, np.uint8)


@pytest.fixture(scope="module")
def detect(folder: Path) -> Any:
    return open_model((folder / DETECT).read_bytes(), DETECT_FORMAT, 1)[0]


@pytest.fixture(scope="module")
def look(folder: Path) -> Any:
    return open_model((folder / LOOK).read_bytes(), LOOK_FORMAT, 1)[0]


@pytest.mark.parametrize(
    ("shape", "size"),  # of the picture, and what it is reduced or enlarged to: height and width
    [
        *(((280, 280), (256, 256)), ((600, 801), (192, 256)), ((300, 400), (300, 400))),
        *(((37, 53), (134, 192)), ((300, 11), (256, 9))),
    ],
)
def test_the_detector_proposes_what_it_does_in_torch(
    shape: tuple[int, int], size: tuple[int, int], networks: Any, detect: Any
) -> None:
    pixels = picture(*shape)
    reduced, proposals = detect.run(None, {"pixels": pixels, "size": np.array(size)})
    assert reduced.shape == (*size, 3)
    assert reduced.dtype == np.uint8

    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    expected = functional.interpolate(planes, size, mode="bilinear", antialias=True)[0]
    assert np.abs(expected.permute(1, 2, 0).numpy() - reduced).mean() < 0.5

    fill = [(0, -side % MULTIPLE) for side in size]
    filled = np.pad(reduced, (*fill, (0, 0)), "edge")
    with torch.inference_mode():
        answer = Proposals(networks[0])(torch.from_numpy(filled), torch.tensor(size)).numpy()
    assert (np.diff(proposals[:, 3]) <= 0).all()
    peaks = proposals[:, 3] > 0
    assert peaks.sum() > 10
    # From the left: those with nearly the same score may have changed places.
    one, other = (table[peaks][table[peaks, 0].argsort()] for table in (proposals, answer))
    np.testing.assert_allclose(one, other, atol=1e-3)
    assert not answer[~peaks, 3].any()


@pytest.mark.parametrize(
    ("shape", "count"), [((256, 192), 0), ((700, 900), 1), ((256, 192), 3), ((700, 900), 40)]
)
def test_a_look_sees_what_it_does_in_torch(
    shape: tuple[int, int], count: int, networks: Any, look: Any
) -> None:
    pixels, random = picture(*shape), np.random.default_rng(1)
    # Some of them reach beyond the picture.
    places = random.uniform((0, 0, 8), (shape[1], shape[0], 150), (count, 3)).astype(np.float32)
    answers = look.run([*NAMES], {"pixels": pixels, "proposals": places})
    with torch.inference_mode():
        expected = Looks(networks[1])(torch.from_numpy(pixels), torch.from_numpy(places))
    for answer, other in zip(answers, expected, strict=True):
        assert answer.dtype == other.numpy().dtype
        # Frames are rounded: one of 255.
        atol = 1 if answer.dtype == np.uint8 else 1e-3
        np.testing.assert_allclose(answer.astype(float), other.numpy(), atol=atol)


def test_weights_are_rounded_by_half_a_step_of_their_channel(tmp_path: Path) -> None:
    layer = nn.Conv2d(6, 96, 3)
    layer.weight.data *= torch.logspace(-3, 2, 96).reshape(-1, 1, 1, 1)
    example = {"pixels": torch.eye(54).reshape(54, 6, 3, 3)}
    graph = graph_of(layer, example, ["weights"], {"pixels": {}})
    quantize(graph)
    write_graph(graph, "A layer.", {"format": "layer"}, tmp_path / "layer.onnx")
    session, _ = open_model((tmp_path / "layer.onnx").read_bytes(), "layer", 1)
    told = session.run(None, {"pixels": example["pixels"].numpy()})[0][..., 0, 0]
    weights = layer(example["pixels"])[..., 0, 0].detach().numpy()
    step = np.abs(layer.weight.detach().numpy()).max(axis=(1, 2, 3)) / 127
    assert (np.abs(told - weights) <= 0.51 * step).all()
    assert len(graph.SerializeToString()) < 2 * layer.weight.numel()


def test_the_files_say_what_they_hold(folder: Path) -> None:
    _, values = open_model((folder / LOOK).read_bytes(), LOOK_FORMAT, 1)
    assert json.loads(values["answer"]) == [1, 2, 3, 4]
    information = json.loads(values["information"])
    assert information["recipe"]["scenes"] == 16
    assert information["result"] == {"loss": 0.5}
