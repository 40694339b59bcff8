"""The command `mnist-digits`: its subcommands, exit statuses and error messages.

Each subcommand is a module, NAME_command: the first line of its docstring is its help, `add_flags`
declares its arguments, `execute` does the work. Modules import torch and matplotlib inside
functions, so that `--help` takes a tenth of a second.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
import warnings
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any, NoReturn, TextIO

from ..errors import MnistDigitsError, on_one_line
from .options import Parser

# In the order of --help.
COMMANDS = (
    "train",
    "detector",
    "scenes",
    "evaluate",
    "predict",
    "table",
    "teach",
    "app",
    "sweep",
    "study",
    "read",
    "export",
    "reproduce",
    "show",
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: 0; 1 if a picture could not be read or `reproduce` found other weights;
        2 for bad input; 130 after Ctrl-C.
    """
    warnings.formatwarning = lambda text, *_, **__: f"mnist-digits: warning: {on_one_line(text)}\n"
    options = build_parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # File names may not be valid text; lines should appear at once in a pipe, too.
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    if arguments is None:
        # Figures are only written to files. The backend that the user's environment names is not
        # needed, and may be missing or misspelt. The processes that this one starts see this, too.
        os.environ["MPLBACKEND"] = "agg"
    # If matplotlib cannot write to the folder for its settings, it warns, and takes another one.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    # Pillow's warnings do not matter: if a picture cannot be used, a PictureError says so.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    output = sys.stdout and _Output(sys.stdout)
    try:
        with redirect_stdout(output):
            return int(options.execute(options) or 0)
    except MnistDigitsError as error:
        return _report_error(options.command, error)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.filename is not None:
            # If there are two names, the second is that of the file that was to be replaced.
            name = error.filename2 or error.filename
            return _report_error(options.command, f"cannot use {name}: {reason}")
        if not (output and output.lost):
            return _report_error(options.command, f"the system refuses: {reason}")
        if isinstance(error, BrokenPipeError):  # whoever reads the output has ended: `| head`
            return 1
        return _report_error(options.command, f"cannot write the output: {reason}")
    except MemoryError:
        return _report_error(options.command, "there is not enough memory")
    except KeyboardInterrupt as interrupt:
        print(f"\nmnist-digits {options.command}: stopped{interrupt}", file=sys.stderr)
        return 130


def _report_error(command: str, reason: object) -> int:
    print(f"mnist-digits {command}: error: {on_one_line(reason)}", file=sys.stderr)
    return 2


class _Output:
    """Standard output; `lost` becomes true when it cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self.lost = stream, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self.lost = True
            # Otherwise Python would fail again when it closes the stream.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            raise


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = Parser(prog="mnist-digits", description="Read handwritten digits.")
    parser.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        default=argparse.SUPPRESS,
        help="show program's version number and exit",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = import_module(f".{name}_command", __package__)
        summary = str(module.__doc__).splitlines()[0]
        command = commands.add_parser(name, help=summary, description=summary)
        module.add_flags(command)
        command.set_defaults(execute=module.execute)
    return parser


class _Version(argparse.Action):
    """Looks the version up only if it is asked for, because that takes 15 ms."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib import metadata

        print(f"{parser.prog} {metadata.version('mnist-digit-classification')}")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
