"""The command `mnist-digits`: a module for each subcommand, and what holds for all of them.

The module of a subcommand has a docstring, the line of help; `add_flags`, what it may be given;
and `execute`, what it does. Torch and matplotlib are imported where they are needed: `--help`
answers in a tenth of a second.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from importlib import import_module, metadata

from ..errors import MnistDigitsError
from .options import Parser

# In the order in which --help tells of them.
COMMANDS = (
    "train",
    "finder",
    "scenes",
    "evaluate",
    "predict",
    "app",
    "sweep",
    "study",
    "read",
    "export",
    "reproduce",
    "show",
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 2 for bad input, 130 after Ctrl-C.

    1 if some of several pictures could not be read, or a run came out otherwise than before.
    """
    warnings.formatwarning = lambda message, *_, **__: f"mnist-digits: warning: {message}\n"
    options = build_parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file's name need not be text in any language; progress is to be seen in a pipe, too.
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    # Whatever is odd about a picture is either no matter or an error.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        return int(options.execute(options) or 0)
    except MnistDigitsError as error:
        message = " ".join(str(error).split())
        print(f"mnist-digits {options.command}: error: {message}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is not None:
            reason = f"cannot use {error.filename}: {error.strerror}"
        else:
            # Of standard output, which has no name. Without this, Python would complain again
            # when it closes it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error, BrokenPipeError):  # whoever reads it has seen enough (`| head`)
                return 1
            reason = f"cannot write the output: {error.strerror}"
        print(f"mnist-digits {options.command}: error: {reason}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"\nmnist-digits {options.command}: stopped{interrupt}", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = Parser(prog="mnist-digits", description="Read handwritten digits.")
    version = metadata.version("mnist-digit-classification")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = import_module(f".{name}", __package__)
        summary = str(module.__doc__).splitlines()[0]
        command = commands.add_parser(name, help=summary, description=summary)
        module.add_flags(command)
        command.set_defaults(execute=module.execute)
    return parser


if __name__ == "__main__":
    sys.exit(main())
