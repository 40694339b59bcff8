"""Read many pictures into Parquet files: a folder, a glob, Parquet, tar."""

from __future__ import annotations

import argparse

from .options import ADDRESS_HELP, MODEL_HELP, Parser, place


def add_flags(command: Parser) -> None:
    command.add_argument("source", help="a folder, a glob, a Parquet or a tar file")
    command.add_argument("--out", type=place, required=True, help="folder for the Parquet files")
    command.add_argument("--column", help="the Parquet column with the images (the only one)")
    command.add_argument("--model", type=place, help=MODEL_HELP)
    command.add_argument("--address", help=ADDRESS_HELP)


def execute(options: argparse.Namespace) -> None:
    from ..cluster import bulk

    counts = bulk.read_source(
        options.source, options.out, options.column, options.model, options.address
    )
    print(
        f"{counts['pictures']:,} pictures, {counts['errors']:,} of them not readable; "
        f"written to {options.out}"
    )
