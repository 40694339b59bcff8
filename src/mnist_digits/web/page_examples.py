"""The examples that the page keeps: pictures in a folder, and what they say in its labels.csv."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import os
import threading
from contextlib import suppress
from pathlib import Path

from ..errors import PictureError, ServerError
from ..files import write_whole
from ..reading.documents import open_picture, opened
from ..reading.labelled import LABELS, delimiter, table_rows, table_text

MAXIMUM_EXAMPLES = 10_000
# Of these pictures and the networks: 500 photos of 4 MB, or 10,000 drawings ten times over.
MAXIMUM_BYTES = 2_000_000_000
HEADER = "file,label\n"


class Examples:
    """A folder of labelled pictures that grows, and its table, to which rows are appended.

    The last row of a picture counts; without a label it is taken back. A picture is on the disk
    before its row. What cannot be kept or read is a PictureError or an OSError; a folder that
    cannot be used, or made if need be, a ServerError.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.table = folder.absolute(), folder.absolute() / LABELS
        self._lock = threading.Lock()
        refused = f"examples cannot be kept in {folder}, choose another folder with --teach"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            by_label = any(p.parent.name.isdecimal() for p in self.folder.glob("[0-9]*/*"))
            if by_label and not self.table.exists():
                hidden = f"its folders of pictures, one for each label, would be hidden by {LABELS}"
                raise ServerError(f"{refused}: {hidden}")
            # By one of several servers that may start on a new folder at once.
            with suppress(FileExistsError), self.table.open("xb", buffering=0) as file:
                file.write(HEADER.encode())
        except OSError as error:
            raise ServerError(f"{refused}: {error.strerror}") from error
        self.labels()

    def labels(self, more: str = "") -> dict[str, str]:
        """What the pictures say, by file, the last one last; with `more` in the table, if given."""
        labels: dict[str, str] = {}
        try:
            for row in table_rows(table_text(self.table) + more):
                labels.pop(row["file"], None)
                labels[row["file"]] = row["label"]
        except (KeyError, csv.Error) as error:
            raise PictureError(f"{self.table} must have the columns file and label") from error
        return {file: label for file, label in labels.items() if file and label}

    def keep(self, content: bytes, label: str) -> str:
        """Keep a picture in a file, whose name is returned; the same again changes its label."""
        open_picture(content)
        picture, suffix = _as_stored(content)
        file = self.folder / f"drawn-{hashlib.sha256(content).hexdigest()[:16]}{suffix}"
        with self._lock:
            labels = self.labels()
            if file.name not in labels:
                self.refuse_more(len(labels), len(picture))
            write_whole(file, picture)
            try:
                self._append(file.name, label)
            except (OSError, PictureError):
                if file.name not in labels:
                    file.unlink()
                raise
        return file.name

    def take_back(self, name: str) -> None:
        """Remove a picture that was kept; one that was not stays as it is."""
        with self._lock:
            if name.startswith("drawn-") and name in self.labels():
                self._append(name, "")
                (self.folder / name).unlink(missing_ok=True)

    def refuse_more(self, count: int = 0, size: int = 0) -> None:
        """Raise an OSError where there are so many examples, or no room for so many bytes."""
        files = [*self.folder.glob("drawn-*"), *self.folder.glob("runs/*/model.*")]
        size += sum(file.stat().st_size for file in files)
        if count >= MAXIMUM_EXAMPLES or size > MAXIMUM_BYTES:
            most = f"{MAXIMUM_EXAMPLES:,} pictures and {MAXIMUM_BYTES / 1e9:g} GB"
            raise OSError(errno.ENOSPC, f"{most} are the most: make room in the folder")

    def _append(self, name: str, label: str) -> None:
        """Append a row, whole or not at all; names and labels from here need no quotes."""
        text = table_text(self.table)
        start = "" if text.endswith("\n") else "\n" if text else HEADER
        columns, values = table_rows(text + start).fieldnames or [], {"file": name, "label": label}
        row = start + delimiter(text).join(values.get(column, "") for column in columns) + "\n"
        if self.labels(row).get(name, "") != label:
            raise PictureError(f"{self.table} lacks a column, or the end of a quote")
        with self.table.open("ab", buffering=0) as file:
            size = file.tell()
            if file.write(row.encode()) < len(row):
                file.truncate(size)
                raise OSError(errno.ENOSPC, "the disk is full")
            os.fsync(file.fileno())


def _as_stored(content: bytes) -> tuple[bytes, str]:
    """The picture as it is kept, and its suffix: as it came, but the bare pixels of PGM as PNG."""
    image, file = opened(content), io.BytesIO()
    if image.format == "PPM" and image.mode in ("1", "L", "RGB"):
        image.save(file, "PNG")
        return file.getvalue(), ".png"
    return content, f".{str(image.format).lower().replace('mpo', 'jpeg')}"
