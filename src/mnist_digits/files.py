"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import uuid
from contextlib import suppress
from pathlib import Path

from .errors import OutputError


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that no reader ever sees a part of it.

    The bytes go to a temporary file beside `path`, reach the disk (fsync), and
    only then take the name, which reaches the disk, too. If anything fails before that,
    what stood there before stays and the temporary file is removed.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)
    except BaseException:
        # What kept it from being written may keep it from being removed.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _sync(folder: Path) -> None:
    """Have the names of the folder's files reach the disk, where the system can do that."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        # A folder that may not be listed, or a file system that syncs files alone.
        if error.errno not in (errno.EACCES, errno.EBADF, errno.EINVAL):
            raise


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of `path`, or of a pattern, that killed processes have left."""
    for temporary in path.parent.glob(f".{path.name}.{'[0-9a-f]' * 32}"):
        temporary.unlink(missing_ok=True)


def write_png(content: bytes, path: Path) -> None:
    """Write a figure's PNG, whole or not at all; the folder is made if needed.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise OutputError(f"cannot write the figure {path}: {error.strerror}") from error
