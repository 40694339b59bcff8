"""The bounds on what clients can use up.

Connections, heads, bodies, all bodies together, waiting requests, and the time for each.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..processes import usable_cores
from ..reading.pdf import is_pdf

# A photo of 50 megapixels has about so many bytes.
MAXIMUM_BODY = 20_000_000
# All bodies that are being received or wait to be read.
MAXIMUM_HELD = 10 * MAXIMUM_BODY
MAXIMUM_HEAD = 65_536
# Below the 1,024 open files that most systems allow a process.
MAXIMUM_CONNECTIONS = 900
# Threads that read side by side; each may take 700 MB to decode a large picture.
MAXIMUM_THREADS = 8
# Seconds after which a reading has been of a large picture, whose memory is given back at once.
LONG = 0.5
# Requests that wait for a thread; 32 clients at once, twice.
BACKLOG = 64
# For a whole request, head and body: 20 MB at 8 Mbit/s.
SECONDS_TO_SEND = 20.0
# Of a body that is a picture. The third is what `curl --data-binary` says of whatever it sends.
RAW = frozenset({"", "application/octet-stream", "application/x-www-form-urlencoded"})
# As FastAPI reads them.
FLAGS = dict.fromkeys(("true", "1", "on", "t", "yes", "y"), True)
FLAGS |= dict.fromkeys(("false", "0", "off", "f", "no", "n"), False)


class WorkerPool:
    """The threads that read, and the requests that wait for them.

    Threads, not processes: of a reading, networks and decoders take two thirds to four fifths of
    the time, without Python's lock, so that three or four cores find work. On two, two processes
    answered as many requests at the same cost each. Nor are drawings put through a network
    together: of eight in one batch each took 1.6 ms, of one 1.7.

    Attributes:
        waiting: requests that are read or wait for a thread.
        held: bytes of all bodies that are being received, wait, or are read.
    """

    def __init__(self) -> None:
        threads = min(MAXIMUM_THREADS, usable_cores())
        self.threads = ThreadPoolExecutor(threads, thread_name_prefix="reading")
        self.waiting = 0
        self.held = 0

    async def answer(self, function: Callable[..., bytes], *arguments: object) -> Response:
        """The JSON that the function makes in one of the threads."""
        if self.waiting >= BACKLOG:
            raise busy()
        self.waiting += 1
        try:
            loop = asyncio.get_running_loop()
            content = await loop.run_in_executor(self.threads, _tidily, function, *arguments)
        finally:
            self.waiting -= 1
        return Response(content, media_type="application/json")


def _tidily(function: Callable[..., bytes], *arguments: object) -> bytes:
    """What the function returns; if it took long, memory that it has freed is given back.

    The C library of Linux keeps it for each thread: after pictures of 49 megapixels 1.2 GB, of
    which 0.4 GB remain this way.
    """
    started = time.perf_counter()
    try:
        return function(*arguments)
    finally:
        if sys.platform == "linux" and time.perf_counter() - started > LONG:
            with suppress(AttributeError):  # other C libraries have no such function
                ctypes.CDLL(None).malloc_trim(0)


def busy() -> HTTPException:
    """The answer when a bound is reached that will be free again soon."""
    return HTTPException(503, "too many requests wait already: try again", {"Retry-After": "1"})


def too_large() -> HTTPException:
    """The answer to a body that is too large."""
    return HTTPException(413, f"more than {MAXIMUM_BODY:,} bytes: send a smaller picture")


class Upload:
    """The body of one request: received within the limits, counted until the request is done.

    Attributes:
        parameters: what the query says, and the fields of a form once that is received.
    """

    def __init__(self, request: Request, workers: WorkerPool, *names: str) -> None:
        """Look at the query.

        Args:
            names: the parameters that there are.

        Raises:
            HTTPException: another one is given.
        """
        self.workers, self.size = workers, 0
        self.receive = request.receive
        self.request = Request(request.scope, self._receive)
        self.names, self.parameters = names, dict[str, str]()
        self._take(request.query_params)

    async def __aenter__(self) -> Upload:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.workers.held -= self.size

    async def _receive(self) -> Message:
        message = await self.receive()
        more = len(message.get("body", b""))
        self.size += more
        self.workers.held += more
        if self.size > MAXIMUM_BODY:
            raise too_large()
        if self.workers.held > MAXIMUM_HELD:
            raise busy()
        return message

    def _take(self, parameters: Mapping[str, str]) -> None:
        for name in parameters:
            if name not in self.names:
                known = ", ".join(self.names) or "none"
                raise HTTPException(422, f"{name[:100]!r} is no parameter: there are {known}")
        self.parameters.update(parameters)

    def flag(self, name: str) -> bool:
        """Whether a parameter that is true or false is set."""
        value = self.parameters.get(name, "false").lower()
        if value not in FLAGS:
            raise HTTPException(422, f"{name}: {value[:100]!r} is neither true nor false")
        return FLAGS[value]

    async def picture(self) -> bytes:
        """The bytes of a picture."""
        # That it is a number has been seen to by the parser of heads.
        if int(self.request.headers.get("content-length", 0)) > MAXIMUM_BODY:
            raise too_large()
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            receive = self._form
        elif kind in RAW or kind.startswith("image/"):
            receive = self.request.body
        else:
            raise HTTPException(415, f"{kind} is no picture: send the bytes of an image file")
        content = await receive()
        # One of a few kB can take minutes to draw, nothing stops that, and all others would wait.
        if is_pdf(content):
            raise HTTPException(415, "PDFs are not read here: send a page as a picture")
        return content

    async def _form(self) -> bytes:
        async with self.request.form(max_files=1, max_fields=4) as form:
            files = [value for value in form.values() if isinstance(value, UploadFile)]
            if not files:
                raise HTTPException(422, "the form has no file")
            self._take({name: value for name, value in form.items() if isinstance(value, str)})
            return await files[0].read()


class Connection(HttpToolsProtocol):
    """A connection with bounds: uvicorn's own waits for ever, for a request of any length.

    A request has SECONDS_TO_SEND from its first byte to the last of its body, whether its route
    reads that or not. So has the next one from the answer to the one before, and a client to
    receive an answer.
    """

    room = MAXIMUM_HEAD
    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAXIMUM_CONNECTIONS:
            self._refuse("503 Service Unavailable", "too many connections", "retry-after: 1\r\n")
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.deadline:
            self.deadline.cancel()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.room = MAXIMUM_HEAD
        self._wait()

    def on_headers_complete(self) -> None:
        # What goes on after a body was refused is let by for as long again: who is cut off
        # while sending never sees the answer.
        self.room += 2 * MAXIMUM_BODY
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._wait()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.room -= len(data)
        if self.room < 0:
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]
        # Who has sent all of a request and closes its half still waits for the answer.
        return self._is_answering()

    def _is_answering(self) -> bool:
        """Whether it is not the client that is waited for."""
        cycle = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def _wait(self) -> None:
        """Give the client time, if it is its turn."""
        if self.deadline:
            self.deadline.cancel()
        if self.flow.write_paused or not self._is_answering():
            self.deadline = self.loop.call_later(SECONDS_TO_SEND, self._give_up)

    def _give_up(self) -> None:
        cycle, closing = self.cycle, self.transport.is_closing()
        if not closing and cycle and cycle.more_body and not cycle.response_started:
            self._refuse("408 Request Timeout", f"it took more than {SECONDS_TO_SEND:g} seconds")
            self._wait()
        else:
            # To close it would wait for a client that does not read.
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        self._refuse("400 Bad Request", msg)

    def _refuse(self, status: str, error: str, header: str = "") -> None:
        """Answer what never comes to the application, and hang up."""
        body = json.dumps({"error": error}).encode()
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{header}"
        head += f"content-length: {len(body)}\r\nconnection: close\r\n"
        more = [name + b": " + value + b"\r\n" for name, value in self.server_state.default_headers]
        self.transport.write(head.encode() + b"".join(more) + b"\r\n" + body)
        self.transport.close()
