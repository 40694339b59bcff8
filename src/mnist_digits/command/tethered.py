"""The command, for as long as whoever started it lives: it ends when its standard input does.

    python -m mnist_digits.command.tethered teach FOLDER ...

The page starts it so, at the head of a group of processes: whatever ends the server, be it
`kill -9`, closes the pipe, and nothing goes on that nobody waits for.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from .cli import main


def _end_with_input() -> None:
    # Not sys.stdin, whose lock Python would wait for when it ends.
    while os.read(0, 4096):
        pass
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        # The processes that it trains in, too.
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_input, daemon=True).start()
    sys.exit(main())
