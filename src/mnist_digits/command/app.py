"""Serve a page to draw digits on, and an HTTP interface, until Ctrl-C."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import ServerError
from .options import MODEL_HELP, Parser, whole


def add_flags(command: Parser) -> None:
    command.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
    command.add_argument(
        "--port",
        type=whole(0, 65_535),
        default=8000,
        help="port to listen at; 0 takes a free one (8000)",
    )
    command.add_argument("--model", type=Path, help=MODEL_HELP)
    command.add_argument(
        "--browser",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="open the page in a browser",
    )


def execute(options: argparse.Namespace) -> None:
    try:
        from ..web import server
    except ModuleNotFoundError as error:
        raise ServerError(
            "the page needs more packages: pip install 'mnist-digit-classification[web]'"
        ) from error
    from ..reading.reader import Reader

    socket = server.listen(options.host, options.port)
    # One thread for each picture: several are read at once.
    web = server.create_server(Reader.load(options.model, threads=1), options.host)
    host = f"[{options.host}]" if ":" in options.host else options.host
    address = f"http://{host}:{socket.getsockname()[1]}/"
    print(f"Draw at {address} (Ctrl-C stops)")
    if options.browser:
        import threading
        import webbrowser

        # In a thread: some browsers return only when they are closed.
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    web.run([socket])
