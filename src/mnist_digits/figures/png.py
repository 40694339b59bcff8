"""A picture as a PNG file."""

from __future__ import annotations

from pathlib import Path

from ..errors import OutputError
from ..files import write_whole


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
