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
    command.add_argument(
        "--shard",
        type=_shard,
        default=(1, 1),
        metavar="3/32",
        help="read the third of 32 shares of the source only",
    )


def execute(options: argparse.Namespace) -> None:
    from ..cluster import bulk

    counts = bulk.read_source(
        options.source,
        options.out,
        options.column,
        options.model,
        options.address,
        options.shard,
    )
    print(
        f"{counts['pictures']:,} pictures, {counts['errors']:,} of them not readable; "
        f"written to {options.out}"
    )


def _shard(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"must be like 3/32, from 1/32 to 32/32, not {text!r}")
    return int(number), int(of)
