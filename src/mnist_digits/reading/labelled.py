"""Pictures with known digits: found in a folder, read, and counted."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import PictureError
from .documents import is_picture_name
from .reader import Reader, Reading

LABELS = "labels.csv"


@dataclass(frozen=True)
class Labelled:
    """A picture, the text to be read in it (`/` between rows), and what kind it is."""

    path: Path
    label: str
    kind: str


@dataclass(frozen=True)
class Outcome:
    """What was read in a labelled picture; `reading` is None if it could not be opened."""

    picture: Labelled
    reading: Reading | None

    @property
    def right(self) -> bool:
        return self.reading is not None and self.reading.text == self.picture.label

    @property
    def sure(self) -> bool:
        return self.reading is not None and self.reading.sure


def find_labelled(folder: Path) -> list[Labelled]:
    """The labelled pictures of a folder.

    Either it holds a `labels.csv` with the columns `file`, `label` and, if you like, `kind`,
    or one folder for each label, named like it.

    Raises:
        PictureError: there is no such folder, or no labelled pictures in it.
    """
    if not os.path.isdir(folder):
        raise PictureError(f"there is no folder {folder}")
    table = folder / LABELS
    found = _from_table(table) if os.path.isfile(table) else _from_folders(folder)
    if not found:
        raise PictureError(
            f"{folder} has no labelled pictures: bring a {LABELS} with file,label, or one "
            f"folder of pictures for each label"
        )
    return found


def _from_table(table: Path) -> list[Labelled]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PictureError(f"{table} cannot be read as a table: {error}") from error
    if rows and not {"file", "label"} <= rows[0].keys():
        raise PictureError(f"{table} must have the columns file and label in its first line")
    return [
        Labelled(
            table.parent / (row["file"] or ""),
            (row["label"] or "").strip(),
            (row.get("kind") or "all").strip(),
        )
        for row in rows
    ]


def _from_folders(folder: Path) -> list[Labelled]:
    return [
        Labelled(path, path.parent.name, "all")
        for path in sorted(folder.glob("*/*"))
        if is_picture_name(path) and os.path.isfile(path)
    ]


def read_labelled(
    reader: Reader, pictures: list[Labelled], single: bool = False
) -> Iterator[Outcome]:
    """Read each; one that cannot be opened counts as wrong."""
    for picture in pictures:
        try:
            yield Outcome(picture, reader.read(picture.path, single))
        except PictureError:
            yield Outcome(picture, None)
