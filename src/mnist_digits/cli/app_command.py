"""Serve a page to draw digits on, and an HTTP interface, until Ctrl-C."""

from __future__ import annotations

import argparse
import re
import signal
from contextlib import ExitStack

from ..errors import ServerError
from .options import MODEL_HELP, Parser, place, whole


def add_flags(command: Parser) -> None:
    command.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
    command.add_argument(
        "--port",
        type=whole(0, 65_535),
        help="port to listen at; 0 takes a free one (8000, or a free one if that is taken)",
    )
    command.add_argument(
        "--allowed-host",
        action="append",
        type=host_name,
        default=[],
        metavar="NAME",
        help="a name that others open the page by, such as a proxy's; may be given again",
    )
    command.add_argument("--model", type=place, help=MODEL_HELP)
    command.add_argument(
        "--teach",
        type=place,
        metavar="FOLDER",
        help="keep what is confirmed and corrected on the page here, and teach the network with it",
    )
    command.add_argument(
        "--browser",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="open the page in a browser",
    )


def host_name(text: str) -> str:
    """The argparse type of a name as a browser sends it: without scheme or path."""
    if not re.fullmatch(r"[\w.-]+(:\d+)?|\[[0-9a-fA-F:]+\](:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no host's name, such as digits.example.org")
    return text


def execute(options: argparse.Namespace) -> None:
    try:
        from ..web import server
    except ModuleNotFoundError as error:
        raise ServerError(
            "the page needs more packages: pip install 'mnist-digit-classification[web]'"
        ) from error
    from ..reading.reader import Reader
    from ..web.page_teaching import Teaching

    # One thread for each picture: several are read at once.
    reader = Reader.load(options.model, threads=1)
    # Once the server has stopped, it raises the signal again: what it teaches is to end, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        teaching = None
        if options.teach:
            teaching = Teaching(options.teach, reader, options.model)
            stack.callback(teaching.close)
        socket = stack.enter_context(server.listen(options.host, options.port))
        web = server.create_server(reader, options.host, teaching, options.allowed_host)
        address = server.url(options.host, socket)
        print(f"Draw at {address} (Ctrl-C stops)")
        if server.is_open(socket):
            print("Others open it with this machine's name or address instead")
        if teaching:
            print(f"What is confirmed or corrected there is kept in {options.teach}")
        if options.browser:
            _open(address)
        web.run([socket])


def _open(address: str) -> None:
    import threading
    import webbrowser

    # In a thread: some browsers return only when they are closed.
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
