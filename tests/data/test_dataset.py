from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch
from torchvision.datasets import MNIST

from mnist_digits import DatasetError, Digits, load_mnist, split_validation
from mnist_digits.data import dataset
from mnist_digits.data.dataset import CACHE_VARIABLE, MNIST_FILES, WRONG_TEST_LABELS, cache_folder

LABELS = "t10k-labels-idx1-ubyte"


def copy_of(cache: Path, folder: Path) -> Path:
    """A cache folder of the test's own, and its raw folder's path."""
    shutil.copytree(cache / "MNIST", folder / "MNIST")
    return folder / "MNIST" / "raw"


def test_the_data_are_mnist(mnist: tuple[Digits, Digits]) -> None:
    train, test = mnist
    assert train.images.shape == (60_000, 1, 28, 28)
    assert test.images.shape == (10_000, 1, 28, 28)
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # The figures that the literature gives for the training images: 0.1307 and 0.3081.
    pixels = train.images.float() / 255
    assert pixels.mean().item() == pytest.approx(0.1307, abs=1e-4)
    assert pixels.std().item() == pytest.approx(0.3081, abs=1e-4)


def test_they_introduce_themselves_briefly(mnist: tuple[Digits, Digits]) -> None:
    assert repr(mnist[0]) == "Digits(60,000 on cpu)"


@pytest.mark.slow
def test_an_empty_cache_is_filled_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    train, test = load_mnist(tmp_path / "a" / "new" / "folder")
    assert (len(train), len(test)) == (60_000, 10_000)


def test_every_image_is_as_the_package_ships_it(cache: Path, mnist: tuple[Digits, Digits]) -> None:
    archive = Path(dataset.__file__).parent / "mnist.tar.xz"
    with tarfile.open(archive) as members:
        for member in members:
            content = members.extractfile(member)
            assert content is not None
            assert (cache / "MNIST" / "raw" / member.name).read_bytes() == content.read()
    assert len(mnist) == 2


@pytest.mark.parametrize("part", ["train", "test"])
def test_torchvision_finds_the_files_and_reads_the_same(
    cache: Path, mnist: tuple[Digits, Digits], part: str
) -> None:
    theirs, ours = MNIST(str(cache), train=part == "train"), mnist[part == "test"]
    assert torch.equal(theirs.data[:, None], ours.images)
    assert torch.equal(theirs.targets, ours.labels)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign", "folder"])
def test_a_damaged_file_is_replaced_with_a_warning(
    cache: Path, tmp_path: Path, mnist: tuple[Digits, Digits], damage: str
) -> None:
    file = copy_of(cache, tmp_path) / LABELS
    genuine = file.read_bytes()
    broken = {
        "truncated": genuine[:-1],
        "flipped": genuine[:5000] + bytes([genuine[5000] ^ 1]) + genuine[5001:],
        "empty": b"",
        "foreign": b"x" * 20_000,
    }
    times = file.stat()
    file.unlink()
    if damage == "folder":
        file.mkdir()
    else:
        file.write_bytes(broken[damage])
        # Neither its time nor, if flipped, its size gives the damage away.
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

    with pytest.warns(UserWarning, match="was not the genuine MNIST file"):
        _, test = load_mnist(tmp_path)

    assert torch.equal(test.labels, mnist[1].labels)
    assert file.read_bytes() == genuine
    aside = file.with_name(LABELS + ".replaced")
    assert aside.is_dir() if damage == "folder" else aside.read_bytes() == broken[damage]


@pytest.mark.slow
def test_a_missing_file_is_put_back_in_silence(cache: Path, tmp_path: Path) -> None:
    file = copy_of(cache, tmp_path) / LABELS
    file.unlink()
    load_mnist(tmp_path)
    assert file.stat().st_size == MNIST_FILES[LABELS][0]


@pytest.mark.slow
def test_two_processes_may_start_at_once(tmp_path: Path) -> None:
    program = "import sys, mnist_digits; print(len(mnist_digits.load_mnist(sys.argv[1])[0]))"
    command = [sys.executable, "-W", "error", "-c", program, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=120)[0] for process in both] == ["60000\n"] * 2
    assert sorted(path.name for path in (tmp_path / "MNIST" / "raw").iterdir()) == sorted(
        MNIST_FILES
    )


def test_a_cache_path_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DatasetError, match=f"choose a folder that you can write.*{CACHE_VARIABLE}"):
        load_mnist(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that even root cannot write")
def test_a_read_only_folder() -> None:
    with pytest.raises(DatasetError, match="choose a folder that you can write"):
        load_mnist("/sys/mnist")


@pytest.mark.slow
def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow beyond 1 MB: the images fail as they do on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(DatasetError, match="100 MB free"):
            load_mnist(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    for file in (tmp_path / "MNIST" / "raw").iterdir():
        assert file.stat().st_size == MNIST_FILES[file.name][0]


def test_a_damaged_package_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Path(dataset.__file__).parent / "mnist.tar.xz"
    (tmp_path / "mnist.tar.xz").write_bytes(archive.read_bytes()[:1_000_000])
    monkeypatch.setattr("mnist_digits.data.dataset.resources.files", lambda _: tmp_path)
    with pytest.raises(DatasetError, match="install the package again"):
        load_mnist(tmp_path / "cache")


def test_the_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv(CACHE_VARIABLE, "")
    assert cache_folder().name == "mnist-digits"


def test_the_validation_slice_is_fixed_and_stratified(mnist: tuple[Digits, Digits]) -> None:
    kept, validation = split_validation(mnist[0])
    assert (len(kept), len(validation)) == (50_004, 9_996)
    shares = validation.labels.bincount() / mnist[0].labels.bincount()
    assert (shares - 1 / 6).abs().max() < 2e-4
    # Fixed for ever: figures measured on it stay comparable.
    assert validation.labels[:12].tolist() == [1, 3, 9, 0, 4, 6, 7, 1, 2, 8, 0, 5]
    both = torch.cat([kept.images, validation.images]).sum(dim=0, dtype=torch.int64)
    assert torch.equal(both, mnist[0].images.sum(dim=0, dtype=torch.int64))


def test_the_wrong_labels_are_of_the_test_set() -> None:
    assert len(set(WRONG_TEST_LABELS)) == 15
    assert all(0 <= place < 10_000 for place in WRONG_TEST_LABELS)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(3, 28, 28, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)),
        (torch.zeros(3, 1, 28, 28), torch.zeros(3, dtype=torch.int64)),
        (torch.zeros(3, 1, 28, 28, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(3, 1, 28, 28, dtype=torch.uint8), torch.zeros(3)),
        (torch.zeros(3, 1, 28, 28, dtype=torch.uint8), torch.zeros(3, 1, dtype=torch.int64)),
    ],
)
def test_digits_refuse_what_is_not_mnist_shaped(images: torch.Tensor, labels: torch.Tensor) -> None:
    with pytest.raises(DatasetError, match="must be"):
        Digits(images, labels)
