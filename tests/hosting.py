"""A plain host of files on a free port of this machine, as the page without a server has."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Host(ThreadingHTTPServer):
    """Serves a folder; `sent` has the path of each file that it sent, unless it was unchanged."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Files, directory=str(folder)))
        self.sent: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Files(SimpleHTTPRequestHandler):
    server: Host

    def log_message(self, *_: Any) -> None:
        """Nothing is written."""

    def copyfile(self, *files: Any) -> None:
        self.server.sent.append(self.path)
        with suppress(ConnectionError):  # of a page that was closed meanwhile
            super().copyfile(*files)


@contextmanager
def hosted(folder: Path) -> Iterator[Host]:
    """The host for as long as it is needed."""
    with Host(folder) as host:
        thread = threading.Thread(target=host.serve_forever)
        thread.start()
        try:
            yield host
        finally:
            host.shutdown()
            thread.join()
