"""A real server on a free port of this machine, for as long as a test needs it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

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


TEACHES = """#!{python}
import json, pathlib, shutil, sys, time
run = pathlib.Path(sys.argv[sys.argv.index("--output") + 1])
print("taught network 1 of 3", flush=True)
while not pathlib.Path({go!r}).exists():
    time.sleep(0.05)
run.mkdir(parents=True)
shutil.copy({model!r}, run)
(run / "result.json").write_text(json.dumps({{"teaching": {{"verdict": {verdict!r}}}}}))
print("harm", "", "Written to somewhere", sep=chr(10))
"""


def stand_in(program: Path, taught: Path, go: Path, verdict: str) -> Path:
    """Write a program to run in the place of Python, which teaches as quickly as a test wants.

    It tells what `teach` tells: the first network, and, once the file `go` is there, the verdict
    on the run `taught`.
    """
    facts = {"python": sys.executable, "go": str(go), "verdict": verdict}
    program.write_text(TEACHES.format(**facts, model=str(taught / "model.onnx")))
    program.chmod(0o700)
    return program
