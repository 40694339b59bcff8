from __future__ import annotations

import gzip
import hashlib
import shutil
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import MNIST

from mnist_digits import DatasetError, Digits, load_mnist, unpack_mnist
from mnist_digits.data import idx
from mnist_digits.data.idx import MNIST_FILES, PACKAGE

IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
# SHA-256 of the files as published.
SUMS = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    IMAGES: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    LABELS: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}


def idx_file(*sizes: int, values: bytes) -> bytes:
    return np.array(sizes, ">u4").tobytes() + values


def images(count: int) -> bytes:
    return idx_file(0x803, count, 28, 28, values=bytes(784 * count))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small data set: 30 black images to learn from and 20 for the test, two files gzipped."""
    for part, count in (("train", 30), ("t10k", 20)):
        labels = idx_file(0x801, count, values=bytes(range(10)) * (count // 10))
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images(count)))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    return tmp_path


def test_the_genuine_files_are_read_without_a_network_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, published in SUMS.items():
        assert hashlib.sha256((PACKAGE / f"{name}.gz").read_bytes()).hexdigest() == published
    assert list(MNIST_FILES.items()) == MNIST.resources

    def refuse(*_: object) -> None:
        raise AssertionError("it was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(idx, "write_whole", refuse)
    monkeypatch.setenv("HOME", str(tmp_path))
    train, test = load_mnist()
    assert (len(train), len(test)) == (60_000, 10_000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["missing", "flipped", "folder", "foreign"])
def test_a_damaged_package_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    for name in MNIST_FILES:
        shutil.copy(PACKAGE / name, tmp_path)
    file = tmp_path / f"{LABELS}.gz"
    content = file.read_bytes()
    file.unlink()
    if damage == "folder":
        file.mkdir()
    elif damage == "flipped":
        file.write_bytes(content[:4000] + bytes([content[4000] ^ 1]) + content[4001:])
    elif damage == "foreign":  # whole, but not MNIST's
        file.write_bytes(gzip.compress(gzip.decompress(content)[:-1] + b"\0"))
    monkeypatch.setattr(idx, "PACKAGE", tmp_path)
    for use in (load_mnist, lambda: unpack_mnist(tmp_path / "root")):
        with pytest.raises(DatasetError, match=f"{LABELS}.gz is missing or damaged: install"):
            use()
    assert not (tmp_path / "root").exists()


def test_torchvision_finds_the_files(mnist: tuple[Digits, Digits], tmp_path: Path) -> None:
    unpack_mnist(tmp_path / "new")
    for ours, part in zip(mnist, (True, False), strict=True):
        theirs = MNIST(str(tmp_path / "new"), train=part)
        assert torch.equal(theirs.data[:, None], ours.images)
        assert torch.equal(theirs.targets, ours.labels)
    again = load_mnist(tmp_path / "new" / "MNIST" / "raw")
    assert [part.checksum() for part in again] == [part.checksum() for part in mnist]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that even root cannot write")
@pytest.mark.parametrize("place", ["file", "/sys/mnist"])
def test_a_place_that_cannot_be_written(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DatasetError, match=f"cannot write the MNIST files to .*{place}/MNIST/raw"):
        unpack_mnist(tmp_path / place)
    assert (tmp_path / "file").read_text() == "mine"


def test_another_data_set_gzipped_or_not(folder: Path) -> None:
    train, test = load_mnist(folder)
    assert (len(train), len(test)) == (30, 20)
    assert train.labels.tolist() == [*range(10)] * 3
    assert not train.images.any()


PACKED = gzip.compress(images(20), mtime=0)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (IMAGES, images(20)[:-1], "truncated or damaged: .* 15,695 bytes, by its header 15,696"),
        (IMAGES, images(20) + b"\0", "damaged: .* 15,697 bytes, by its header 15,696"),
        (IMAGES, idx_file(0x803, 2**32 - 1, 28, 28, values=b""), "truncated or damaged"),
        (IMAGES, idx_file(0x803, 20, 20, 20, values=bytes(8000)), "images of 28 × 28 pixels"),
        (IMAGES, idx_file(0xD03, 20, 28, 28, values=bytes(62720)), "a byte each"),
        (IMAGES, b"", "is no IDX file"),
        (IMAGES, PACKED[:-9], "cannot read .* it may be damaged"),
        (IMAGES, PACKED[:-8] + bytes(8), "it may be damaged: CRC check failed"),
        (IMAGES, b"\x1f\x8b" + bytes(100), "it may be damaged"),
        (IMAGES, PACKED[:12] + bytes(100), "it may be damaged"),
        (IMAGES, images(19), "has 19 t10k-images, and 20 t10k-labels up to 9"),
        (LABELS, images(20), "is no IDX file of labels"),
        (LABELS, idx_file(0x801, 0, values=b""), "is empty, truncated or damaged"),
        (LABELS, idx_file(0x801, 19, values=bytes(19)), "20 t10k-images, and 19 t10k-labels"),
        (LABELS, idx_file(0x801, 20, values=bytes(19) + b"\n"), "needs a label from 0 to 9"),
    ],
)
def test_a_damaged_file_of_a_data_set(folder: Path, name: str, content: bytes, says: str) -> None:
    (folder / f"{IMAGES}.gz").unlink()
    (folder / IMAGES).write_bytes(images(20))
    (folder / name).write_bytes(content)
    with pytest.raises(DatasetError, match=says):
        load_mnist(folder)


def test_a_missing_file_of_a_data_set(folder: Path) -> None:
    (folder / LABELS).unlink()
    with pytest.raises(DatasetError, match=f"there is no .*{LABELS}, gzipped or not: name a"):
        load_mnist(folder)
    (folder / LABELS).mkdir()
    with pytest.raises(DatasetError, match=f"cannot read .*{LABELS}"):
        load_mnist(folder)
