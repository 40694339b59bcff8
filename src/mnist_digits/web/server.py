"""The page to draw on, and the HTTP interface: `mnist-digits app`.

    GET  /              the page
    POST /api/read      a picture, as the body or as a form's file -> what `Reader.read` finds
    POST /api/explain   a frame, 784 bytes -> what the network looks at in it, and its features
    GET  /api/model     recipe, results and size of the network
    GET  /healthz       whether it answers

Reading runs in threads, never on the event loop, and whatever a client may make grow has a
bound: connections, heads, bodies, all bodies together, waiting requests, and the time for each.
Every error is JSON: {"error": "..."}.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers, MutableHeaders, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..errors import PictureError, ServerError
from ..reading.explanation import explain
from ..reading.finder import FINDER, Found
from ..reading.framing import FRAME
from ..reading.pdf import is_pdf
from ..reading.picture import open_picture
from ..reading.reader import Reader, Reading

STATIC = Path(__file__).parent / "static"
FILES = {
    "/": ("index.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/draw.js": ("draw.js", "text/javascript"),
    "/samples.json": ("samples.json", "application/json"),
}
READING = ["GET", "HEAD"]
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
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
# A slower sender is cut off: 20 MB at 8 Mbit/s.
SECONDS_TO_SEND = 20.0
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class WorkerPool:
    """Hands requests to the threads that read, and bounds how many there are and how many wait."""

    def __init__(self) -> None:
        threads = min(MAXIMUM_THREADS, os.cpu_count() or 1)
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
            content = await loop.run_in_executor(self.threads, function, *arguments)
        finally:
            self.waiting -= 1
        return Response(content, media_type="application/json")


def busy() -> HTTPException:
    """What to answer when a bound is reached that will be free again soon."""
    return HTTPException(503, "too many requests wait already: try again", {"Retry-After": "1"})


class Upload:
    """The body of one request: received within the limits, counted until the request is done."""

    def __init__(self, request: Request, workers: WorkerPool) -> None:
        self.workers, self.size = workers, 0
        self.receive = request.receive
        self.request = Request(request.scope, self._receive)
        try:
            self.declared = int(request.headers.get("content-length", 0))
        except ValueError:
            raise HTTPException(400, "Content-Length must be a number") from None

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
            raise HTTPException(413, f"more than {MAXIMUM_BODY:,} bytes: send a smaller picture")
        if self.workers.held > MAXIMUM_HELD:
            raise busy()
        return message

    async def picture(self) -> tuple[bytes, bool]:
        """The bytes of a picture, and whether a form's field `single` is set."""
        if self.declared > MAXIMUM_BODY:
            raise HTTPException(413, f"more than {MAXIMUM_BODY:,} bytes: send a smaller picture")
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        receive = self._form if kind == "multipart/form-data" else self._bytes
        # The third is what `curl --data-binary` says of whatever it sends.
        known = ("", "application/octet-stream", "application/x-www-form-urlencoded")
        if receive == self._bytes and kind not in known and not kind.startswith("image/"):
            raise HTTPException(415, f"{kind} is no picture: send the bytes of an image file")
        try:
            content, single = await asyncio.wait_for(receive(), SECONDS_TO_SEND)
        except (asyncio.TimeoutError, TimeoutError):
            message = f"the body took more than {SECONDS_TO_SEND:g} seconds"
            raise HTTPException(408, message, {"Connection": "close"}) from None
        # One of a few kB can take minutes to draw, nothing stops that, and all others would wait.
        if is_pdf(content):
            raise HTTPException(415, "PDFs are not read here: send a page as a picture")
        return content, single

    async def _bytes(self) -> tuple[bytes, bool]:
        return await self.request.body(), False

    async def _form(self) -> tuple[bytes, bool]:
        async with self.request.form(max_files=1, max_fields=4) as form:
            files = [value for value in form.values() if isinstance(value, UploadFile)]
            if not files:
                raise HTTPException(422, "the form has no file")
            return await files[0].read(), form.get("single") in ("true", "1", "on")


def create_app(reader: Reader, hosts: frozenset[str] | None = None) -> ASGIApp:
    """The application; requests to other names than `hosts` are refused, if there are any."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    workers = WorkerPool()
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    for path, (name, media_type) in FILES.items():
        app.add_api_route(path, _file(name, media_type), methods=READING)

    @app.post("/api/read")
    async def read(request: Request, single: bool = False, details: bool = False) -> Response:
        async with Upload(request, workers) as upload:
            content, field = await upload.picture()
            return await workers.answer(_read, reader, content, single or field, details)

    @app.post("/api/explain")
    async def explanation(request: Request) -> Response:
        async with Upload(request, workers) as upload:
            content, _ = await upload.picture()
            return await workers.answer(_explain, reader, content)

    @app.api_route("/api/model", methods=READING)
    async def model() -> Response:
        sizes = {"bytes": reader.size, "finder_bytes": FINDER.stat().st_size}
        return JSONResponse({**reader.information, "sure_above": reader.sure_above, **sizes})

    @app.api_route("/healthz", methods=READING)
    async def health() -> Response:
        return JSONResponse({"status": "ok"})

    return Guard(app, hosts)


def _file(name: str, media_type: str) -> Callable[[], Any]:
    content = (STATIC / name).read_bytes()

    async def file() -> Response:
        return Response(content, media_type=media_type)

    return file


def _read(reader: Reader, content: bytes, single: bool, details: bool) -> bytes:
    reading = reader.read_digit(content) if single else reader.read(content)
    result = reading.to_dict()
    if details:
        _add_details(result, reading)
        found = reading.found or _searched(reader, content)
        result["finder"] = found and _overview(found)
    return json.dumps(result).encode()


def _searched(reader: Reader, content: bytes) -> Found | None:
    """What the page shows of a drawing, which is read without a search; none for a frame."""
    picture = open_picture(content)
    if (picture.width, picture.height) == (FRAME, FRAME):
        return None
    return reader.finder.find(picture.pixels).scaled(picture.reduction)


def _add_details(result: dict[str, Any], reading: Reading) -> None:
    """Of each digit what the page shows."""
    for told, digit in zip(result["digits"], reading.digits, strict=True):
        told["sure"] = digit.sure
        told["probabilities"] = [round(p, 4) for p in digit.probabilities.tolist()]
        told["frame"] = _packed(digit.frame)


def _overview(found: Found) -> dict[str, Any]:
    """What the finder saw of the whole picture; all places are in the picture's pixels.

    Votes are float32 (V, 5): x and y of a place that is ink, x and y of the middle that it points
    to, and the number of the middle that this is for, or -1.
    """
    height, width = found.ink.shape
    picture = [round(side) for side in found.size]
    votes = np.column_stack([found.places, found.votes, found.owners()]).astype("<f4")
    return {
        "ink": _packed(255 * found.ink),
        "width": width,
        "height": height,
        "picture": picture,
        "middles": np.clip(found.middles.astype(float).round(1), 0, picture).tolist(),
        "votes": base64.b64encode(votes.tobytes()).decode(),
        "missed": round(found.missed, 3),
    }


def _explain(reader: Reader, content: bytes) -> bytes:
    if len(content) != FRAME * FRAME:
        raise PictureError(f"a frame has 784 bytes, one a pixel, not {len(content):,}")
    frame = np.frombuffer(content, np.uint8).reshape(FRAME, FRAME)
    explanation = explain(reader, frame)
    most = float(explanation.fall.max())
    stages = [
        # Each stage by its own strongest response: weak channels look weak.
        {"shape": maps.shape, "maps": _packed(255 * np.maximum(maps, 0) / max(maps.max(), 1e-6))}
        for maps in explanation.features
    ]
    answer = {
        "digit": int(explanation.probabilities.argmax()),
        "fall": {"most": round(most, 4), "map": _packed(255 * explanation.fall / max(most, 1e-6))},
        "stages": stages,
    }
    return json.dumps(answer).encode()


def _packed(values: np.ndarray[Any, Any]) -> str:
    """Values from 0 to 255 as base64, a byte each."""
    return base64.b64encode(values.round().astype(np.uint8).tobytes()).decode()


class Guard:
    """Refuses requests to foreign names, and puts the security headers on every answer.

    A foreign page may have its own name resolve to this machine (DNS rebinding), and read what
    a local server answers; the name is then in the request's Host header.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        host = Headers(scope=scope).get("host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            refusal = JSONResponse({"error": f"this server is not called {host[:100]!r}"}, 421)
            await refusal(scope, receive, guarded)
        else:
            await self.app(scope, receive, guarded)


def _name(host: str) -> str:
    """The name in a Host header, without the port and the brackets of IPv6."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower()


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _misunderstood(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}"}, 422)


async def _unreadable(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 422)


async def _gone(_: Request, __: Exception) -> Response:
    # Nobody hears it, but without an answer the server would report a fault.
    return JSONResponse({"error": "the connection was closed"}, 400)


async def _failed(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": "the server has failed: its log says how"}, 500)


HANDLERS: dict[type[Exception], Callable[[Request, Exception], Any]] = {
    HTTPException: _refused,
    RequestValidationError: _misunderstood,
    PictureError: _unreadable,
    ClientDisconnect: _gone,
    Exception: _failed,
}


class Connection(HttpToolsProtocol):
    """uvicorn's connection, which by itself waits for ever for a head of any length."""

    received = 0
    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAXIMUM_CONNECTIONS:
            transport.write(FULL)
            transport.close()
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._heard_head()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.received = 0
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._heard_head()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.received += len(data)
        # What goes on after a body was refused is let by for as long again: who is cut off
        # while sending never sees the answer.
        if self.received > (MAXIMUM_HEAD if self.deadline else 2 * MAXIMUM_BODY + MAXIMUM_HEAD):
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]
        # Who has sent all of a request and closes its half still waits for the answer.
        return self.cycle is not None and not self.cycle.more_body

    def _expect_head(self) -> None:
        self._heard_head()
        self.deadline = self.loop.call_later(SECONDS_TO_SEND, self.transport.close)

    def _heard_head(self) -> None:
        if self.deadline:
            self.deadline.cancel()
            self.deadline = None


FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
    b"content-length: 33\r\nretry-after: 1\r\nconnection: close\r\n\r\n"
    b'{"error": "too many connections"}'
)


def listen(host: str, port: int) -> socket.socket:
    """A socket at this address; port 0 takes a free one.

    Raises:
        ServerError: the address is in use, or not one of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    # A name that is none, such as a..b, is a UnicodeError.
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ServerError(
            f"cannot listen at {host}, port {port}: {reason}; choose another with --port"
        ) from error


def create_server(reader: Reader, host: str) -> uvicorn.Server:
    """The server, to be run with `server.run([listen(host, port)])`."""
    # Requests are read side by side; threads within one would only get in their way.
    cv2.setNumThreads(1)
    # Whatever is odd about a picture is either no matter or an error that is answered.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    hosts = LOCAL | {host.lower()} if _is_local(host) else None
    return uvicorn.Server(
        uvicorn.Config(
            create_app(reader, hosts),
            http=Connection,
            ws="none",
            lifespan="off",
            # Below errors it notes every malformed request.
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=3,
        )
    )


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() in LOCAL
