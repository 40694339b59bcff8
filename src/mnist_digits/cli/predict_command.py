"""Read the digits in pictures and documents: files, folders, or - for standard input."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import PictureError, on_one_line
from .options import MODEL_HELP, Parser, place, whole

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..reading.annotation import Copies
    from ..reading.documents import Page
    from ..reading.reader import Reader
    from ..reading.result import Reading


def add_flags(command: Parser) -> None:
    command.add_argument("pictures", nargs="+", type=place, help="files, folders, - for stdin")
    command.add_argument("--model", type=place, help=MODEL_HELP)
    command.add_argument("--single", action="store_true", help="each page has exactly one digit")
    command.add_argument("--json", action="store_true", help="print a JSON object for each page")
    command.add_argument(
        "--annotate",
        type=place,
        help="write a copy with boxes and answers here: a .png, or a folder for several",
    )
    command.add_argument("--threads", type=whole(1, 1024), help="CPU threads to use (all cores)")


def execute(options: argparse.Namespace) -> int:
    from ..reading.folders import find_pictures
    from ..reading.reader import Reader

    files = find_pictures(options.pictures)
    copies = copies_for(files, options.annotate) if options.annotate else None
    reader = Reader.load(options.model, options.threads)
    failed = False
    for index, file in enumerate(files):
        for page, reading in _pages(reader, file, options.single):
            failed = failed or isinstance(reading, PictureError)
            if copies and not isinstance(reading, PictureError):
                copies.write(index, page, _drawn(page, reading))
            _print_page(file, page, reading, options.json)
    return int(failed)


def copies_for(files: list[Path], place: Path) -> Copies:
    """Where annotated copies of the files go: a .png, or a folder."""
    from ..reading.annotation import Copies

    return Copies(files, place)


def _pages(
    reader: Reader, file: Path, single: bool
) -> Iterator[tuple[Page, Reading | PictureError]]:
    for page in pages_of(file):
        picture = page.picture
        yield page, picture if isinstance(picture, PictureError) else reader.read(picture, single)


def pages_of(file: Path) -> Iterator[Page]:
    """The pages of a file, or of what standard input sends."""
    from ..reading.documents import Page, open_pages
    from ..reading.folders import STANDARD_INPUT

    try:
        source = _standard_input() if file == STANDARD_INPUT else file
    except PictureError as error:
        yield Page(1, 1, error)
    else:
        yield from open_pages(source)


def _drawn(page: Page, reading: Reading) -> Image:
    from ..reading.annotation import annotated

    assert not isinstance(page.picture, PictureError)  # it was read
    return annotated(page.picture, reading)


def _print_page(file: Path, page: Page, reading: Reading | PictureError, as_json: bool) -> None:
    """Print what was read on a page, or why it could not be read."""
    several = page.pages > 1
    if isinstance(reading, PictureError):
        if not as_json:
            print(f"mnist-digits predict: error: {on_one_line(reading)}", file=sys.stderr)
            return
        fields: dict[str, Any] = {"error": str(reading)}
    else:
        fields = reading.to_dict()
    if as_json:
        number = {"page": page.number} if several else {}
        print(json.dumps({"file": str(file), **number, **fields}))
    else:
        name = f"{file}, page {page.number}" if several else file
        print(f"{on_one_line(name)}: {reading}")


def _standard_input() -> bytes:
    from ..reading.documents import read_bounded

    if sys.stdin is None:
        raise PictureError("standard input is closed: send it a picture, or name a file")
    try:
        return read_bounded(sys.stdin.buffer)
    except OSError as error:
        raise PictureError(f"cannot read standard input: {error.strerror}") from error
