"""A run on disk: weights, recipe, history and results.

    runs/2026-01-31_14-15-16-fast/
        training.safetensors  what an unfinished run needs to go on; gone when it is finished
        model.safetensors     the finished run: weights, with everything else in the file's header
        result.json           its results once more, for whoever reads without this package

Each file appears whole or not at all. Nothing is ever unpickled: safetensors holds numbers
and text, and names and shapes are compared with those of the recipe's network before memory is
taken for them. A SHA-256 in the header shows that the file is as it was written; it does not
show who wrote it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import CheckpointError
from ..files import remove_leftovers, write_whole
from .loop import Epoch, Run
from .model import DigitNet
from .optimization import expected
from .recipe import DetectorRecipe, Recipe

WEIGHTS = "model.safetensors"
TRAINING = "training.safetensors"
RESULT = "result.json"
FORMAT = "mnist-digits run 1"
CHECKSUM = "sha256"


def new_directory(recipe: Recipe | DetectorRecipe, chosen: Path | None = None) -> Path:
    """Make the folder of a run: the chosen one, or `runs/<time>-<recipe>`.

    Raises:
        CheckpointError: the chosen one exists, or it cannot be made.
    """
    wanted = chosen or Path("runs") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{recipe.name}"
    directory, number = wanted, 1
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                directory.mkdir()
                return directory
            except FileExistsError:
                if chosen:
                    raise
                number += 1  # several runs may start in the same second
                directory = wanted.with_name(f"{wanted.name}-{number}")
    except OSError as error:
        taken = isinstance(error, FileExistsError)
        if taken and wanted.parent.is_dir():
            raise CheckpointError(
                f"{wanted} exists already: choose another folder, or remove that one"
            ) from error
        why = f"{wanted.parent} is no folder" if taken else error.strerror
        raise CheckpointError(
            f"cannot make the folder {wanted}: {why}; choose one in a place that you can write to"
        ) from error


def save(run: Run, directory: Path) -> None:
    """Write the run: what it can go on from, or once it has a result, what it has become.

    Raises:
        CheckpointError: the folder cannot be written, or the disk is full.
    """
    facts = run.facts()
    header = {
        "format": FORMAT,
        "recipe": run.recipe.to_json(),
        "history": json.dumps([dataclasses.asdict(epoch) for epoch in run.history]),
        "held_out": json.dumps(run.held_out),
        "result": json.dumps({k: v for k, v in run.result.items() if k not in facts}),
    }
    tensors = run.model.state_dict() | ({} if run.result else run.state)
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    header[CHECKSUM] = content_checksum(tensors, header)
    content = safetensors.torch.save(tensors, header)
    try:
        if not run.result:
            write_whole(directory / TRAINING, content)
            return
        write_whole(directory / WEIGHTS, content)
        write_whole(directory / RESULT, (json.dumps(run.result, indent=2) + "\n").encode())
        (directory / TRAINING).unlink(missing_ok=True)
        for name in (WEIGHTS, TRAINING, RESULT):
            remove_leftovers(directory / name)
    except OSError as error:
        raise CheckpointError(
            f"cannot write the run to {directory}: {error.strerror}; "
            f"make room there, or choose another folder"
        ) from error


def content_checksum(tensors: dict[str, Tensor], header: dict[str, str]) -> str:
    """SHA-256 of the header without its checksum, and of every tensor with its name."""
    said = sorted((key, value) for key, value in header.items() if key != CHECKSUM)
    content = hashlib.sha256(json.dumps(said).encode())
    for name, tensor in sorted(tensors.items()):
        content.update(name.encode())
        content.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()


def load(path: Path) -> Run:
    """The run in a folder, finished or not, or in a file on its own, on the CPU.

    Raises:
        CheckpointError: there is none, or the file is damaged or something else.
    """
    file = path
    if os.path.isdir(path):
        unfinished = not os.path.isfile(path / WEIGHTS) and os.path.isfile(path / TRAINING)
        file = path / (TRAINING if unfinished else WEIGHTS)
    if not os.path.isfile(file):
        raise CheckpointError(f"there is no run at {path}: no file {file}")
    try:
        with safe_open(file, framework="pt") as content:
            header = content.metadata() or {}
            run = _from_header(header)
            _compare(content, run)
            # Cloned: otherwise they are windows onto a file that may change.
            tensors = {name: content.get_tensor(name).clone() for name in content.keys()}  # noqa: SIM118
        if header.get(CHECKSUM) != content_checksum(tensors, header):
            raise CheckpointError("it is damaged: its checksum is not that of its content")
    except (CheckpointError, SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} does not hold a run: {error}") from error
    weights = {name: tensors.pop(name) for name in run.model.state_dict()}
    run.model.load_state_dict(weights, assign=True)
    run.state = tensors
    run.model.to(memory_format=torch.channels_last)
    if run.result:
        run.result |= run.facts()
    return run


def load_unfinished(directory: Path) -> Run:
    """The run in a folder, with the state to go on from: for `train(resume=...)`.

    Raises:
        CheckpointError: there is none, it is finished, or the file is damaged.
    """
    file = directory / TRAINING
    if (directory / RESULT).is_file():
        raise CheckpointError(f"the run in {directory} is finished: there is nothing to resume")
    if not file.is_file():
        raise CheckpointError(
            f"there is no run to resume in {directory}: no file {file}; it was stopped before its "
            f"first epoch was saved: remove the folder, and train anew"
        )
    run = load(file)
    if not run.state:
        raise CheckpointError(f"{file} has no state to go on from")
    return run


def _from_header(header: dict[str, str]) -> Run:
    """The run in the header, its network on the device `meta`, without memory for weights."""
    if header.get("format") != FORMAT:
        raise CheckpointError("its header is not that of mnist-digits; train writes such files")
    try:
        recipe = Recipe.from_json(header["recipe"])
        history = [_epoch(epoch) for epoch in json.loads(header["history"])]
        held_out, result = bool(json.loads(header["held_out"])), json.loads(header["result"])
        if not isinstance(result, dict) or not isinstance(result.get("versions", {}), dict):
            raise TypeError("the result is no object, or has no object of versions")
        threads = result.get("threads", 1)
        if not isinstance(threads, int) or not 1 <= threads <= 1024:
            raise TypeError(f"the result has {threads!r} threads")
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"its header is damaged ({error})") from error
    with torch.device("meta"):
        model = DigitNet(recipe)
    return Run(recipe, model, history, result, held_out=held_out)


def _epoch(values: dict[str, Any]) -> Epoch:
    """An epoch of the history; TypeError, ValueError or OverflowError if it has bad values."""
    epoch = Epoch(**values)
    for name, value in values.items():
        for number in value if name.endswith("_curve") else [value]:
            if number is None and name == "validation_accuracy":
                continue
            if not isinstance(number, (int, float)):
                raise TypeError(f"the history has {number!r} in the place of a number")
            float(number)  # a whole number can be too large for one
    return epoch


def _compare(content: Any, run: Run) -> None:
    """Check that the file has exactly the run's tensors, in their shapes and types."""
    parts = {name: content.get_slice(name) for name in content.keys()}  # noqa: SIM118
    found = {name: (part.get_dtype(), part.get_shape()) for name, part in parts.items()}
    tensors = run.model.state_dict()
    if not found.keys() <= tensors.keys():
        tensors |= expected(run.model)
    types = {torch.float32: "F32", torch.int64: "I64"}
    wanted = {name: (types[value.dtype], [*value.shape]) for name, value in tensors.items()}
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise CheckpointError(
                f"its weights are not those of its recipe's network: {name} is {found.get(name)}, "
                f"not {wanted.get(name)}"
            )
