"""A run on disk: weights, recipe, history and results.

    runs/2026-01-31_14-15-16-fast/
        model.safetensors    the weights, with everything else as JSON in the file's header
        metrics.jsonl        a line an epoch
        training.safetensors what an unfinished run needs to go on; gone when it is finished
        result.json          only once the run is finished

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
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..data.dataset import Digits
from ..errors import CheckpointError, RecipeError
from ..files import remove_leftovers, write_whole
from .evaluation import Evaluation, evaluate, summary
from .loop import Epoch, Run
from .model import network
from .recipe import DetectorRecipe, Recipe
from .state import expected, group, prefixed

WEIGHTS = "model.safetensors"
TRAINING = "training.safetensors"
METRICS = "metrics.jsonl"
RESULT = "result.json"
FORMAT = "mnist-digits run 1"
CHECKSUM = "sha256"
# The packages whose version can change the images that are trained on, or the weights.
PACKAGES = (
    *("mnist-digit-classification", "torch", "torchvision", "numpy"),
    *("matplotlib", "opencv-python-headless", "pillow"),
)


def new_directory(recipe: Recipe | DetectorRecipe, chosen: Path | None = None) -> Path:
    """Make the folder of a run: the chosen one, or `runs/<time>-<recipe>`.

    Raises:
        CheckpointError: the chosen one exists, or it cannot be made.
    """
    directory = chosen or Path("runs") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{recipe.name}"
    stem, number = directory.name, 1
    while True:
        try:
            # One after the other: where runs/ is a link to nowhere, it would be runs/ that exists.
            directory.parent.mkdir(parents=True, exist_ok=True)
            directory.mkdir()
            return directory
        except FileExistsError as error:
            if not directory.parent.is_dir():
                raise CheckpointError(
                    f"cannot make the folder {directory}: {directory.parent} is no folder; "
                    f"remove it, or choose another place"
                ) from error
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
        "held_out": json.dumps(run.held_out),
    }
    weights = {name: value.contiguous() for name, value in run.model.state_dict().items()}
    with _writing(directory):
        if run.state and not run.result:
            # The weights, too: whoever is stopped between two files must not mix two epochs.
            state = {name: value.contiguous() for name, value in run.state.items()}
            both = prefixed("model.", weights) | prefixed("state.", state)
            write_whole(directory / TRAINING, _content(both, header))
        write_whole(directory / WEIGHTS, _content(weights, header))
        lines = "".join(json.dumps(epoch) + "\n" for epoch in history)
        write_whole(directory / METRICS, lines.encode())
        if run.result:
            text = json.dumps(run.result, indent=2) + "\n"
            write_whole(directory / RESULT, text.encode())
            (directory / TRAINING).unlink(missing_ok=True)
            for name in (WEIGHTS, TRAINING, METRICS, RESULT):
                remove_leftovers(directory / name)


def _content(tensors: dict[str, Tensor], header: dict[str, str]) -> bytes:
    """A file of these tensors and this header, with its checksum."""
    return safetensors.torch.save(tensors, header | {CHECKSUM: content_checksum(tensors, header)})


def content_checksum(tensors: dict[str, Tensor], header: dict[str, str]) -> str:
    """SHA-256 of the header without its checksum, and of every tensor with its name."""
    said = sorted((key, value) for key, value in header.items() if key != CHECKSUM)
    content = hashlib.sha256(json.dumps(said).encode())
    for name, tensor in sorted(tensors.items()):
        content.update(name.encode())
        content.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()


def load(path: Path) -> Run:
    """The run in a folder, or in a `model.safetensors` on its own, on the CPU.

    Raises:
        CheckpointError: there is none, or the file is damaged or something else.
    """
    file = path / WEIGHTS if os.path.isdir(path) else path
    if not os.path.isfile(file):
        raise CheckpointError(f"there is no run at {path}: no file {file}")
    run, weights = _read(file, lambda run: run.model.state_dict())
    return _with_weights(run, weights)


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
    run, tensors = _read(
        file,
        lambda run: (
            prefixed("model.", run.model.state_dict()) | prefixed("state.", expected(run.recipe))
        ),
    )
    run.state = group("state.", tensors)
    return _with_weights(run, group("model.", tensors))


def _read(file: Path, wanted: Callable[[Run], dict[str, Tensor]]) -> tuple[Run, dict[str, Tensor]]:
    """The run in the file's header, without weights, and the file's tensors.

    Args:
        wanted: gives the names, shapes and types that the tensors of such a run must have.
    """
    try:
        _refuse_pickle(file)
        with safe_open(file, framework="pt") as tensors:
            header = tensors.metadata() or {}
            run = _from_header(header)
            missing = _compare(tensors, wanted(run))
            # Cloned: otherwise they are windows onto a file that may change.
            loaded = {name: tensors.get_tensor(name).clone() for name in tensors.keys()}  # noqa: SIM118
            if header.get(CHECKSUM) != content_checksum(loaded, header):
                raise CheckpointError("it is damaged: its checksum is not that of its content")
            return run, loaded | missing
    except (CheckpointError, RecipeError, SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} does not hold a run: {error}") from error


def _with_weights(run: Run, weights: dict[str, Tensor]) -> Run:
    run.model.load_state_dict(weights, assign=True)
    run.model.to(memory_format=torch.channels_last)
    return run


def measure(run: Run, digits: Digits, test: Digits) -> tuple[Evaluation, Evaluation]:
    """Evaluate a run on the digits that it was trained on and the test set; set its `result`."""
    on_train, on_test = evaluate(run.model, digits), evaluate(run.model, test)
    run.result = result(run, on_train, on_test, digits)
    return on_train, on_test


def result(run: Run, on_train: Evaluation, on_test: Evaluation, digits: Digits) -> dict[str, Any]:
    """What `result.json` holds: the run's metrics, and what is needed to reproduce them.

    Accuracies are fractions of 1, times are seconds; `digits` are those that it was trained on.
    """
    return {
        **summary(on_train, on_test),
        "temperature": float(run.model.temperature),
        "validation_accuracy": run.history[-1].validation_accuracy,
        "held_out": run.held_out,
        "training_seconds": run.training_seconds,
        "seed": run.recipe.seed,
        "recipe": dataclasses.asdict(run.recipe),
        "parameters": sum(parameter.numel() for parameter in run.model.parameters()),
        **environment(digits),
    }


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
            f"it is a pickle (torch.save): it could run code of its own and is never loaded; "
            f"bring the weights as {WEIGHTS}"
        )


def _from_header(header: dict[str, str]) -> Run:
    """The run in the header, its network on the device `meta`, without memory for weights."""
    if header.get("format") != FORMAT:
        raise CheckpointError("its header is not that of mnist-digits; train writes such files")
    try:
        recipe = _recipe(header["recipe"])
        history = [_epoch(epoch) for epoch in json.loads(header["history"])]
        seconds = float(header["training_seconds"])
        outcome = _outcome(json.loads(header["result"]))
        # Files of before 1.0 do not tell; then the slice was held out where it was measured.
        measured = bool(history) and history[-1].validation_accuracy is not None
        held_out = bool(json.loads(header.get("held_out", json.dumps(measured))))
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"its header is damaged ({error})") from error
    # Of an ensemble that is not finished there are fewer.
    members = min(max(1, -(-len(history) // recipe.epochs)), recipe.ensemble_size)
    with torch.device("meta"):
        model = network(recipe, members)
    return Run(recipe, model, history, seconds, outcome, held_out=held_out)


def _recipe(text: str) -> Recipe:
    """A run's recipe. Before there was a `calibration_fraction`, it learned from all images."""
    recipe = Recipe.from_json(text)
    if "calibration_fraction" in json.loads(text):
        return recipe
    return dataclasses.replace(recipe, calibration_fraction=0)


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


def _outcome(result: Any) -> dict[str, Any]:
    """The result; TypeError if the entries that commands use have wrong types."""
    if not isinstance(result, dict) or not isinstance(result.get("versions", {}), dict):
        raise TypeError("the result is no object, or has no object of versions")
    threads = result.get("threads", 1)
    if not isinstance(threads, int) or not 1 <= threads <= 1024:
        raise TypeError(f"the result has {threads!r} threads")
    return result


def _compare(tensors: Any, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Check that the file has exactly the wanted tensors, in their shapes and types.

    Returns the temperatures that it lacks: files of before networks had them mean 1.
    """
    names = set(tensors.keys())
    lacking = {name for name in wanted.keys() - names if name.endswith("temperature")}
    if names | lacking != wanted.keys():
        odd = sorted((names | lacking) ^ wanted.keys())
        raise CheckpointError(f"its weights are not those of its recipe's network: {odd[:3]}")
    for name in names:
        part, value = tensors.get_slice(name), wanted[name]
        found = (tuple(part.get_shape()), part.get_dtype())
        if found != _kind(value):
            raise CheckpointError(
                f"its {name} is {found}, the recipe's network has {tuple(value.shape)}"
            )
    return {name: torch.ones(()) for name in lacking}


def _kind(value: Tensor) -> tuple[tuple[int, ...], str]:
    return tuple(value.shape), {torch.float32: "F32", torch.int64: "I64"}[value.dtype]
