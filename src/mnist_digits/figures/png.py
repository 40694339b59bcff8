"""A figure as a PNG file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OutputError
from ..files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def as_png(figure: Figure) -> bytes:
    """The content of a PNG file of the figure."""
    png = io.BytesIO()
    # Without a version in the file the same figure is the same bytes on every machine.
    figure.savefig(png, format="png", dpi=120, metadata={"Software": None})
    return png.getvalue()


def write_png(content: bytes, path: Path) -> None:
    """Write a figure's PNG, whole or not at all; the folder is made if it is not there.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise OutputError(f"cannot write the figure {path}: {error.strerror}") from error
