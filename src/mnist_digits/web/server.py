"""The page to draw on, and the HTTP interface: `mnist-digits app`.

    GET  /              the page
    POST /api/read      a picture, as the body or as a form's file -> what `Reader.read` finds
    POST /api/table     a picture -> the table in it, as `read_table` reads it
    POST /api/explain   a frame, 784 bytes -> what the network looks at in it, and its features
    GET  /api/model     recipe, results and size of the network
    GET  /healthz       whether it answers
    .../api/teach       with --teach FOLDER: examples are kept and learned from, see `page_teaching`

Reading runs in threads, never on the event loop; what a client may ask for is bounded in
`limits`. Every error is JSON: {"error": "..."}.
"""

from __future__ import annotations

import base64
import errno
import logging
import socket
import warnings
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import PictureError, ServerError
from ..reading.detection import DETECT, LOOK, MODELS, READ, Detections
from ..reading.documents import open_picture
from ..reading.explanation import occlusion
from ..reading.mnist_frame import FRAME
from ..reading.picture import Picture
from ..reading.reader import Reader
from ..reading.result import Reading
from ..reading.tables import read_table
from . import limits
from .limits import Bounded, Parameters, WorkerPool, upload
from .page_teaching import Teaching, routes

STATIC = Path(__file__).parent / "static"
FILES = {
    "/": ("index.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/draw.js": ("draw.js", "text/javascript"),
    "/server.js": ("server.js", "text/javascript"),
    "/teach.js": ("teach.js", "text/javascript"),
    "/table.js": ("table.js", "text/javascript"),
    "/samples.json": ("samples.json", "application/json"),
}
# Of every answer.
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
PORT = 8000
# Of the places that were looked at: more would only cover each other on the page.
SHOWN = 100


class Asked(Parameters):
    """What is wanted: a `single` digit, the `details` that the page shows, the `pixels` read."""

    single: bool = False
    details: bool = False
    pixels: bool = False


def create_app(
    reader: Reader, hosts: frozenset[str] | None = None, teaching: Teaching | None = None
) -> ASGIApp:
    """The application; requests to other names than `hosts` are refused, if there are any."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    workers = WorkerPool()

    def current() -> Reader:
        return teaching.reader if teaching else reader

    for kind in (HTTPException, PictureError, Exception):
        app.add_exception_handler(kind, _error_answer)

    async def read(request: Request) -> Response:
        content, asked = await upload(request, Asked)
        return await workers.answer(_read, current(), content, asked)

    async def table(request: Request) -> Response:
        content, _ = await upload(request, Parameters)
        return await workers.answer(lambda: read_table(current(), content).to_dict())

    async def explanation(request: Request) -> Response:
        content, _ = await upload(request, Parameters)
        return await workers.answer(_explain, current(), content)

    async def model(_: Request) -> Response:
        return JSONResponse({**facts(current()), "teach": teaching is not None})

    # What is always the same is answered by the answer itself.
    same = {"/healthz": Response(b'{"status": "ok"}', media_type="application/json")}
    for path, (name, media_type) in FILES.items():
        same[path] = Response((STATIC / name).read_bytes(), media_type=media_type)
    # Without what FastAPI does for each request, which takes as long as all else around a reading.
    app.router.routes += [
        Route("/api/read", read, methods=["POST"]),
        Route("/api/table", table, methods=["POST"]),
        Route("/api/explain", explanation, methods=["POST"]),
        Route("/api/model", model, methods=["GET"]),
        *(Route(path, answer, methods=["GET"]) for path, answer in same.items()),
    ]
    if teaching:
        app.include_router(routes(teaching, workers))
    return Bounded(Guard(app, hosts), workers)


def facts(reader: Reader) -> dict[str, Any]:
    """What the page says of the networks: recipe, results, sizes."""
    result = dict(reader.information["result"])
    # It names the pictures, and says where they lie.
    result.pop("teaching", None)
    detector = sum((MODELS / name).stat().st_size for name in (DETECT, LOOK))
    about = {"sure_above": reader.sure_above, "bytes": reader.size, "detector_bytes": detector}
    return {**reader.information, "result": result, **about}


def _read(reader: Reader, content: bytes, asked: Asked) -> dict[str, Any]:
    picture = open_picture(content)
    reading = reader.read(picture, asked.single)
    result = reading.to_dict()
    if asked.details:
        _add_details(result, reading)
        result |= {"width": picture.width, "height": picture.height, "seen": None}
        if reading.seen is not None:
            result["seen"] = _overview(reading.seen, len(reading.digits), picture)
    if asked.pixels:
        result["pixels"] = _as_seen(picture)
    return result


def _as_seen(picture: Picture) -> str:
    """The pixels that were read, as a data URL: browsers know neither HEIC nor TIFF."""
    _, jpeg = cv2.imencode(".jpg", picture.pixels[:, :, ::-1])
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}"


def _add_details(result: dict[str, Any], reading: Reading) -> None:
    """Add to the JSON what the page shows of each digit."""
    for fields, digit in zip(result["digits"], reading.digits, strict=True):
        fields["sure"] = digit.sure
        fields["probabilities"] = [round(p, 4) for p in digit.probabilities.tolist()]
        fields["frame"] = _packed(digit.frame)


def _overview(seen: Detections, digits: int, picture: Picture) -> dict[str, Any]:
    """What was looked at, in the picture's pixels: the digits first, in their order.

    `looked_at` counts all places, `none` those that were judged to be none; SHOWN are described.
    The ink of all is one string, (N, 56, 56): each in a square of two sizes around its place.
    """
    shown = seen.chosen(np.arange(min(len(seen), SHOWN)))
    odds = np.exp(shown.logits - shown.logits.max(axis=1, keepdims=True))
    probabilities = shown.scores[:, None] * odds / odds.sum(axis=1, keepdims=True)
    names = ("x", "y", "size", "score", "box", "probabilities")
    columns = [*shown.places.T, shown.scores, shown.boxes, probabilities]
    # In 64 bits, since JSON would have all digits of a rounded number in 32.
    table = [column.astype(float).round(4).tolist() for column in columns]
    return {
        "picture": [picture.width, picture.height],
        "looked_at": len(seen),
        "none": int((seen.scores[digits:] <= READ).sum()),
        "places": [dict(zip(names, row, strict=True)) for row in zip(*table, strict=True)],
        "ink": _packed(255 * shown.ink),
    }


def _explain(reader: Reader, content: bytes) -> dict[str, Any]:
    if len(content) != FRAME * FRAME:
        raise PictureError(f"a frame has 784 bytes, one a pixel, not {len(content):,}")
    frame = np.frombuffer(content, np.uint8).reshape(1, FRAME, FRAME)
    fall = occlusion(reader, frame[0])
    most = float(fall.max())
    return {
        "digit": int(reader.classify(frame).argmax()),
        "fall": {"most": round(most, 4), "map": _packed(255 * fall / max(most, 1e-6))},
        "stages": [_stage(maps[0]) for maps in reader.features(frame)],
    }


def _stage(maps: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Feature maps (C, h, w), all by their strongest response: weak channels look weak."""
    shown = 255 * np.maximum(maps, 0) / max(maps.max(), 1e-6)
    return {"shape": maps.shape, "maps": _packed(shown)}


def _packed(values: np.ndarray[Any, Any]) -> str:
    """Values from 0 to 255 as base64, a byte each."""
    return base64.b64encode(values.round().astype(np.uint8).tobytes()).decode()


class Guard:
    """Refuses requests to foreign names; Starlette's own takes no IPv6 address for a name.

    A foreign page may have its own name resolve to this machine (DNS rebinding), and read what
    a local server answers; the name is then in the request's Host header.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app, name = self.app, _name(Headers(scope=scope).get("host", ""))
        # An address is nobody's to resolve.
        if self.hosts is not None and name not in self.hosts and not _address(name):
            error = f"this server is not called {name[:100]!r}: name it with --allowed-host"
            app = JSONResponse({"error": error}, 421)
        await app(scope, receive, send)


def _name(host: str) -> str:
    """The name in a Host header, without the port and the brackets of IPv6."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower().rstrip(".")


async def _error_answer(_: Request, error: Exception) -> Response:
    """The answer to a request that has failed."""
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)
    if isinstance(error, PictureError):
        return JSONResponse({"error": str(error)}, 422)
    return JSONResponse({"error": "the server has failed: its log says how"}, 500)


def listen(host: str, port: int | None = None) -> socket.socket:
    """A socket at this address; port 0 takes a free one, no port 8000, or a free one if need be.

    Raises:
        ServerError: the address is in use, or not one of this machine's.
    """
    asked = PORT if port is None else port
    try:
        family = socket.getaddrinfo(host, asked, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, asked), family=family, backlog=2048)
    # An invalid name, such as a..b, is a UnicodeError.
    except (OSError, OverflowError, UnicodeError) as error:
        if port is None and getattr(error, "errno", None) == errno.EADDRINUSE:
            return listen(host, 0)
        # The standard library names the address there once more.
        reason = str(getattr(error, "strerror", None) or error).partition(" (while")[0]
        raise ServerError(
            f"cannot listen at {host}, port {asked}: {reason}; choose another with --host or --port"
        ) from error
    # Linux hangs up on who does not read an answer.
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        patience = round(1000 * limits.SECONDS_TO_SEND)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience)
    return listening


def url(host: str, listening: socket.socket) -> str:
    """What a browser of this machine opens; `host` is a name of the address it listens at."""
    bound, port = listening.getsockname()[:2]
    if is_open(listening):
        host = "::1" if ":" in bound else "127.0.0.1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_open(listening: socket.socket) -> bool:
    """Whether it listens at all of the machine's addresses."""
    return ip_address(listening.getsockname()[0]).is_unspecified


def create_server(
    reader: Reader, host: str, teaching: Teaching | None = None, allowed: Iterable[str] = ()
) -> uvicorn.Server:
    """The server, to be run with `server.run([listen(host, port)])`.

    Args:
        reader: the network that reads, unless there is `teaching`, which has its own.
        allowed: names that it has beside its own, at a proxy say. What is kept is the business of
            no page that calls it otherwise; without teaching others may reach it by any name.
    """
    # Requests are read side by side; threads within one would only get in their way.
    cv2.setNumThreads(1)
    # What Pillow warns of is either harmless or answered as an error.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    # So is what the parser of forms logs, which nobody else would see.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    hosts, address = None, _address(host)
    local = address.is_loopback if address else host.lower() == "localhost"
    if teaching or allowed or local:
        own = socket.gethostname()
        names = {"localhost", host.lower(), own.lower(), f"{own.lower()}.local"}
        hosts = frozenset(names.union(map(_name, allowed)))
    return uvicorn.Server(
        uvicorn.Config(
            create_app(reader, hosts, teaching),
            # Of heads without end httptools keeps all.
            http="h11",
            h11_max_incomplete_event_size=limits.MAXIMUM_HEAD,
            limit_concurrency=limits.MAXIMUM_CONNECTIONS,
            ws="none",
            lifespan="off",
            # Below errors it notes every malformed request.
            log_level="error",
            access_log=False,
            server_header=False,
            headers=list(HEADERS.items()),
            timeout_keep_alive=20,
            timeout_graceful_shutdown=3,
        )
    )


def _address(host: str) -> IPv4Address | IPv6Address | None:
    with suppress(ValueError):
        return ip_address(host)
    return None
