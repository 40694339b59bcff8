"""Read photographed tables of numbers as CSV: files, folders, or - for standard input."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from ..errors import PictureError, UsageError, on_one_line
from .options import MODEL_HELP, Parser, place, whole
from .predict_command import copies_for, pages_of


def add_flags(command: Parser) -> None:
    command.add_argument("photos", nargs="+", type=place, help="files, folders, - for stdin")
    command.add_argument("--output", type=place, help="write the tables into this file")
    command.add_argument("--delimiter", type=_delimiter, default=",", help="between cells (,)")
    command.add_argument("--json", action="store_true", help="a JSON object for each page instead")
    command.add_argument(
        "--annotate",
        type=place,
        help="write a copy with the grid and the cells here: a .png, or a folder for several",
    )
    command.add_argument(
        "--total",
        type=whole(1, 1000),
        action="append",
        default=[],
        metavar="COLUMN",
        help="the last row is the sum of this column, from 1; may be given again",
    )
    command.add_argument(
        "--range",
        type=_range,
        metavar="0-100",
        help="of the values of all cells; from below 0 like --range=-5-10",
    )
    command.add_argument("--model", type=place, help=MODEL_HELP)
    command.add_argument("--threads", type=whole(1, 1024), help="CPU threads to use (all cores)")


def execute(options: argparse.Namespace) -> int:
    from ..files import write_whole
    from ..reading.annotation import annotated_table
    from ..reading.folders import find_pictures
    from ..reading.reader import Reader
    from ..reading.tables import read_table

    files = find_pictures(options.photos)
    if options.output:
        _check_output(options.output, files)
    copies = copies_for(files, options.annotate) if options.annotate else None
    reader = Reader.load(options.model, options.threads)
    failed = False
    texts: list[str] = []
    for index, file in enumerate(files):
        for page in pages_of(file):
            name = f"{file}, page {page.number}" if page.pages > 1 else str(file)
            try:
                if isinstance(page.picture, PictureError):
                    raise page.picture
                table = read_table(reader, page.picture)
                table = table.checked([column - 1 for column in options.total], options.range)
            except PictureError as error:
                failed, text, found = True, "", {"error": str(error)}
                lines = [f"mnist-digits table: error: {name}: {error}"]
            else:
                text, found = table.csv(options.delimiter), table.to_dict()
                lines = [f"{name}: {remark}" for remark in table.remarks]
                if copies:
                    copies.write(index, page, annotated_table(page.picture, table))
            for line in lines:
                print(on_one_line(line), file=sys.stderr)
            if options.json:
                number = {"page": page.number} if page.pages > 1 else {}
                text = json.dumps({"file": str(file), **number, **found}) + "\n"
            if text and not options.output:
                # An empty line parts the tables.
                print("\n" * (not options.json and bool(texts)) + text, end="")
            texts += [text] if text else []
    if options.output:
        write_whole(options.output.resolve(), ("" if options.json else "\n").join(texts).encode())
    return int(failed)


def _check_output(output: Path, files: list[Path]) -> None:
    """Refuse a place where a file cannot be put, or that holds one of the photos."""
    from ..reading.annotation import identity

    if not output.parent.is_dir():
        raise UsageError(f"--output {output}: there is no folder {output.parent}")
    if output.exists() and not output.is_file():
        raise UsageError(f"--output {output}: this is no file; choose another name")
    if identity(output) in {identity(file) for file in files} - {None}:
        raise UsageError(f"--output {output}: this is one of the photos; choose another name")


def _delimiter(text: str) -> str:
    """The argparse type of what stands between cells; \\t is a tab."""
    text = text.replace("\\t", "\t")
    if len(text) != 1 or text.isalnum() or text in '\n\r"-.':
        raise argparse.ArgumentTypeError(f"must be one character, such as ; or \\t, not {text!r}")
    return text


def _range(text: str) -> tuple[float, float]:
    """The argparse type of a range of values."""
    found = re.fullmatch(r"(-?\d+(?:\.\d+)?)-(-?\d+(?:\.\d+)?)", text)
    if not found or float(found[1]) > float(found[2]):
        raise argparse.ArgumentTypeError(f"must be like 0-100, the lower one first, not {text!r}")
    return float(found[1]), float(found[2])
