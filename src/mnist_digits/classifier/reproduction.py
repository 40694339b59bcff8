"""What the bits of a run's weights depend on, and whether a second training gives the same."""

from __future__ import annotations

import hashlib
import platform
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ..data.dataset import Digits
from .loop import Run

# The packages whose version can change the images that are trained on, or the weights.
PACKAGES = (
    *("mnist-digit-classification", "torch", "torchvision", "numpy"),
    *("matplotlib", "opencv-python-headless", "pillow"),
)


@dataclass(frozen=True)
class Reproduction:
    """How the weights of two trainings compare.

    Attributes:
        differing: how many weights differ in any bit.
        largest: the largest absolute difference.
        reasons: what differs between the two environments, a sentence each.
    """

    differing: int
    largest: float
    reasons: list[str]

    @property
    def identical(self) -> bool:
        return not self.differing


def compare(run: Run, again: Run, here: dict[str, Any]) -> Reproduction:
    """Compare a finished run with one of the same recipe.

    Args:
        here: the `environment` of `again`; that of the run is in its result.
    """
    differing, largest = 0, 0.0
    weights = again.model.state_dict()
    for name, value in run.model.state_dict().items():
        before, after = value.cpu(), weights[name].cpu()
        bits = [one.reshape(-1, 1).view(torch.uint8) for one in (before, after)]
        differing += int((bits[0] != bits[1]).any(dim=1).sum())
        largest = max(largest, float((before.double() - after.double()).abs().max()))
    return Reproduction(differing, largest, _reasons(run.result, here) if differing else [])


def _reasons(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """What was different when the run was trained, or was not recorded then."""
    before, after = _flat(there), _flat(here)
    return [
        f"{name} was {before[name]}, here it is {value}"
        if name in before
        else f"{name} was not recorded; here it is {value}"
        for name, value in after.items()
        if before.get(name) != value
    ]


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """The record with each package's version as an entry of its own."""
    versions = record.get("versions")
    flat = {name: value for name, value in record.items() if name != "versions"}
    if isinstance(versions, dict):
        flat |= {f"the version of {name}": value for name, value in versions.items()}
    return flat


def environment(digits: Digits) -> dict[str, Any]:
    """What the bits of the weights depend on, beside the recipe, when trained here and now."""
    device = digits.device
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "data_sha256": digits.checksum(),
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in PACKAGES},
        },
        "code_sha256": _code_checksum(),
    }


def _version(package: str) -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return None  # of OpenCV there are several packages


def _code_checksum() -> str:
    """SHA-256 of the package's own modules: during development they change within a version."""
    folder = Path(__file__).parents[1]
    code = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        code.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return code.hexdigest()


def _processor() -> str:
    """The CPU's name where Linux tells it, and the widest instructions that torch uses on it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"{(names or [platform.machine()])[0]}, {torch.backends.cpu.get_cpu_capability()}"
