"""A run on disk: weights, recipe, history and results.

    runs/2026-01-31_14-15-16-fast/
        model.safetensors    the weights, with everything else as JSON in the file's header
        metrics.jsonl        a line an epoch
        result.json          only once the run is finished

Each file appears whole or not at all. Nothing is ever unpickled: safetensors holds
numbers and text, and what is in a file is compared with what its recipe asks for before
any memory is taken for it.
"""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import CheckpointError, RecipeError
from .evaluation import Evaluation, summary
from .files import write_whole
from .model import DigitNet, Ensemble, network
from .recipe import Recipe
from .training import Epoch, Run

WEIGHTS = "model.safetensors"
METRICS = "metrics.jsonl"
RESULT = "result.json"
FORMAT = "mnist-digits run 1"


def new_directory(recipe: Recipe, chosen: Path | None = None) -> Path:
    """Make the folder of a run: the chosen one, or `runs/<time>-<recipe>`.

    Raises:
        CheckpointError: the chosen one exists, or it cannot be made.
    """
    directory = chosen or Path("runs") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{recipe.name}"
    stem, number = directory.name, 1
    while True:
        try:
            directory.mkdir(parents=True)
            return directory
        except FileExistsError as error:
            if chosen:
                raise CheckpointError(
                    f"{chosen} exists already: choose another folder, or remove that one"
                ) from error
            # Two runs started in the same second.
            number += 1
            directory = directory.with_name(f"{stem}-{number}")
        except OSError as error:
            raise CheckpointError(
                f"cannot make the folder {directory}: {error.strerror}; "
                f"choose one in a place that you can write to"
            ) from error


def save(run: Run, directory: Path) -> None:
    """Write what there is of the run; `result.json` only if the run has a result.

    Raises:
        CheckpointError: the folder cannot be written, or the disk is full.
    """
    history = [dataclasses.asdict(epoch) for epoch in run.history]
    header = {
        "format": FORMAT,
        "recipe": run.recipe.to_json(),
        "history": json.dumps(history),
        "training_seconds": json.dumps(run.training_seconds),
        "result": json.dumps(run.result),
    }
    weights = {name: value.contiguous() for name, value in run.model.state_dict().items()}
    with _writing(directory):
        write_whole(directory / WEIGHTS, safetensors.torch.save(weights, header))
        lines = "".join(json.dumps(epoch) + "\n" for epoch in history)
        write_whole(directory / METRICS, lines.encode())
        if run.result:
            text = json.dumps(run.result, indent=2) + "\n"
            write_whole(directory / RESULT, text.encode())


def load(path: Path) -> Run:
    """The run in a folder, or in a `model.safetensors` on its own, on the CPU.

    Raises:
        CheckpointError: there is none, or the file is damaged or something else.
    """
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise CheckpointError(f"there is no run at {path}: no file {file}")
    _refuse_pickle(file)
    try:
        with safe_open(file, framework="pt") as tensors:
            run = _from_header(tensors.metadata() or {})
            _compare(tensors, run.model)
            # Cloned: otherwise they are windows onto a file that may change.
            weights = {name: tensors.get_tensor(name).clone() for name in tensors.keys()}  # noqa: SIM118
    except (CheckpointError, RecipeError, SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} does not hold a run: {error}") from error
    run.model.load_state_dict(weights, assign=True)
    run.model.to(memory_format=torch.channels_last)
    return run


def result(run: Run, on_train: Evaluation, on_test: Evaluation) -> dict[str, Any]:
    """What `result.json` holds: the run's figures, and what is needed to have them again.

    Accuracies are fractions of 1, times are seconds.
    """
    device = next(run.model.parameters()).device
    return {
        **summary(on_train, on_test),
        "validation_accuracy": run.history[-1].validation_accuracy,
        "training_seconds": run.training_seconds,
        "seed": run.recipe.seed,
        "recipe": dataclasses.asdict(run.recipe),
        "parameters": sum(parameter.numel() for parameter in run.model.parameters()),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "mnist-digit-classification": metadata.version("mnist-digit-classification"),
            **{name: metadata.version(name) for name in ("torch", "torchvision", "numpy")},
        },
    }


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"cannot write the run to {directory}: {error.strerror}; "
            f"make room there, or choose another folder"
        ) from error


def _refuse_pickle(file: Path) -> None:
    with file.open("rb") as content:
        start = content.read(9)
    # torch.save writes a zip archive (PK) with a pickle in it, \x80 opens a bare pickle. Both
    # can also be the length that opens a safetensors file; but there { follows at byte 8.
    if start.startswith((b"PK", b"\x80")) and start[8:] != b"{":
        raise CheckpointError(
            f"{file} is a pickle (torch.save): it could run code of its own and is never "
            f"loaded; bring the weights as {WEIGHTS}"
        )


def _from_header(header: dict[str, str]) -> Run:
    """The run that the header tells of, its network without memory for the weights."""
    if header.get("format") != FORMAT:
        raise CheckpointError("its header is not that of mnist-digits; train writes such files")
    try:
        recipe = Recipe.from_json(header["recipe"])
        history = [Epoch(**epoch) for epoch in json.loads(header["history"])]
        seconds = float(header["training_seconds"])
        outcome = json.loads(header["result"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"its header is damaged ({error})") from error
    if not isinstance(outcome, dict):
        raise CheckpointError("its header is damaged (the result is no object)")
    with torch.device("meta"):
        model = network(recipe)
    return Run(recipe, model, history, seconds, outcome)


def _compare(tensors: Any, model: DigitNet | Ensemble) -> None:
    """See that the file has just the tensors of the network, in its shapes and types."""
    wanted = {name: _kind(value) for name, value in model.state_dict().items()}
    names = set(tensors.keys())
    if names != wanted.keys():
        odd = sorted(names ^ wanted.keys())
        raise CheckpointError(f"its weights are not those of its recipe's network: {odd[:3]}")
    for name, (shape, dtype) in wanted.items():
        part = tensors.get_slice(name)
        found = (tuple(part.get_shape()), part.get_dtype())
        if found != (shape, dtype):
            raise CheckpointError(f"its {name} is {found}, the recipe's network has {shape}")


def _kind(value: Tensor) -> tuple[tuple[int, ...], str]:
    return tuple(value.shape), {torch.float32: "F32", torch.int64: "I64"}[value.dtype]
