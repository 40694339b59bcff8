"""Pictures with known digits: found in a folder, read, and counted."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import PictureError
from .folders import is_picture_name
from .reader import Reader
from .result import Reading

LABELS = "labels.csv"
COLUMNS = ["file", "label"]


@dataclass(frozen=True)
class Labelled:
    """A picture, the text to be read in it (`/` between rows), and what kind it is."""

    path: Path
    label: str
    kind: str


@dataclass(frozen=True)
class Outcome:
    """What was read in a labelled picture; None, and why, if it could not be opened."""

    picture: Labelled
    reading: Reading | None
    error: str = ""

    @property
    def right(self) -> bool:
        """Whether the digits are right; signs and spaces between numbers are not compared."""
        return self.reading is not None and (
            digits_of(self.reading.text) == digits_of(self.picture.label)
        )

    @property
    def sure(self) -> bool:
        return self.reading is not None and self.reading.sure


def digits_of(text: str) -> str:
    """The digits of a text, with `/` between rows, without signs and spaces."""
    return re.sub("[^0-9/]", "", text)


def find_labelled(folder: Path) -> list[Labelled]:
    """The labelled pictures of a folder.

    Either it holds a `labels.csv` with the columns `file`, `label` and, if you like, `kind`,
    separated by commas, semicolons or tabs, or one folder for each label, named like it. If the
    table names a picture twice, the last row counts.

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


def table_text(table: Path) -> str:
    """The text of a table as it stands there, with its byte order mark, if it has one.

    Raises:
        PictureError: it is not in UTF-8.
        OSError: it cannot be read.
    """
    try:
        return table.read_bytes().decode()
    except UnicodeDecodeError as error:
        # The name is short: the page shows this, too, and must not show this machine's folders.
        name = f"{table.absolute().parent.name}/{table.name}"
        raise PictureError(f"{name} is not in UTF-8: save it as CSV in UTF-8") from error


def table_rows(text: str) -> csv.DictReader[str]:
    """The rows of a table whose first line has the names of the columns."""
    # The byte order mark is no part of the first column's name.
    lines = io.StringIO(text.removeprefix("\ufeff"), newline="")
    return csv.DictReader(lines, delimiter=delimiter(text))


def delimiter(text: str) -> str:
    """What stands between the columns; half of Europe's spreadsheets write semicolons."""
    first = text.removeprefix("\ufeff").splitlines()[:1]
    return next(
        (d for d in ",;\t" if {*COLUMNS} <= {*next(csv.reader(first, delimiter=d), [])}), ","
    )


def _from_table(table: Path) -> list[Labelled]:
    try:
        rows = list(table_rows(table_text(table)))
    except (OSError, csv.Error) as error:
        raise PictureError(f"{table} cannot be read as a table: {error}") from error
    if rows and not {*COLUMNS} <= rows[0].keys():
        raise PictureError(f"{table} must have the columns file and label in its first line")
    if any(row["label"] and not row["file"] for row in rows):
        raise PictureError(f"{table} has a row with a label and no file: fill it in")
    # Spreadsheets leave empty rows.
    last = {table.parent / row["file"]: row for row in rows if row["file"]}
    return [
        Labelled(path, (row["label"] or "").strip(), (row.get("kind") or "all").strip())
        for path, row in last.items()
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
        except PictureError as error:
            yield Outcome(picture, None, str(error))
