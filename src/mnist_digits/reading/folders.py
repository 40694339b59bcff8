"""The pictures and documents that lie in folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import PictureError

# Of picture files. PDF is not among them: where one picture is expected, other pages would be lost.
# fmt: off
SUFFIXES = frozenset({
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".dib", ".tif", ".tiff",
    ".webp", ".pbm", ".pgm", ".ppm", ".pnm", ".pfm", ".avif", ".avifs",
    ".heic", ".heics", ".heif", ".heifs", ".hif",
})
# fmt: on
# The command's name for standard input.
STANDARD_INPUT = Path("-")


def is_picture_name(path: Path, pdf: bool = False) -> bool:
    """Whether a file is called like a picture, or a PDF if `pdf`.

    Hidden ones, such as macOS's `._7.png`, are not.
    """
    suffix = path.suffix.lower()
    return (suffix in SUFFIXES or (pdf and suffix == ".pdf")) and not path.name.startswith(".")


def find_pictures(paths: list[Path]) -> list[Path]:
    """The paths, with each folder replaced by the pictures and PDFs in it and in its folders.

    Raises:
        PictureError: a folder has none, or cannot be looked into.
    """
    found: list[Path] = []
    for path in paths:
        inside = [path]
        if os.path.isdir(path):
            names = (file for file in files_in(path) if is_picture_name(file, pdf=True))
            # A broken link is kept: reading it reports it. Other things, such as pipes, are not.
            inside = sorted(f for f in names if os.path.isfile(f) or not os.path.exists(f))
        if not inside:
            raise PictureError(f"there are no pictures in the folder {path}")
        found += inside
    return found


def files_in(folder: Path) -> Iterator[Path]:
    """The files in a folder and its subfolders, also behind links; each folder is visited once.

    Raises:
        PictureError: a folder cannot be looked into.
    """

    def fail(error: OSError) -> None:
        raise PictureError(f"cannot look into the folder {error.filename}: {error.strerror}")

    known: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in known:  # by way of a link
            folders.clear()
            continue
        known.add((status.st_dev, status.st_ino))
        folders.sort()
        yield from (Path(place, name) for name in names)
