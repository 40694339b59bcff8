"""Checkpoints, models, recipes and data sets, damaged: refused, or as they were."""

from __future__ import annotations

import dataclasses
import gzip
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from damage import damaged
from numpy.typing import NDArray

from mnist_digits import (
    FAST,
    CheckpointError,
    DatasetError,
    Digits,
    Reader,
    Recipe,
    RecipeError,
    Run,
    load,
    load_mnist,
    save,
    train,
)
from mnist_digits.classifier.checkpoint import TRAINING, WEIGHTS, load_unfinished
from mnist_digits.data.idx import MNIST_FILES
from mnist_digits.reading.reader import SHIPPED

SMALL = dataclasses.replace(FAST, widths=(4, 8), hidden=16, epochs=2)
# 17 MB: what it takes to load it stands out from what the process needs anyway.
LARGE = dataclasses.replace(SMALL, widths=(16, 256), hidden=1024)
KINDS = ("weights", "training state")


@cache
def folder() -> Path:
    """This process's own."""
    return Path(tempfile.mkdtemp(prefix="damaged-"))


@cache
def originals(recipe: Recipe) -> dict[str, bytes]:
    """A run trained on noise: its file before it was finished, and after."""
    torch.set_num_threads(1)
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (20, 1, 28, 28), generator=random, dtype=torch.uint8)
    place = folder() / "original"
    place.mkdir(exist_ok=True)
    digits = Digits(images, torch.arange(20) % 10)
    run = train(recipe, digits, on_epoch=lambda run: save(run, place))
    state = (place / TRAINING).read_bytes()
    run.result = {"test_accuracy": 0.1}
    save(run, place)
    return {"weights": (place / WEIGHTS).read_bytes(), KINDS[1]: state}


@cache
def undamaged(recipe: Recipe, kind: str) -> Run:
    _write(originals(recipe)[kind], kind)
    return _loaded(kind)


def _write(content: bytes, kind: str) -> None:
    place = folder() / "damaged"
    place.mkdir(exist_ok=True)
    (place / (WEIGHTS if kind == "weights" else TRAINING)).write_bytes(content)


def _loaded(kind: str) -> Run:
    place = folder() / "damaged"
    return load(place) if kind == "weights" else load_unfinished(place)


def checkpoint(number: int, recipe: Recipe = SMALL) -> Callable[[], str]:
    """Damage the weights or the training state of a run, and load it."""
    kind = KINDS[number % 2]
    run, content = undamaged(recipe, kind), originals(recipe)[kind]
    random = np.random.default_rng(abs(number))
    _write(damaged(content, random, list(originals(recipe).values())), kind)

    def trial() -> str:
        try:
            again = _loaded(kind)
        except CheckpointError:
            return "refused"
        return "as it was" if _same(run, again) else "wrong weights"

    return trial


def large_checkpoint(number: int) -> Callable[[], str]:
    """The same with a large one."""
    return checkpoint(2 * number, LARGE)  # its weights, not its training state


def large_size() -> int:
    """Bytes of the large file."""
    return len(originals(LARGE)["weights"])


def _same(run: Run, again: Run) -> bool:
    tensors = [{**one.model.state_dict(), **one.state} for one in (run, again)]
    names = tensors[0].keys()
    alike = names == tensors[1].keys() and run.recipe == again.recipe
    return alike and all(torch.equal(tensors[0][name], tensors[1][name]) for name in names)


@cache
def noise() -> NDArray[np.uint8]:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (3, 28, 28)).astype(np.uint8)


def model(number: int) -> Callable[[], str]:
    """Damage the shipped ONNX model, and load it."""
    content = (SHIPPED / "model.onnx").read_bytes()
    file = folder() / "model.onnx"
    file.write_bytes(damaged(content, np.random.default_rng(abs(number)), []))

    def trial() -> str:
        try:
            reader = Reader.load(file, threads=1)
        except CheckpointError:
            return "refused"
        alike = np.array_equal(reader.classify(noise()), _expected())
        return "as it was" if alike else "wrong weights"

    return trial


@cache
def _expected() -> NDArray[np.float32]:
    return Reader.load(threads=1).classify(noise())


def recipe(number: int) -> Callable[[], str]:
    """Damage a recipe in JSON: what is still one is a recipe of its own."""
    texts = [FAST.to_json().encode(), b'{"widths": [8, 16], "epochs": 3}', b"[" * 2000, b"1e999"]
    random = np.random.default_rng(abs(number))
    content = damaged(texts[abs(number) % 2], random, texts)

    def trial() -> str:
        try:
            Recipe.from_json(content.decode(errors="replace"))
        except RecipeError:
            return "refused"
        return "a recipe"

    return trial


@cache
def few() -> tuple[dict[str, bytes], str]:
    """The four gzipped files of 30 and 30 digits of noise, and what is in them as text."""
    images = np.random.default_rng(0).integers(256, size=(30, 28, 28)).astype(np.uint8)
    packed = [gzip.compress(idx(values), mtime=0) for values in (images, np.arange(30) % 10)]
    files = dict(zip(MNIST_FILES, [*packed, *packed], strict=True))
    content = Digits(torch.from_numpy(images)[:, None], torch.arange(30) % 10).checksum()
    return files, content


def idx(values: NDArray[np.integer]) -> bytes:
    """A file of these bytes, (N, ...)."""
    sizes = np.array([0x0800 + values.ndim, *values.shape], ">u4")
    return sizes.tobytes() + values.astype(np.uint8).tobytes()


def data_set(number: int) -> Callable[[], str]:
    """Damage a file of a data set, or put something else in its place, and load it."""
    files, content = few()
    place = folder() / "data"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name in files:
        (place / name).write_bytes(files[name])
    random = np.random.default_rng(abs(number))
    _spoil(place / list(files)[number % 4], abs(number) // 4 % 6, random)

    def trial() -> str:
        try:
            loaded = load_mnist(place)
        except DatasetError:
            return "refused"
        return "as it was" if all(part.checksum() == content for part in loaded) else "wrong data"

    return trial


def _spoil(file: Path, way: int, random: np.random.Generator) -> None:
    content = file.read_bytes()
    file.unlink()
    if way == 0:
        return
    if way == 1:
        file.mkdir()
    elif way == 2:
        file.symlink_to(file.with_name("nowhere"))
    elif way == 3:  # of the right size, with one bit that is not
        values = bytearray(content)
        values[random.integers(len(values))] ^= 1 << int(random.integers(8))
        file.write_bytes(bytes(values))
    else:
        file.write_bytes(damaged(content, random, []))
