"""The MNIST data set as tensors: `load_mnist()` needs no network and no preparation.

The four files ship inside the package (`data/mnist.tar.xz`, 9 MB). The first call unpacks
them into the user's cache folder. Every call checks their SHA-256 sums (40 ms for the 55 MB),
so that no result comes from damaged data. They lie where `torchvision.datasets.MNIST` looks for
them, and it reads the same from them.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import platformdirs
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DatasetError
from ..files import write_whole

CACHE_VARIABLE = "MNIST_DIGITS_DATA"

# A file's bytes, (size,).
Content = NDArray[np.uint8]

# Bytes and SHA-256 of the files as published.
# fmt: off
MNIST_FILES = {
    "train-images-idx3-ubyte":
        (47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    "train-labels-idx1-ubyte":
        (60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "t10k-images-idx3-ubyte":
        (7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    "t10k-labels-idx1-ubyte":
        (10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}
# fmt: on

# Test images whose label people agree is wrong: the 15 of 100 candidates that annotators
# confirmed (Northcutt, Athalye and Mueller, "Pervasive Label Errors in Test Sets
# Destabilize Machine Learning Benchmarks", 2021).
WRONG_TEST_LABELS = (
    *(947, 1621, 1901, 2130, 2462, 2597, 2654, 3520),
    *(3558, 5937, 6651, 6783, 8527, 9679, 9729),
)


@dataclass(frozen=True, eq=False)
class Digits:
    """Images of digits with their labels, side by side on one device.

    Attributes:
        images: uint8 (N, 1, 28, 28), light ink on a dark ground, as in the MNIST files.
        labels: int64 (N,), 0 to 9.

    Raises:
        DatasetError: the tensors have other shapes, types or devices.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1:] != (1, 28, 28):
            raise DatasetError(
                f"images must be uint8 (N, 1, 28, 28), not {images.dtype} {tuple(images.shape)}"
            )
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            raise DatasetError(
                f"labels must be int64 ({len(images)},), not {labels.dtype} {tuple(labels.shape)}"
            )
        if labels.device != images.device:
            raise DatasetError(f"images are on {images.device}, labels on {labels.device}")

    def __repr__(self) -> str:
        return f"Digits({len(self):,} on {self.device})"

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: slice | list[int] | Tensor) -> Digits:
        """The digits with these indices; a slice, a list of indices, or a mask."""
        if not isinstance(indices, Tensor):
            return Digits(self.images[indices], self.labels[indices])
        if indices.dtype == torch.bool:
            indices = indices.nonzero()[:, 0]
        # 40 ms for the 60,000, where images[indices] takes 110.
        images, labels = (part.index_select(0, indices) for part in (self.images, self.labels))
        return Digits(images, labels)

    @property
    def device(self) -> torch.device:
        return self.images.device

    def to(self, device: torch.device | str) -> Digits:
        return Digits(self.images.to(device), self.labels.to(device))

    def checksum(self) -> str:
        """SHA-256 of the images and labels, as hexadecimal text: 40 ms for the 60,000."""
        content = hashlib.sha256(self.images.cpu().reshape(-1).numpy().data)
        content.update(self.labels.cpu().numpy().data)
        return content.hexdigest()


def load_mnist(root: str | os.PathLike[str] | None = None) -> tuple[Digits, Digits]:
    """The 60,000 training and the 10,000 test digits.

    Args:
        root: folder of the files, laid out as torchvision lays it out
            (`root/MNIST/raw/...`). Without one: `$MNIST_DIGITS_DATA`, or else the user's
            cache folder.

    A file that is damaged, truncated or something else is put aside under the name
    `....replaced` and written anew, with a warning.

    Raises:
        DatasetError: the folder cannot be made, read or written.
    """
    folder = Path(root) if root is not None else cache_folder()
    try:
        contents = _provide_files(folder.expanduser() / "MNIST" / "raw")
    except (OSError, RuntimeError) as error:
        raise DatasetError(
            f"cannot keep the MNIST files in {folder}: {error}; "
            f"choose a folder that you can write to, with 100 MB free, by ${CACHE_VARIABLE}"
        ) from error
    return _digits(contents, "train"), _digits(contents, "t10k")


def cache_folder() -> Path:
    """`$MNIST_DIGITS_DATA`, or the user's cache folder by the platform's convention."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else platformdirs.user_cache_path("mnist-digits")


def split_validation(train: Digits) -> tuple[Digits, Digits]:
    """Cut a validation slice from the training set: (what remains, validation).

    Every sixth image of each digit, in file order, goes to validation. So the split is always
    the same, has the training set's class balance, and spreads over all of the file's writers.
    Of the 60,000 it takes 9,996, about as many as the test set has.
    """
    held_out = torch.zeros_like(train.labels, dtype=torch.bool)
    for digit in range(10):
        indices = (train.labels == digit).nonzero()[:, 0]
        held_out[indices[5::6]] = True
    return train[~held_out], train[held_out]


def _provide_files(raw: Path) -> dict[str, Content]:
    """The four files by name; those that are missing or damaged are first put into `raw`."""
    contents = _genuine(raw, MNIST_FILES)
    missing = [name for name in MNIST_FILES if name not in contents]
    if not missing:
        return contents
    raw.mkdir(parents=True, exist_ok=True)
    for name in missing:
        # Before anything is written: later, another process that started at the same time
        # may have put the genuine file there.
        if (raw / name).exists():
            _put_aside(raw / name)
    _unpack(raw, missing)
    contents |= _genuine(raw, missing)
    wrong = [name for name in missing if name not in contents]
    if wrong:
        raise DatasetError(
            f"{raw / wrong[0]} is wrong right after it was written: "
            f"the disk, or the package's own copy, is damaged"
        )
    return contents


def _genuine(raw: Path, names: Iterable[str]) -> dict[str, Content]:
    """Those of the files that are there and as published, by name."""
    contents = {}
    for name in names:
        path, (size, sha256) = raw / name, MNIST_FILES[name]
        # The size first: another file may be larger than memory.
        if path.is_file() and path.stat().st_size == size:
            content = np.fromfile(path, np.uint8)
            if hashlib.sha256(content.data).hexdigest() == sha256:
                contents[name] = content
    return contents


def _put_aside(path: Path) -> None:
    aside = path.with_name(path.name + ".replaced")
    path.replace(aside)
    warnings.warn(
        f"{path} was not the genuine MNIST file (damaged, truncated or another): "
        f"it is written anew, the old one is kept as {aside.name}",
        stacklevel=4,
    )


def _unpack(raw: Path, names: list[str]) -> None:
    archive = resources.files(__package__) / "mnist.tar.xz"
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:xz") as members:
            contents = {name: members.extractfile(name).read() for name in names}  # type: ignore[union-attr]
    except (OSError, EOFError, tarfile.TarError, KeyError) as error:
        raise DatasetError(
            f"the package's own copy of MNIST is damaged ({error}): install the package again"
        ) from error
    for name, content in contents.items():
        write_whole(raw / name, content)


def _digits(contents: Mapping[str, Content], part: str) -> Digits:
    """The digits of the files `<part>-...`: a header of 16 or 8 bytes, then a byte a value."""
    images = torch.from_numpy(contents[f"{part}-images-idx3-ubyte"])[16:]
    labels = torch.from_numpy(contents[f"{part}-labels-idx1-ubyte"])[8:]
    # Copied, so that the 8 MB of the test images' file are freed: glibc then keeps blocks up to
    # that size, and a training step need not ask the system for each of its tensors
    # (176,000 page faults in `train fast` instead of 382,000).
    return Digits(images.view(-1, 1, 28, 28).clone(), labels.long())
