"""The files: MNIST's as published, or others of their format, IDX: sizes, then a byte a value."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import DatasetError
from ..files import write_whole

PACKAGE = Path(__file__).parent
# With their published MD5 sums.
MNIST_FILES = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


def genuine_files() -> Path:
    """The package's folder, if the files in it are as published."""
    for name, md5 in MNIST_FILES.items():
        file = PACKAGE / name
        content = file.read_bytes() if file.is_file() else b""
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
            raise DatasetError(f"{file} is missing or damaged: install the package again")
    return PACKAGE


def unpack_mnist(root: str | os.PathLike[str]) -> None:
    """Write the MNIST files (55 MB) to where `torchvision.datasets.MNIST(root)` looks for them.

    Raises:
        DatasetError: they cannot be written.
    """
    files, raw = genuine_files(), Path(os.path.expanduser(root)) / "MNIST" / "raw"
    try:
        raw.mkdir(parents=True, exist_ok=True)
        for name in MNIST_FILES:
            write_whole(raw / name.removesuffix(".gz"), _unpacked(files / name))
    except OSError as error:
        raise DatasetError(f"cannot write the MNIST files to {raw}: {error}") from error


def read_part(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """Images, uint8 (N, 1, 28, 28), and labels, int64 (N,), of the part `train` or `t10k`."""
    images = _values(folder / f"{part}-images-idx3-ubyte", 28, 28)
    labels = _values(folder / f"{part}-labels-idx1-ubyte")
    if len(labels) != len(images) or labels.max() > 9:
        raise DatasetError(
            f"{folder} has {len(images):,} {part}-images, and {len(labels):,} {part}-labels up to "
            f"{labels.max()}: each image needs a label from 0 to 9"
        )
    return images[:, None], labels.long()


def _values(path: Path, *sides: int) -> Tensor:
    """The values, uint8 (N, *sides), of the file at `path`, or of the one with `.gz` added."""
    packed = path.with_name(path.name + ".gz")
    path = packed if os.path.exists(packed) else path
    content = _unpacked(path)
    start = 8 + 4 * len(sides)
    kind, count, *shape = np.frombuffer(content[:start].ljust(start, b"\0"), ">u4").tolist()
    # 0x08 stands for bytes; then comes how many sizes there are.
    if kind != 0x0801 + len(sides) or shape != [*sides]:
        what = f"images of {sides[0]} × {sides[1]} pixels" if sides else "labels"
        raise DatasetError(f"{path} is no IDX file of {what}, a byte each")
    expected = start + count * math.prod(sides)
    if not count or len(content) != expected:
        raise DatasetError(
            f"{path} is empty, truncated or damaged: unpacked it has {len(content):,} bytes, "
            f"by its header {expected:,}"
        )
    return torch.tensor(np.frombuffer(content, np.uint8, offset=start)).view(count, *sides)


def _unpacked(path: Path) -> bytes:
    """What a file holds, gzipped or not."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetError(
            f"there is no {path}, gzipped or not: name a folder with four files, named as MNIST's"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"cannot read {path}, it may be damaged: {error}") from error
