"""The bounds on what clients can use up: bodies, all bodies together, waiting requests, and time.

Those on connections and on the heads of requests are settings of uvicorn, see `server`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
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
# Requests that wait for a thread; 32 clients at once, twice.
BACKLOG = 64
# For a body: 20 MB at 8 Mbit/s. Who does not read an answer is cut off as soon.
SECONDS_TO_SEND = 20.0
# Of a body that is a picture. The third is what `curl --data-binary` says of whatever it sends.
RAW = frozenset({"", "application/octet-stream", "application/x-www-form-urlencoded"})


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

    async def answer(self, function: Callable[..., dict[str, Any]], *arguments: object) -> Response:
        """What the function returns, as JSON: both are made in one of the threads."""
        if self.waiting >= BACKLOG:
            raise busy()
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self.threads, lambda: JSONResponse(function(*arguments))
            )
        finally:
            self.waiting -= 1


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
        body = bytearray()
        try:
            # Where the client has gone there is nobody to answer.
            with suppress(ClientDisconnect):
                app = await self._received(body, Request(scope, receive))
                whole: list[Message] = [{"type": "http.request", "body": bytes(body)}]

                async def received() -> Message:
                    return whole.pop() if whole else await receive()

                await app(scope, received, send)
        finally:
            self.workers.held -= len(body)

    async def _received(self, body: bytearray, request: Request) -> ASGIApp:
        """The application once the body is there, or else the answer that says why not."""
        try:
            await asyncio.wait_for(self._fill(body, request), SECONDS_TO_SEND)
            return self.app
        except asyncio.TimeoutError:
            error = HTTPException(408, f"it took more than {SECONDS_TO_SEND:g} seconds")
        except HTTPException as refused:
            error = refused
        headers = {**(error.headers or {}), "Connection": "close"}
        return JSONResponse({"error": error.detail}, error.status_code, headers)

    async def _fill(self, body: bytearray, request: Request) -> None:
        """Append what is received.

        After too much it goes on for as much again and more, without keeping that: who is cut off
        while sending never sees the answer.
        """
        size, refused = 0, None
        async for part in request.stream():
            size += len(part)
            if size > 3 * MAXIMUM_BODY:
                break
            if size > MAXIMUM_BODY:
                many = f"more than {MAXIMUM_BODY:,} bytes: send a smaller picture"
                refused = HTTPException(413, many)
            elif self.workers.held + len(part) > MAXIMUM_HELD:
                refused = refused or busy()
            if not refused:
                body += part
                self.workers.held += len(part)
        if refused:
            raise refused


class Parameters(BaseModel, extra="forbid"):
    """What a request says beside its picture: none; a route with some has a class of its own."""


P = TypeVar("P", bound=Parameters)


async def upload(request: Request, kind: type[P]) -> tuple[bytes, P]:
    """The picture that is the body, and the parameters: of the query, and the fields of a form."""
    said: dict[str, object] = {**request.query_params}
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        async with request.form(max_files=1, max_fields=4) as form:
            files = [value for value in form.values() if isinstance(value, UploadFile)]
            if not files:
                raise HTTPException(422, "the form has no file")
            said |= {name: value for name, value in form.items() if isinstance(value, str)}
            content = await files[0].read()
    elif media_type in RAW or media_type.startswith("image/"):
        content = await request.body()
    else:
        raise HTTPException(415, f"{media_type} is no picture: send the bytes of an image file")
    # One of a few kB can take minutes to draw, nothing stops that, and all others would wait.
    if is_pdf(content):
        raise HTTPException(415, "PDFs are not read here: send a page as a picture")
    try:
        return content, kind.model_validate(said)
    except ValidationError as error:
        wrong, known = error.errors()[0], ", ".join(kind.model_fields) or "none"
        name = str(wrong["loc"][0])[:100]
        message = f"{name}: {wrong['msg'].lower()}; the parameters are: {known}"
        raise HTTPException(422, message) from error
