"""The page learns its user's hand: `mnist-digits app --teach FOLDER`; see docs/page.md."""

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
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ..errors import CheckpointError, MnistDigitsError
from ..files import write_whole
from ..reading.reader import MODEL, SHIPPED, Reader
from .limits import Parameters, WorkerPool, upload
from .page_examples import Examples

PART = re.compile(r"taught network (\d+) of (\d+)")
# All of an absolute path but its last name; names with spaces are known to be others.
FOLDERS = re.compile(r"(?<![\w.:/])(/|[A-Za-z]:\\)([^\s/\\]+[/\\])*(?=[^\s/\\])")


class Teaching:
    """The examples, the process that teaches, and the network that reads.

    At first that is the one that the folder was used with last, else the app's own.

    Args:
        reader, model: the app's own network, and where it was loaded from.
        flags: more of those of `mnist-digits teach`.

    Attributes:
        reader, network: what reads now, and its name in FOLDER/runs, "" for the app's own.
    """

    def __init__(
        self, folder: Path, reader: Reader, model: Path | None = None, flags: Sequence[str] = ()
    ) -> None:
        self.examples, self.reader, self.network = Examples(folder), reader, ""
        self.runs, self._note = self.examples.folder / "runs", self.examples.folder / "network.txt"
        run = model.parent if model and model.name == MODEL else model
        self._own, self._base, self._flags = reader, (run or SHIPPED).absolute(), flags
        self._lock = threading.Lock()
        self._process: Popen[str] | None = None
        self._progress: list[int] | None = None
        self._say()
        try:
            if self._note.exists():
                self.use(self._note.read_text())
        except (MnistDigitsError, OSError, ValueError) as error:
            self._say(error=f"the network of last time cannot be used: {error}")

    def state(self) -> dict[str, Any]:
        """What is kept, what goes on, and which network reads."""
        labels = self.examples.labels()
        last = next((file for file in reversed(labels) if file.startswith("drawn-")), None)
        return {
            "folder": self.examples.folder.name,
            "examples": len(labels),
            "last": last and {"file": last, "label": labels[last]},
            "progress": self._progress,
            "network": self.network,
            "networks": self.networks(),
            **self._said,
        }

    def _say(self, error: str = "", report: str = "") -> None:
        self._said = {"error": self.without_folders(error), "report": self.without_folders(report)}

    def without_folders(self, message: str) -> str:
        """A message without the folders of this machine, which are nobody's business."""
        for folder in (self.examples.folder, self._base):
            message = message.replace(str(folder), folder.name)
        return FOLDERS.sub("", message)

    def networks(self) -> list[str]:
        """The runs that can be read with: each has its model, which is written whole."""
        return sorted(model.parent.name for model in self.runs.glob(f"*/{MODEL}"))

    def use(self, name: str = "") -> None:
        """Read with another network from now on; CheckpointError if it is missing or damaged."""
        if name and name not in self.networks():
            raise CheckpointError(f"there is no network {name[:100]}")
        reader = Reader.load(self.runs / name, threads=1) if name else self._own
        with self._lock:
            write_whole(self._note, name.encode())
            self.reader, self.network = reader, name
            self._say()

    def start(self) -> None:
        """Teach the app's network with all examples, in a process."""
        with self._lock:
            if self._progress:
                raise HTTPException(409, "a network is being taught already")
            if len(self.examples.labels()) < 2:
                raise HTTPException(422, "at least 2 examples are needed to learn from")
            self.examples.refuse_more()
            run = self.runs / f"{datetime.now():%Y-%m-%d_%H-%M-%S}-taught"
            command = [sys.executable, "-m", "mnist_digits", "teach", str(self.examples.folder)]
            command += ["--base", str(self._base), "--output", str(run), "--no-figures"]
            command += self._flags
            process = Popen(command, stdout=PIPE, stderr=STDOUT, errors="replace")
            self._process, self._progress = process, [0, 0]
            self._say()
            threading.Thread(target=self._follow, args=(process, run), daemon=True).start()

    def _follow(self, process: Popen[str], run: Path) -> None:
        """Note the progress until the process ends; use the network, unless it reads worse."""
        lines = [""]
        try:
            with process:
                for line in process.stdout or ():
                    if part := PART.search(line):
                        self._progress = [int(part[1]), int(part[2])]
                    else:
                        lines.append(line)
            if process.returncode:
                reason = lines[-1].partition("error: ")[2].strip()
                raise CheckpointError(reason or f"status {process.returncode}")
            used = json.loads((run / "result.json").read_bytes())["teaching"]["verdict"] != "worse"
            if used:
                self.use(run.name)
            report = "".join(lines).partition("\nWritten to ")[0].strip()
            self._say(report=f"The taught network is {'in use' if used else 'not used'}.\n{report}")
        except (MnistDigitsError, OSError, ValueError, KeyError) as error:
            self._say(f"teaching has failed: {error}; the network is the same as before")
        finally:
            self._progress = None

    def close(self) -> None:
        """End the process that teaches."""
        if self._process:
            self._process.terminate()
            self._process.wait()


class Label(Parameters):
    """What a picture says."""

    label: str = Field(max_length=2000, pattern="^[0-9]+(/[0-9]+)*$")


def routes(teaching: Teaching, workers: WorkerPool) -> APIRouter:
    """Those under /api/teach; what the page of another site wants to change is refused."""

    async def guarded(request: Request) -> AsyncIterator[None]:
        # Browsers say whose page asks; programs need not.
        own = [f"{scheme}://{request.headers.get('host')}" for scheme in ("http", "https")]
        if request.method != "GET" and request.headers.get("origin", own[0]) not in own:
            raise HTTPException(403, "only this server's own page may change what is kept")
        try:
            yield
        except MnistDigitsError as error:
            raise HTTPException(422, teaching.without_folders(str(error))) from error
        except OSError as error:
            raise HTTPException(507, f"nothing can be kept: {error.strerror or error}") from error

    async def keep(request: Request) -> Response:
        content, said = await upload(request, Label)
        return await workers.answer(lambda: {"file": teaching.examples.keep(content, said.label)})

    router = APIRouter(prefix="/api/teach", dependencies=[Depends(guarded)])
    router.get("")(teaching.state)
    router.post("", status_code=202)(teaching.start)
    router.post("/examples")(keep)
    router.delete("/examples/{name}")(teaching.examples.take_back)
    router.put("/network")(teaching.use)
    return router
