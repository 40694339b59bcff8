"""A disk that fails at a chosen moment of a run: it is full, or broken, or read-only."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from kills import context, identical

from mnist_digits import Digits, Run, load, load_mnist
from mnist_digits.classifier.checkpoint import TRAINING, WEIGHTS, load_unfinished
from mnist_digits.cli.main import main

FLAGS = [
    *("--epochs", "2", "--widths", "4", "8", "--hidden", "16", "--batch-size", "100"),
    *("--threads", "1", "--no-figures"),
]
ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS)


class Disk:
    """Counts what is asked of it: to make a file, to write, to sync, to rename, to remove.

    From the operation `number` on, `fails` is called at each.
    """

    def __init__(self, number: int, fails: Callable[[], None]) -> None:
        self.number, self.fails, self.count = number, fails, 0

    def step(self) -> None:
        self.count += 1
        if self.count >= self.number:
            self.fails()

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        real_open = Path.open
        replacements: dict[str, Any] = {
            name: self._before(getattr(os, name)) for name in ("fsync", "replace", "unlink")
        }

        def opened(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
            if mode != "xb":
                return real_open(path, mode, *rest, **more)
            self.step()
            return _File(path, self)

        with patch.object(Path, "open", opened), patch.multiple(os, **replacements):
            yield

    def _before(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            self.step()
            return operation(*arguments, **more)

        return call


class _File(io.FileIO):
    """A file of which half has been written when the disk fails."""

    def __init__(self, path: Path, disk: Disk) -> None:
        super().__init__(path, "x")
        self.disk = disk

    def write(self, content: Any) -> int:
        half = len(content) // 2
        super().write(content[:half])
        self.disk.step()
        return half + super().write(content[half:])


def raising(error: int) -> Callable[[], None]:
    def fail() -> None:
        raise OSError(error, os.strerror(error))

    return fail


def few() -> tuple[Digits, Digits]:
    """600 digits to train on, and as many to test with: a run of a moment."""
    digits, test = load_mnist()
    return digits[:600], test[:600]


def command(data: tuple[Digits, Digits], *arguments: object) -> tuple[int, str]:
    """Run the command on these digits: its status, and what it said on standard error."""
    said = io.StringIO()
    with (
        patch("mnist_digits.cli.train_command.load_data", lambda *_: data),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(said),
    ):
        status = main([str(word) for word in arguments])
    return status, said.getvalue()


def operations(data: tuple[Digits, Digits], folder: Path) -> tuple[Run, int]:
    """A run on a disk that does not fail, and how many operations it took."""
    disk = Disk(10**9, lambda: None)
    with disk.attached():
        assert command(data, "train", *FLAGS, "--output", folder) == (0, "")
    return load(folder), disk.count


def survives(data: tuple[Digits, Digits], folder: Path, disk: Disk, expected: Run) -> str:
    """Train until the disk fails; what is wrong with how that was borne, or nothing."""
    with disk.attached():
        status, said = command(data, "train", *FLAGS, "--output", folder)
    one_line = said.startswith("mnist-digits train: error: cannot") and said.count("\n") == 1
    if disk.count >= disk.number and not (status == 2 and one_line):
        return f"status {status}: {said!r}"
    return goes_on(data, folder, expected)


def goes_on(data: tuple[Digits, Digits], folder: Path, expected: Run) -> str:
    """What is wrong with what a run left behind, or nothing: it can be resumed to its end."""
    if (folder / WEIGHTS).exists():
        load(folder)
    if (folder / "result.json").exists():
        return "" if identical(folder, expected) else "finished with other weights"
    if not (folder / TRAINING).exists():
        return "weights without a state" if (folder / WEIGHTS).exists() else ""
    load_unfinished(folder)
    status, said = command(data, "train", "--resume", folder, "--no-figures")
    if status or said:
        return f"resumed with status {status}: {said!r}"
    return "" if identical(folder, expected) else "resumed to other weights"


def killed_at(folder: Path, number: int) -> None:
    """Train in a process of its own, which is killed (SIGKILL) right before this operation."""
    process = context.Process(target=_killed, args=(folder, number))
    process.start()
    process.join()


def _killed(folder: Path, number: int) -> None:
    disk = Disk(number, lambda: os.kill(os.getpid(), signal.SIGKILL))
    data = few()
    with disk.attached():
        command(data, "train", *FLAGS, "--output", folder)


@contextlib.contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[Path]:
    """A file system in memory, of this size.

    Raises:
        OSError: it cannot be mounted here.
    """
    place.mkdir(exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", place)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def remount(place: Path, options: str) -> None:
    """Change the size of a small disk, or make it read-only."""
    _mount("-o", f"remount,{options}", place)


def _mount(*arguments: object) -> None:
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise OSError(done.stderr.strip())
