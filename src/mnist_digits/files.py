"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that no reader ever sees a part of it.

    The bytes go to a temporary file beside `path`, reach the disk (fsync), and
    only then take the name. If anything fails, what stood there before stays and
    the temporary file is removed.

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
    except BaseException:
        # What kept it from being written may keep it from being removed.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of `path` that killed processes have left beside it."""
    for temporary in path.parent.glob(f".{path.name}.{'[0-9a-f]' * 32}"):
        temporary.unlink(missing_ok=True)
