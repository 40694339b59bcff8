"""The page learns its user's hand: `mnist-digits app --teach FOLDER`.

GET    /api/teach                       what is kept, what goes on, which network reads
POST   /api/teach/examples?label=12/34  a picture, as /api/read takes it -> kept with its label
DELETE /api/teach/examples/FILE         take one back
POST   /api/teach                       start `mnist-digits teach FOLDER`, a process of its own
PUT    /api/teach/network?name=RUN      read with this one of FOLDER/runs; "" is the app's own
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ..errors import CheckpointError, MnistDigitsError
from ..files import write_whole
from ..reading.reader import MODEL, SHIPPED, Reader
from .examples import Examples
from .limits import Upload, WorkerPool

# Up to twice as many digits as any picture is read with.
LABEL = re.compile(r"(?=.{1,2000}\Z)[0-9]+(/[0-9]+)*")
PART = re.compile(r"taught network (\d+) of (\d+)")
# All of an absolute path but its last name; names with spaces are known to be others.
FOLDERS = re.compile(r"(?<![\w.:/])(/|[A-Za-z]:\\)([^\s/\\]+[/\\])*(?=[^\s/\\])")


class Teaching:
    """The examples, the process that teaches, and the network that reads.

    Attributes:
        reader: reads now; another one once a network is taught or chosen.
        network: its name in FOLDER/runs, or "" for the app's own.
    """

    def __init__(
        self, folder: Path, reader: Reader, model: Path | None = None, flags: Sequence[str] = ()
    ) -> None:
        """Take the folder into use, with the network that it was used with last.

        Args:
            reader: the app's own network, and `model` where it was loaded from.
            flags: more of those of `mnist-digits teach`.
        """
        self.examples, self.network = Examples(folder), ""
        self.runs = self.examples.folder / "runs"
        self._note = self.examples.folder / "network.txt"
        self._own, self.reader = reader, reader
        run = model.parent if model and model.name == MODEL else model
        self._base, self._flags = (run or SHIPPED).absolute(), flags
        self._lock, self._progress, self._error, self._report = threading.RLock(), [0, 0], "", ""
        self._process: Popen[str] | None = None
        try:
            if self._note.exists():
                self.use(self._note.read_text())
        except (MnistDigitsError, OSError, ValueError) as error:
            self._error = f"the network of last time cannot be used: {error}"

    def state(self) -> dict[str, Any]:
        """What `GET /api/teach` answers."""
        labels = self.examples.labels()
        last = next((file for file in reversed(labels) if file.startswith("drawn-")), None)
        return {
            "folder": self.examples.folder.name,
            "examples": len(labels),
            "last": last and {"file": last, "label": labels[last]},
            "progress": self._progress if self._process else None,
            "error": self.told(self._error),
            "report": self.told(self._report),
            "network": self.network,
            "networks": self.networks(),
        }

    def told(self, message: str) -> str:
        """A message without the folders of this machine, which are nobody's business."""
        for folder in (self.examples.folder, self._base):
            message = message.replace(str(folder), folder.name)
        return FOLDERS.sub("", message)

    def networks(self) -> list[str]:
        """The runs that can be read with: each has its model, which is written whole."""
        return sorted(model.parent.name for model in self.runs.glob(f"*/{MODEL}"))

    def use(self, name: str) -> None:
        """Read with another network from now on; CheckpointError if it is none or damaged."""
        if name and name not in self.networks():
            raise CheckpointError(f"there is no network {name[:100]}")
        reader = Reader.load(self.runs / name, threads=1) if name else self._own
        with self._lock:
            write_whole(self._note, name.encode())
            self.reader, self.network = reader, name
            self._error = self._report = ""

    def start(self) -> dict[str, Any]:
        """Teach the app's network with all examples, in a process; the state is returned."""
        with self._lock:
            if self._process:
                raise HTTPException(409, "a network is being taught already")
            if len(self.examples.labels()) < 2:
                raise HTTPException(422, "at least 2 examples are needed to learn from")
            self.examples.refuse_more()
            run = self.runs / f"{datetime.now():%Y-%m-%d_%H-%M-%S}-taught"
            command = [sys.executable, "-m", "mnist_digits", "teach", str(self.examples.folder)]
            command += ["--base", str(self._base), "--output", str(run), "--no-figures"]
            command += self._flags
            process = Popen(command, stdout=PIPE, stderr=STDOUT, errors="replace")
            self._process, self._progress, self._error, self._report = process, [0, 0], "", ""
            threading.Thread(target=self._follow, args=(process, run), daemon=True).start()
        return self.state()

    def _follow(self, process: Popen[str], run: Path) -> None:
        """Note the progress until the process ends; use the network, unless it reads worse."""
        said = [""]
        try:
            with process:
                for line in process.stdout or ():
                    if part := PART.search(line):
                        self._progress = [int(part[1]), int(part[2])]
                    else:
                        said.append(line.rstrip())
            if process.returncode:
                reason = said[-1].partition("error: ")[2] or f"status {process.returncode}"
                raise CheckpointError(f"teaching has failed: {reason}")
            verdict = json.loads((run / "result.json").read_bytes())["teaching"]["verdict"]
            if used := verdict != "worse":
                self.use(run.name)
            said[0] = f"The taught network is {'in use' if used else 'not used'}."
            self._report = "\n".join(said).partition("\nWritten to ")[0].strip()
        except (MnistDigitsError, OSError, ValueError, KeyError) as error:
            self._error = f"{error}; the network is the same as before"
        finally:
            self._process = None

    def close(self) -> None:
        """End the process that teaches."""
        if process := self._process:
            process.terminate()
            process.wait()


def routes(teaching: Teaching, workers: WorkerPool) -> APIRouter:
    """Those under /api/teach; what the page of another site wants to change is refused."""

    async def guarded(request: Request) -> AsyncIterator[None]:
        # Browsers say which site asks, older ones the origin alone, programs nothing.
        host = request.headers.get("host", "").lower()
        own = request.headers.get("origin", "").lower() in ("", f"http://{host}", f"https://{host}")
        own &= request.headers.get("sec-fetch-site", "none") in ("same-origin", "none")
        if request.method != "GET" and not own:
            raise HTTPException(403, "only this server's own page may change what is kept")
        try:
            yield
        except CheckpointError as error:
            raise HTTPException(422, teaching.told(str(error))) from error
        except OSError as error:
            raise HTTPException(507, f"nothing can be kept: {error.strerror or error}") from error

    router = APIRouter(prefix="/api/teach", dependencies=[Depends(guarded)])

    router.get("")(teaching.state)
    router.post("", status_code=202)(teaching.start)

    @router.post("/examples")
    async def keep(request: Request) -> Response:
        upload = Upload(request, "label")
        content, label = await upload.picture(), upload.parameters.get("label", "")
        if not LABEL.fullmatch(label):
            raise HTTPException(422, "what it says must be digits, with / between rows")
        return await workers.answer(_keep, teaching, content, label)

    @router.delete("/examples/{name}")
    def take_back(name: str) -> dict[str, Any]:
        teaching.examples.take_back(name)
        return teaching.state()

    @router.put("/network")
    def use(name: str = "") -> dict[str, Any]:
        teaching.use(name)
        return teaching.state()

    return router


def _keep(teaching: Teaching, content: bytes, label: str) -> bytes:
    return json.dumps({"file": teaching.examples.keep(content, label), **teaching.state()}).encode()
