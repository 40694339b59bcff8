"""Write a contact sheet of scenes like those that the detector is trained on."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import DATA_HELP, Parser, place, whole


def add_flags(command: Parser) -> None:
    command.add_argument(
        "--output", type=place, default=Path("scenes.png"), help="file to write (scenes.png)"
    )
    command.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, help="of the scenes (0)")
    command.add_argument("--layout", help="one, rows, long, table, scattered, window or none (any)")
    command.add_argument(
        "--features", nargs="*", help="only these, such as boxed, ruled or shadow (any)"
    )
    command.add_argument("--truth", action="store_true", help="colour the ink of each digit")
    command.add_argument("--data", type=place, help=DATA_HELP)


def execute(options: argparse.Namespace) -> None:
    from ..data.dataset import load_mnist
    from ..files import write_png
    from ..synthesis import scene as scenes
    from ..synthesis.templates import load_templates

    digits, _ = load_mnist(options.data)
    templates = load_templates(digits[:1000], 500, options.seed)
    sheet = scenes.contact_sheet(
        templates, options.seed, options.layout, options.features, options.truth
    )
    write_png(sheet, options.output)
    print(f"Written to {options.output}")
