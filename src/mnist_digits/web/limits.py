"""The bounds on what clients can use up: bodies, all bodies together, waiting requests, and time.

Those on connections and on the heads of requests are settings of uvicorn, see `server`.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..processes import usable_cores
from ..reading.documents import is_pdf

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
# For a body: 20 MB at 8 Mbit/s. Who does not read an answer is cut off as soon.
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


class Bounded:
    """Receives each body, within the limits, before the application: it gets it in one piece.

    So nobody goes on sending after the answer, whether a route reads bodies or not.
    """

    def __init__(self, app: ASGIApp, workers: WorkerPool) -> None:
        self.app, self.workers = app, workers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app, body = self.app, bytearray()
        try:
            await asyncio.wait_for(self._fill(body, receive), SECONDS_TO_SEND)
        except ClientDisconnect:
            app = _nobody
        except asyncio.TimeoutError:
            app = _refusal(HTTPException(408, f"it took more than {SECONDS_TO_SEND:g} seconds"))
        except HTTPException as error:
            app = _refusal(error)
        whole: list[Message] = [{"type": "http.request", "body": bytes(body)}]

        async def received() -> Message:
            return whole.pop() if whole else await receive()

        try:
            await app(scope, received, send)
        finally:
            self.workers.held -= len(body)

    async def _fill(self, body: bytearray, receive: Receive) -> None:
        """Append what is received.

        After too much it goes on for as much again and more, without keeping that: who is cut off
        while sending never sees the answer.
        """
        size, more, refused = 0, True, None
        while more and size <= 3 * MAXIMUM_BODY:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            more, part = message.get("more_body", False), message.get("body", b"")
            size += len(part)
            if not refused:
                body += part
                self.workers.held += len(part)
            if size > MAXIMUM_BODY:
                refused = HTTPException(
                    413, f"more than {MAXIMUM_BODY:,} bytes: send a smaller picture"
                )
            elif self.workers.held > MAXIMUM_HELD:
                refused = refused or busy()
        if refused:
            raise refused


async def _nobody(scope: Scope, receive: Receive, send: Send) -> None:
    """No answer: the client has gone."""


def _refusal(error: HTTPException) -> ASGIApp:
    headers = {**(error.headers or {}), "Connection": "close"}
    return JSONResponse({"error": error.detail}, error.status_code, headers)


class Upload:
    """What one request says: the picture that is its body, and its parameters.

    Attributes:
        parameters: what the query says, and the fields of a form once that is received.
    """

    def __init__(self, request: Request, *names: str) -> None:
        """Look at the query.

        Args:
            names: the parameters that there are.

        Raises:
            HTTPException: another one is given.
        """
        self.request, self.names = request, names
        self.parameters = dict[str, str]()
        self._take(request.query_params)

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
