"""Figures that a process of their own draws, while this one imports torch and computes.

It imports matplotlib, but no torch, as soon as it is started. It is sent what the figures show,
draws each at once, and in the end gives back all of them.
"""

from __future__ import annotations

import atexit
import gc
import logging
import pickle
import signal
import subprocess
import sys
from contextlib import suppress
from types import TracebackType

from ..errors import OutputError

# Where this process looks for modules, the other does, too: not in the current folder.
PROGRAM = "import sys; sys.path[:] = {}; from mnist_digits.figures.process import main; main()"


class Drawing:
    """Figures of a run that are being drawn; a context, which ends the process if work is left."""

    def __init__(self) -> None:
        flags = [f"-W{option}" for option in sys.warnoptions]
        self._process = subprocess.Popen(
            [sys.executable, *flags, "-c", PROGRAM.format(ascii(sys.path))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process alone
        )

    def __enter__(self) -> Drawing:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        # What it has not taken cannot be flushed any more.
        with suppress(BrokenPipeError):
            self._process.__exit__(kind, error, traceback)

    def draw(self, name: str, shown: object) -> None:
        """Begin to draw the figure of this name in `results`, of what it shows."""
        self._send((name, shown))

    def finished(self) -> dict[str, bytes]:
        """The PNG of each figure, by its name, when all are drawn.

        Raises:
            OutputError: they could not be drawn.
        """
        self._send(None)
        content, _ = self._process.communicate()
        if self._process.returncode or not content:
            raise OutputError(
                f"the figures could not be drawn: their process ended with the exit status "
                f"{self._process.returncode}; leave them out by --no-figures"
            )
        figures: dict[str, bytes] = pickle.loads(content)  # which our own process has written
        return figures

    def _send(self, message: tuple[str, object] | None) -> None:
        assert self._process.stdin
        # Where the process has ended, `finished` says so.
        with suppress(BrokenPipeError):
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()


def main() -> None:
    """In the other process: draw what comes from standard input, until all is there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    atexit.register(gc.freeze)
    # It warns of a folder for its settings that cannot be written, and takes another.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)

    # The latter two would be imported by the first figure.
    import PIL.PngImagePlugin  # noqa: F401

    from . import results
    from .png import as_png

    figures = {}
    # If standard input ends before that, nobody waits for the figures any more.
    with suppress(EOFError):
        while message := pickle.load(sys.stdin.buffer):
            name, shown = message
            figures[name] = as_png(getattr(results, name)(shown))
        sys.stdout.buffer.write(pickle.dumps(figures))
