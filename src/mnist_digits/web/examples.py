"""The examples that the page keeps: pictures in a folder, and what they say in its labels.csv."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import PictureError, ServerError
from ..files import remove_leftovers, write_whole
from ..reading.documents import open_picture, opened
from ..reading.labelled import COLUMNS, LABELS, delimiter, find_labelled, table_rows, table_text

MAXIMUM_EXAMPLES = 10_000
# Of all pictures, and once more of all runs: 500 photos of 4 MB, or 10,000 drawings ten times over.
MAXIMUM_BYTES = 2_000_000_000
# Longer than any text that is read, which has up to a thousand digits.
MAXIMUM_LABEL = 2_000
LABEL = re.compile(r"[0-9]+(/[0-9]+)*")


class FullError(Exception):
    """As much is kept as may be."""


class Examples:
    """A folder of labelled pictures that grows; one server at a time has it.

    A picture is on the disk before labels.csv names it, and that is written whole: whatever stops
    the server leaves either both or a picture that nobody looks at.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder into use, and make it if it does not exist.

        Raises:
            ServerError: it cannot be written, is in use, or is labelled in another way.
            PictureError: its labels.csv cannot be read.
        """
        self.folder, self.table = folder.absolute(), folder.absolute() / LABELS
        # What is said over HTTP has no folders in it.
        self._named = f"{self.folder.name}/{LABELS}"
        self._lock, self._claim = threading.Lock(), -1
        try:
            self._take(folder)
            _refuse_folders(folder)
            len(self)
        except OSError as error:
            self.close()
            raise ServerError(
                f"examples cannot be kept in {folder}: {error.strerror}; choose a folder that you "
                f"can write to with --teach"
            ) from error
        except BaseException:
            self.close()
            raise

    def _take(self, folder: Path) -> None:
        """Have the folder, before anything in it is touched that may be another server's."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._claim = _claim(folder)
        write_whole(self.folder / ".writable", b"")
        (self.folder / ".writable").unlink()
        remove_leftovers(self.folder / "*")

    def close(self) -> None:
        """Leave the folder to others."""
        claim, self._claim = self._claim, -1
        if claim >= 0:
            os.close(claim)

    def __len__(self) -> int:
        return len(_files(self._text(), self._named))

    def add(self, content: bytes, label: str) -> str:
        """Keep a picture and its label; the same picture once more only changes its label.

        Returns:
            The name of the picture's file in the folder.

        Raises:
            PictureError: it is no picture, or labels.csv has become something else.
            FullError: there are as many as are kept, or they are as large.
            OSError: the folder cannot be written, or the disk is full.
        """
        open_picture(content)
        picture, suffix = _as_stored(content)
        name = f"drawn-{hashlib.sha256(content).hexdigest()[:16]}{suffix}"
        with self._lock:
            text = self._text()
            files = _files(text, self._named)
            known = name in files
            if not known:
                if len(files) >= MAXIMUM_EXAMPLES:
                    raise FullError(f"{MAXIMUM_EXAMPLES:,} examples are kept, and no more")
                refuse_more(self.folder.glob("drawn-*"), len(picture))
            table = with_row(text, name, label)
            if name not in _files(table, self._named):
                raise PictureError(f"{self._named} has a quote that is never closed: close it")
            write_whole(self.folder / name, picture)
            try:
                write_whole(self.table, table.encode())
            except BaseException:
                if not known:
                    with suppress(OSError):
                        (self.folder / name).unlink()
                raise
        return name

    def _text(self) -> str:
        """What labels.csv holds, as it stands there; nothing if there is none."""
        try:
            return table_text(self.table)
        except FileNotFoundError:
            return ""


def refuse_more(files: Iterable[Path], size: int = 0) -> None:
    """Refuse to add so many bytes to files that are as large as they may be.

    Raises:
        FullError: they are.
    """
    if size + sum(file.stat().st_size for file in files) > MAXIMUM_BYTES:
        raise FullError(
            f"no more than {MAXIMUM_BYTES / 1e9:g} GB are kept: remove some of it from the folder, "
            f"or start the server with another one"
        )


def with_row(text: str, name: str, label: str) -> str:
    """A table with a row for this file at its end; the others are kept to the letter."""
    if not text.strip("\ufeff \r\n"):
        text = ",".join(COLUMNS) + "\n"
    end = "\r\n" if "\r\n" in text else "\n"
    columns, between = table_rows(text).fieldnames or [], delimiter(text)
    place = columns.index("file")
    # Names that are given here stand on one line.
    lines = io.StringIO(text, newline="").readlines()
    before = "".join(
        line
        for line in lines
        if name not in line or _cells(line, between)[place : place + 1] != [name]
    )
    values = {"file": name, "label": label}
    row = io.StringIO()
    writer = csv.writer(row, lineterminator=end, delimiter=between)
    writer.writerow(values.get(column, "") for column in columns)
    return before + ("" if before.endswith("\n") else end) + row.getvalue()


def _cells(line: str, between: str) -> list[str]:
    return next(csv.reader([line.rstrip("\r\n")], delimiter=between), [])


def _files(text: str, table: str) -> list[str]:
    """The files that a table names.

    Raises:
        PictureError: it is no table, or lacks a column.
    """
    if not text.strip("\ufeff \r\n"):
        return []
    try:
        rows = table_rows(text)
        if not set(COLUMNS) <= set(rows.fieldnames or []):
            raise PictureError(f"{table} must have the columns file and label in its first line")
        return [row["file"] or "" for row in rows]
    except csv.Error as error:
        raise PictureError(f"{table} cannot be read as a table: {error}") from error


def _as_stored(content: bytes) -> tuple[bytes, str]:
    """The picture as it is kept, and its suffix: as it came, but the bare pixels of PGM as PNG."""
    image = opened(content)
    kind = {"MPO": "jpeg"}.get(str(image.format), str(image.format).lower())
    if image.format != "PPM" or image.mode not in ("1", "L", "RGB"):
        return content, f".{kind}"
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue(), ".png"


def _claim(folder: Path) -> int:
    """Have a folder alone, where the system knows locks: until this file descriptor is closed.

    Raises:
        ServerError: another server has it.
    """
    try:
        import fcntl
    except ImportError:
        return -1
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Others mean a file system without locks.
        if isinstance(error, BlockingIOError):
            os.close(descriptor)
            raise ServerError(
                f"{folder} is in use by another page: stop that one, or choose another with --teach"
            ) from error
    return descriptor


def _refuse_folders(folder: Path) -> None:
    """Refuse what `teach` would no longer see once there is a labels.csv."""
    if (folder / LABELS).exists():
        return
    try:
        found = find_labelled(folder)
    except PictureError:
        return
    for picture in found:
        if re.fullmatch(LABEL, "".join(picture.label.split())):
            raise ServerError(
                f"{folder} has a folder of pictures for each label ({picture.label}), which the "
                f"labels.csv of this page would hide: list them in one with file,label, or choose "
                f"another folder with --teach"
            )
