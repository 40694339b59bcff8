"""The page learns its user's hand: `mnist-digits app --teach FOLDER`.

    GET    /api/teach                       what is kept, what goes on, which network reads
    POST   /api/teach/examples?label=12/34  a picture, as /api/read takes it -> kept with its label
    POST   /api/teach                       start `mnist-digits teach FOLDER` in a process
    DELETE /api/teach/network               go back to the network before

Without a folder all of them answer 404, and changes from the page of another site 403. The server
never imports torch: networks are taught in a process that ends with it, into FOLDER/runs, and
FOLDER/network.json names those that are in use.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from fastapi import APIRouter, FastAPI, Request
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from ..errors import CheckpointError, MnistDigitsError
from ..files import write_whole
from ..reading.reader import MODEL, SHIPPED, Reader
from .examples import LABEL, MAXIMUM_LABEL, Examples, FullError, refuse_more
from .limits import Upload, WorkerPool

WEIGHTS, RESULT = "model.safetensors", "result.json"
NETWORK = "network.json"
# A run that was started here; what else lies in FOLDER/runs is left alone.
RUN = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-taught(-\d+)?")
# All of an absolute path but its last name; names with spaces are known to be others.
FOLDERS = re.compile(r"(?<![\w.:/])(/|[A-Za-z]:\\)([^\s/\\]+[/\\])*(?=[^\s/\\])")
PART = re.compile(r"taught network (\d+) of (\d+)")
LEAST = 2
# Of what a result says of the teaching, the parts that do not grow with the pictures.
REPORTED = ("verdict", "pictures", "test_errors_before")
ACCURACY = ("right", "accuracy", "interval")


class Teaching:
    """The examples, the process that teaches, and the network that reads.

    Attributes:
        examples: what is kept.
        reader: reads now; another one once a network is taught.
    """

    def __init__(self, folder: Path, reader: Reader, model: Path | None = None) -> None:
        """Take the folder into use, with the network that was taught last.

        Args:
            reader: the network of the app; all others are taught from it.
            model: where it was loaded from.

        Raises:
            ServerError: the folder cannot be written, is in use, or is labelled in another way.
            PictureError: its labels.csv cannot be read.
        """
        self.examples = Examples(folder)
        self.runs = self.examples.folder / "runs"
        self.base, self.reader = reader, reader
        self._base_run = base_run(model)
        self._lock = threading.RLock()
        self._process: subprocess.Popen[str] | None = None
        self._closed = False
        self._progress: list[int] = [0, 0]
        self._error: str | None = None
        self._notice: str | None = None
        self._report: dict[str, Any] | None = None
        # The last one reads; each was put in place of the one before.
        self._networks: list[str] = []
        self._tidy()
        self._resume()

    def state(self) -> dict[str, Any]:
        """What `GET /api/teach` answers."""
        with self._lock:
            going, failed = self._process is not None, self._error is not None
            return {
                "enabled": True,
                "folder": self.examples.folder.name,
                "examples": len(self.examples),
                "state": "teaching" if going else "failed" if failed else "idle",
                "progress": list(self._progress) if going else None,
                "error": self._told(self._error),
                "notice": self._told(self._notice),
                "network": self._networks[-1] if self._networks else None,
                "before": len(self._networks),
                "report": self._report,
            }

    def _told(self, message: str | None) -> str | None:
        """A message without the folders of this machine, which are nobody's business."""
        if message is None:
            return None
        for folder in (self.examples.folder, self._base_run):
            message = message.replace(str(folder), folder.name)
        return FOLDERS.sub("", message)

    def start(self) -> None:
        """Teach the app's network with all examples, in a process.

        Raises:
            HTTPException: 409 if that goes on already, 422 if there are too few.
            FullError: the networks that were taught are as large as may be.
            OSError: there is no room for it.
        """
        with self._lock:
            if self._process or self._closed:
                raise HTTPException(409, "a network is being taught already")
            if len(self.examples) < LEAST:
                raise HTTPException(422, f"at least {LEAST} examples are needed to learn from")
            refuse_more(self.runs.rglob("*"))
            run = self._new_run()
            process = self._launch(run)
            self._process, self._progress = process, [0, 0]
            self._error = self._notice = None
            follow = threading.Thread(target=self._follow, args=(process, run), daemon=True)
            follow.start()

    def back(self) -> None:
        """Read with the network before.

        Raises:
            HTTPException: 409 if there is none.
            OSError: that cannot be noted, as the disk is full.
        """
        with self._lock:
            if not self._networks:
                raise HTTPException(409, "there is no network to go back to")
            *networks, _ = self._networks
            reader, report = self.base, None
            if networks:
                try:
                    reader, report = self._loaded(networks[-1])
                except (MnistDigitsError, OSError) as error:
                    networks = []
                    self._notice = f"the network before cannot be used: {error}"
            self._use(networks, reader, report)

    def close(self) -> None:
        """End the process that teaches, and leave the folder to others."""
        with self._lock:
            self._closed = True
            process = self._process
        if process:
            _end(process)
            process.wait()
        self.examples.close()

    def _tidy(self) -> None:
        """Remove the runs that killed servers and processes have left."""
        if self.runs.is_dir():
            for run in self.runs.iterdir():
                if RUN.fullmatch(run.name) and not (run / RESULT).is_file():
                    shutil.rmtree(run, ignore_errors=True)

    def _resume(self) -> None:
        """Read with the network that was in use when the server stopped."""
        try:
            networks = json.loads((self.examples.folder / NETWORK).read_bytes())["runs"]
            if not all(RUN.fullmatch(name) for name in networks):
                raise ValueError("it names something else than runs")
            if networks:
                self.reader, self._report = self._loaded(networks[-1])
            self._networks = networks
        except FileNotFoundError as error:
            if Path(str(error.filename)).name != NETWORK:
                self._fall_back(error)
        except (MnistDigitsError, OSError, ValueError, KeyError, TypeError) as error:
            self._fall_back(error)

    def _fall_back(self, error: Exception) -> None:
        self._notice = f"the network that was taught last cannot be used: {error}"

    def _loaded(self, name: str) -> tuple[Reader, dict[str, Any]]:
        return Reader.load(self.runs / name, threads=1), report_of(self.runs / name)

    def _use(self, networks: list[str], reader: Reader, report: dict[str, Any] | None) -> None:
        """Read with another network from now on; the next start is told first."""
        content = json.dumps({"runs": networks}, indent=2) + "\n"
        write_whole(self.examples.folder / NETWORK, content.encode())
        self._networks, self.reader, self._report = networks, reader, report

    def _new_run(self) -> Path:
        name, number = f"{datetime.now():%Y-%m-%d_%H-%M-%S}-taught", 1
        run = self.runs / name
        while run.exists():
            number += 1
            run = self.runs / f"{name}-{number}"
        return run

    def _launch(self, run: Path) -> subprocess.Popen[str]:
        """The process; it ends when its standard input does, as when this one is killed."""
        self.runs.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "mnist_digits.command.tethered", "teach"]
        command += [str(self.examples.folder), "--base", str(self._base_run)]
        command += ["--output", str(run), "--no-figures", "--json"]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            # The same is in the run.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )

    def _follow(self, process: subprocess.Popen[str], run: Path) -> None:
        """Note the progress until the process ends, then what came of it."""
        last: deque[str] = deque([""], maxlen=1)
        assert process.stderr
        listener = threading.Thread(target=self._listen, args=(process.stderr, last), daemon=True)
        listener.start()
        status = process.wait()
        # What it has started and left behind would keep its stderr open.
        _end(process)
        listener.join()
        for stream in (process.stdin, process.stderr):
            if stream:
                stream.close()
        with self._lock:
            try:
                self._conclude(run, status, last[0])
            except (MnistDigitsError, OSError) as error:
                self._error = str(error)
            finally:
                self._process = None
            if not (run / RESULT).is_file():
                shutil.rmtree(run, ignore_errors=True)

    def _listen(self, lines: IO[str], last: deque[str]) -> None:
        for line in lines:
            if part := PART.search(line):
                self._progress = [int(part[1]), int(part[2])]
            if line.strip():
                last.append(line.strip()[:1000])

    def _conclude(self, run: Path, status: int, last: str) -> None:
        """Use the network that was taught, unless it reads worse."""
        if self._closed:
            return
        if status:
            reason = last.partition("error: ")[2] or f"status {status}, after: {last}"
            raise CheckpointError(f"teaching has failed: {reason}")
        report = report_of(run)
        if report["used"]:
            self._use([*self._networks, run.name], Reader.load(run, threads=1), report)
        else:
            self._report = report


def base_run(model: Path | None) -> Path:
    """The run of the app's network, if its weights are there; else the shipped one."""
    if model is not None:
        folder = model.parent if model.name == MODEL else model
        if (folder / WEIGHTS).is_file():
            return folder.absolute()
    return SHIPPED


def report_of(run: Path) -> dict[str, Any]:
    """What a taught run's result tells of how it reads, before and after.

    Raises:
        OSError: there is none.
        CheckpointError: it is something else.
    """
    content = (run / RESULT).read_bytes()
    try:
        result = json.loads(content)
        teaching = result["teaching"]
        report: dict[str, Any] = {"run": run.name, "used": teaching["verdict"] != "worse"}
        report |= {name: teaching[name] for name in REPORTED}
        report |= {"left_out": len(teaching["left_out"])}
        report |= {name: result[name] for name in ("test_errors", "test_images")}
        for side in ("before", "after"):
            counted = teaching.get(side)
            report[side] = counted and {name: counted[name] for name in ACCURACY}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{run / RESULT} is not that of a taught network") from error
    return report


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and all that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def add_routes(app: FastAPI, teaching: Teaching | None, workers: WorkerPool) -> None:
    """The routes under /api/teach."""
    if teaching is None:
        methods = ["GET", "HEAD", "POST", "DELETE"]
        app.add_api_route("/api/teach{rest:path}", _nothing_is_kept, methods=methods)
        return
    router = APIRouter(prefix="/api/teach")

    @router.api_route("", methods=["GET", "HEAD"])
    def state() -> Response:
        with _storing():
            return JSONResponse(teaching.state())

    @router.post("/examples")
    async def keep(request: Request) -> Response:
        _refuse_elsewhere(request.headers)
        async with Upload(request, workers, "label") as upload:
            content, label = await upload.picture(), upload.parameters.get("label", "")
            if len(label) > MAXIMUM_LABEL or not LABEL.fullmatch(label):
                raise HTTPException(422, "label: digits, with / between rows")
            answer = await workers.answer(_keep, teaching.examples, content, label)
        answer.status_code = 201
        return answer

    @router.post("")
    def start(request: Request) -> Response:
        _refuse_elsewhere(request.headers)
        with _storing():
            teaching.start()
            return JSONResponse(teaching.state(), 202)

    @router.delete("/network")
    def back(request: Request) -> Response:
        _refuse_elsewhere(request.headers)
        with _storing():
            teaching.back()
            return JSONResponse(teaching.state())

    app.include_router(router)


async def _nothing_is_kept(rest: str) -> Response:  # noqa: ARG001
    raise HTTPException(404, "nothing is kept here: start the server with --teach FOLDER")


def _keep(examples: Examples, content: bytes, label: str) -> bytes:
    with _storing():
        name = examples.add(content, label)
        return json.dumps({"file": name, "label": label, "examples": len(examples)}).encode()


@contextmanager
def _storing() -> Iterator[None]:
    """Tell of a folder that takes no more."""
    try:
        yield
    except FullError as error:
        raise HTTPException(507, str(error)) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise HTTPException(507, f"this cannot be kept: {reason}") from error


def _refuse_elsewhere(headers: Headers) -> None:
    """Refuse what the page of another site asks for: browsers say which one asks.

    Programs say nothing of the kind, and older browsers only the origin. One that is called the
    same but has another port is another one, too.
    """
    site, origin = headers.get("sec-fetch-site", "none"), headers.get("origin")
    same = origin is None or origin.partition("://")[2].lower() == headers.get("host", "").lower()
    if site not in ("same-origin", "none") or not same:
        raise HTTPException(403, "only this server's own page may change what is kept")
