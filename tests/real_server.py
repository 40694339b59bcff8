"""A real server on a free port of this machine, for as long as a test needs it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from mnist_digits import Reader
from mnist_digits.web import server
from mnist_digits.web.page_teaching import Teaching


@cache
def shipped() -> Reader:
    return Reader.load(threads=1)


@contextmanager
def serving(
    reader: Reader | None = None,
    port: int = 0,
    teaching: Teaching | None = None,
    host: str = "127.0.0.1",
    allowed: tuple[str, ...] = (),
) -> Iterator[int]:
    """The port of a server that has answered nothing yet."""
    socket = server.listen(host, port)
    port = socket.getsockname()[1]
    web = server.create_server(reader or shipped(), host, teaching, allowed)
    thread = threading.Thread(target=web.run, args=([socket],))
    thread.start()
    try:
        yield port
    finally:
        web.should_exit = True
        thread.join()
        socket.close()
