"""The two networks that read pictures as ONNX files, with the steps before and after them.

    detect.onnx   pixels of any size, and the size to reduce them to
                  -> the reduced pixels, and proposals: places and sizes where digits may be
    look.onnx     pixels, and proposals
                  -> what each is, its box, its ink, and that framed as in MNIST

Whoever runs them has only to choose among the answers.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..classifier.export import graph_of, quantize, write_graph
from ..reading.detection import DETECT, DETECT_FORMAT, LOOK, LOOK_FORMAT, MODELS, NAMES
from ..synthesis.canvas import NARROW
from ..synthesis.size_normalization import size_normalized
from .fit import DetectorRun
from .networks import MULTIPLE, SEPARATOR, SMALLEST, STRIDE, DetectNet, LookNet, crops, places_of

Network = TypeVar("Network", bound=nn.Module)

# The most proposals: a picture with more of them is not a page of digits, but a texture.
PROPOSALS = 1200

# What each file says of itself, where ONNX Runtime shows it (`get_modelmeta().description`).
DETECTS = (
    "Proposes where handwritten digits are. In: pixels, uint8 (H, W, 3), RGB; size, int64 (2,), "
    "the height and width h, w to reduce them to. Out: reduced, uint8 (h, w, 3); proposals, "
    f"float32 ({PROPOSALS}, 4), x, y and size in its pixels, and the score, 0 to 1, descending."
)
LOOKS = (
    "Names handwritten digits. In: pixels, uint8 (H, W, 3), RGB; proposals, float32 (P, 3), x, y "
    "and size in pixels. Out: classes, float32 (P, 13), logits of the digits, separator, minus and "
    "none; scores, float32 (P,), the probability of a digit; boxes, float32 (P, 4), x0, y0, x1, y1 "
    "in pixels; places, float32 (P, 3), their middles and sizes, as of proposals; ink, float32 "
    "(P, 56, 56), 0 to 1, in a square of two sizes around the proposal; frames, uint8 "
    "(P, 28, 28), the ink framed as in MNIST."
)

# What torch's exporter cannot express: resizing with antialias to a given size, and filling up to
# whole multiples of 32 with the pixels at the edge.
REDUCE = f"""
<ir_version: 10, opset_import: ["" : 20]>
reduce (uint8[H, W, 3] pixels, int64[2] size) =>
    (uint8[h, w, 3] reduced, uint8[high, wide, 3] filled, int64[2] within)
<int64[1] first = {{0}}, int64[1] multiple = {{{MULTIPLE}}}, int64[3] begin = {{0, 0, 0}}>
{{
    pictures = Unsqueeze (pixels, first)
    resized = Resize <mode = "linear", antialias = 1, axes = [1, 2]> (pictures, , , size)
    reduced = Squeeze (resized, first)
    negative = Neg (size)
    missing = Mod (negative, multiple)
    pads = Concat <axis = 0> (begin, missing, first)
    filled = Pad <mode = "edge"> (reduced, pads)
    within = Identity (size)
}}
"""


class Proposals(nn.Module):
    """Pixels uint8 (H, W, 3), H and W multiples of 32, to proposals (1200, 4).

    Each is x, y and size in pixels, and the score; the highest score comes first. If there are
    fewer, the others have a score of 0. The picture is only as high and wide as `size` (2,); the
    other pixels fill it up.
    """

    def __init__(self, model: DetectNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor, size: Tensor) -> Tensor:
        places = places_of(self.model(pixels.permute(2, 0, 1)[None]))[0]
        rows = (torch.arange(places.shape[1], device=pixels.device) * STRIDE)[:, None]
        columns = (torch.arange(places.shape[2], device=pixels.device) * STRIDE)[None]
        places = places * ((rows < size[0]) & (columns < size[1]))
        table = torch.cat([places.flatten(1).T, places.new_zeros(PROPOSALS, 4)])
        best = table[:, 3].topk(PROPOSALS).indices
        return table[best]


class Looks(nn.Module):
    """Pixels uint8 (H, W, 3) and proposals (P, 3) to what LOOKS says."""

    def __init__(self, model: LookNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor, proposals: Tensor) -> tuple[Tensor, ...]:
        numbered = torch.cat([torch.zeros_like(proposals[:, :1]), proposals], dim=1)
        classes, ink, offsets = self.model(crops(pixels.permute(2, 0, 1)[None], numbered))
        scores = classes.softmax(dim=1)[:, :SEPARATOR].sum(dim=1)
        middles, size = proposals[:, :2], proposals[:, 2:]
        corners = middles + size * offsets[:, :2], middles + size * offsets[:, 2:]
        limit = torch.tensor([pixels.shape[1], pixels.shape[0]]).to(offsets)
        low, high = (
            torch.minimum(corner.clamp_min(0), limit)
            for corner in (torch.minimum(*corners), torch.maximum(*corners))
        )
        sides = high - low
        size = torch.maximum(sides[:, 1:], NARROW * sides[:, :1]).clamp_min(SMALLEST)
        places = torch.cat([(low + high) / 2, size], dim=1)
        ink = ink.sigmoid()
        return classes, scores, torch.cat([low, high], dim=1), places, ink, size_normalized(ink)


def export_networks(
    run: DetectorRun, folder: Path = MODELS, values: dict[str, Any] | None = None
) -> None:
    """Write detect.onnx and look.onnx, with weights as `quantize` stores them.

    Args:
        values: what calibration found, for the reader: `answer` and `sure_above`.

    Raises:
        CheckpointError: the packages for it are missing, or a file cannot be written.
    """
    result = run.history[-1] if run.history else {}
    information = {"recipe": dataclasses.asdict(run.recipe), "result": result}
    about = {"information": json.dumps(information)}
    write_graph(
        detect_graph(run.model.detect), DETECTS, {"format": DETECT_FORMAT, **about}, folder / DETECT
    )
    calibration = {name: json.dumps(value) for name, value in (values or {}).items()}
    write_graph(
        look_graph(run.model.look),
        LOOKS,
        {"format": LOOK_FORMAT, **calibration, **about},
        folder / LOOK,
    )


def detect_graph(model: DetectNet) -> Any:
    """The ONNX graph from `pixels` and `size` to `reduced` and `proposals`."""
    size = torch.export.Dim
    example = {
        "filled": torch.zeros(96, 128, 3, dtype=torch.uint8),
        "within": torch.tensor([90, 120]),
    }
    dynamic = {"filled": {0: MULTIPLE * size("high"), 1: MULTIPLE * size("wide")}, "within": {}}
    proposes = graph_of(Proposals(copied(model)), example, ["proposals"], dynamic)
    quantize(proposes)
    return _reducing(proposes)


def _reducing(proposes: Any) -> Any:
    """The graph that proposes, after one that reduces the pixels for it."""
    import onnx

    reduce = onnx.parser.parse_model(REDUCE)
    reduce.ir_version = proposes.ir_version
    links = [(name, name) for name in ("filled", "within")]
    outputs = ["reduced", "proposals"]
    return onnx.compose.merge_models(reduce, proposes, links, outputs=outputs)


def look_graph(model: LookNet) -> Any:
    """The ONNX graph from `pixels` and `proposals` to what LOOKS says."""
    size = torch.export.Dim
    example = {
        "pixels": torch.zeros(96, 128, 3, dtype=torch.uint8),
        "proposals": torch.tensor([[40.0, 40.0, 30.0], [60.0, 50.0, 20.0], [60.0, 50.0, 20.0]]),
    }
    dynamic = {"pixels": {0: size("h"), 1: size("w")}, "proposals": {0: size("P")}}
    graph = graph_of(Looks(copied(model)), example, NAMES, dynamic)
    quantize(graph)
    return graph


def copied(model: Network) -> Network:
    """A copy to export: the network itself stays on its device, in its memory format."""
    return copy.deepcopy(model).cpu().to(memory_format=torch.contiguous_format).eval()
