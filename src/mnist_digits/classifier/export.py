"""Runs as ONNX files.

The graph takes raw uint8 frames and gives calibrated probabilities: normalization,
temperature and softmax are part of it, so that no other code is needed to use it. The recipe, the
result and the threshold of `sure` are metadata.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import warnings
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import CheckpointError
from ..files import write_whole
from ..reading.onnx_file import with_checksum
from ..reading.reader import FORMAT
from .calibration import Calibration
from .loop import Run
from .model import DigitNet

# What each file says of itself, where ONNX Runtime shows it (`get_modelmeta().description`).
CLASSIFIER = (
    "Reads handwritten digits. In: frames, uint8 (N, 1, 28, 28), 0 to 255, light ink on a dark "
    "ground, the digit as large and in the middle as in MNIST. Out: probabilities, float32 "
    "(N, 10), of the digits 0 to 9; without test-time augmentation also first and second, its "
    "feature maps."
)


class _Exported(nn.Module):
    """uint8 frames (N, 1, 28, 28) to probabilities (N, 10) and feature maps.

    These are the outputs of its two convolutional stages, kept to show how it sees; there are none
    with test-time augmentation.
    """

    def __init__(self, model: DigitNet) -> None:
        super().__init__()
        self.model = model
        self.outputs = ["probabilities"]
        if not model.tta_shift:
            self.outputs += ["first", "second"]

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        if self.model.tta_shift:
            return (self.model(frames).softmax(dim=1),)
        first = self.model.first(self.model.normalized(frames.float()))
        second = self.model.second(first)
        return (self.model.head(second) / self.model.temperature).softmax(dim=1), first, second


def export_run(
    run: Run, path: Path, calibration: Calibration, more: dict[str, Any] | None = None
) -> None:
    """Write the run's network as an ONNX file; recipe, result and `more` go into its metadata.

    Weights that are float16 numbers, as those of the shipped network, take half the bytes.

    Args:
        calibration: its temperature takes the place of the network's, if it is another.

    Raises:
        CheckpointError: the packages for it are missing, or the file cannot be written.
    """
    # A copy: the run's own network stays on its device, in its memory format.
    model = copy.deepcopy(run.model).cpu().to(memory_format=torch.contiguous_format)
    model.temperature.fill_(calibration.temperature)
    network = _Exported(model).eval()
    about = {
        "recipe": dataclasses.asdict(run.recipe),
        "result": run.result,
        "calibration": dataclasses.asdict(calibration),
        **(more or {}),
    }
    values = {
        "format": FORMAT,
        "sure_above": json.dumps(calibration.sure_above),
        "information": json.dumps(about),
    }
    example = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    batch = torch.export.Dim("N")
    sizes = {"frames": {0: batch}}
    graph = graph_of(network, {"frames": example}, network.outputs, sizes, optimize=False)
    halve(graph)
    write_graph(graph, CLASSIFIER, values, path)


def check_installed() -> None:
    """Raises a CheckpointError where the packages of the extra `export` are missing."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401, what torch exports with
    except ImportError as error:
        raise CheckpointError(
            "exporting needs more packages: pip install 'mnist-digit-classification[export]'"
        ) from error


def graph_of(
    network: nn.Module,
    example: dict[str, Tensor],
    outputs: list[str],
    dynamic: dict[str, dict[int, Any]],
    optimize: bool = True,
) -> Any:
    """The network as an ONNX graph with these inputs, of any size in the `dynamic` dimensions.

    Args:
        optimize: whether layers are joined now, which changes their weights, and not when the
            file is loaded.
    """
    check_installed()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            tuple(example.values()),
            dynamo=True,
            verbose=False,
            input_names=[*example],
            output_names=outputs,
            dynamic_shapes=tuple(dynamic[name] for name in example),
            optimize=optimize,
        )
    return cast(Any, program).model_proto


def halve(graph: Any) -> None:
    """Store weights that are float16 numbers as such; a Cast widens them when it is loaded."""
    for name, values in _weights(graph):
        half = values.astype(np.float16)
        if np.array_equal(half, values):
            _replace(graph, name, {f"{name}.half": half}, [("Cast", [f"{name}.half"], name)])


def quantize(graph: Any) -> None:
    """Store the weights of layers as int8, with a scale for each output channel.

    They take a quarter of the bytes, are rounded by up to 0.4% of the channel's largest, and are
    floats again when the graph is loaded.
    """
    for name, values in _weights(graph):
        if values.ndim > 1:
            largest = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True)
            scale = np.maximum(largest, np.finfo(np.float32).tiny) / np.float32(127)
            whole, wide = f"{name}.int8", f"{name}.wide"
            stored = {whole: (values / scale).round().astype(np.int8), f"{name}.scale": scale}
            steps = [("Cast", [whole], wide), ("Mul", [wide, f"{name}.scale"], name)]
            _replace(graph, name, stored, steps)


def _weights(graph: Any) -> list[tuple[str, NDArray[np.float32]]]:
    """The larger float32 tensors of a graph, by their names."""
    import onnx

    tensors = [(t.name, onnx.numpy_helper.to_array(t)) for t in graph.graph.initializer]
    return [(name, v) for name, v in tensors if v.dtype == np.float32 and v.size >= 64]


def _replace(
    graph: Any,
    name: str,
    stored: dict[str, NDArray[Any]],
    steps: list[tuple[str, list[str], str]],
) -> None:
    """Put tensors, and the steps that make it of them, in the place of a tensor."""
    import onnx

    (old,) = (tensor for tensor in graph.graph.initializer if tensor.name == name)
    graph.graph.initializer.remove(old)
    graph.graph.initializer.extend(onnx.numpy_helper.from_array(v, n) for n, v in stored.items())
    for operation, inputs, output in reversed(steps):
        options = {"to": onnx.TensorProto.FLOAT} if operation == "Cast" else {}
        node = onnx.helper.make_node(operation, inputs, [output], **options)
        graph.graph.node.insert(0, node)


def write_graph(graph: Any, description: str, values: dict[str, str], path: Path) -> None:
    """Write an ONNX graph, with these values and a checksum as its metadata."""
    import onnx

    graph.doc_string = description
    onnx.helper.set_model_props(graph, values | {"sha256": "0" * 64})
    for node in graph.graph.node:
        # Stack traces with paths of this machine.
        del node.metadata_props[:]
    onnx.checker.check_model(graph)
    try:
        write_whole(path, with_checksum(graph.SerializeToString()))
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror}") from error
