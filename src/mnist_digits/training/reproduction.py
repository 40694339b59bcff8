"""Compare the weights of a run with those of the same recipe trained again, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from .loop import Run


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
        here: the environment of `again`, from `checkpoint.environment`; that of the run is in
            its result.
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
