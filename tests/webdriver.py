"""Firefox and WebKitGTK, where they are installed: they open a page, and run scripts in it.

Firefox is asked by Marionette, its own protocol, WebKit by WebDriver: neither needs a package
here. WebKit draws on a display: on Xvfb's, if there is no other.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
WEBKIT = shutil.which("WebKitWebDriver")
XVFB = shutil.which("xvfb-run")
# Seconds for a start and for a script: the machine may be busy.
PATIENCE = 180
# Runs an asynchronous JavaScript function, given as its source, with an argument.
Run: TypeAlias = Callable[[str, Any], Any]


def installed() -> list[str]:
    """The browsers that are there."""
    display = os.environ.get("DISPLAY") or XVFB
    return ["firefox"] * bool(FIREFOX) + ["webkit"] * bool(WEBKIT and display)


@contextmanager
def driven(browser: str, address: str) -> Iterator[Run]:
    """A page of this browser at this address."""
    start = {"firefox": _firefox, "webkit": _webkit}[browser]
    with tempfile.TemporaryDirectory() as folder, start(folder) as ask:
        ask("timeouts", {"script": 1000 * PATIENCE})
        ask("url", {"url": address})

        def run(function: str, argument: Any) -> Any:
            script = f"""const [argument, done] = arguments;
            ({function})(argument).then(
                (value) => done([true, value]), (error) => done([false, String(error)]));"""
            succeeded, value = ask("execute/async", {"script": script, "args": [argument]})
            assert succeeded, value
            return value

        yield run


@contextmanager
def _firefox(profile: str) -> Iterator[Callable[..., Any]]:
    names = {"timeouts": "SetTimeouts", "url": "Navigate", "execute/async": "ExecuteAsyncScript"}
    # Of a free port, which Firefox writes into the profile.
    Path(profile, "user.js").write_text('user_pref("marionette.port", 0);')
    assert FIREFOX
    command = [FIREFOX, "--headless", "--marionette", "--no-remote", "--profile", profile]
    with _running(command) as process:
        port = int(_once(Path(profile, "MarionetteActivePort").read_text, process))
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
            answers = connection.makefile("rb")

            def received() -> Any:
                length = b"".join(iter(lambda: answers.read(1), b":"))
                return json.loads(answers.read(int(length)))

            def ask(command: str, values: dict[str, Any]) -> Any:
                message = json.dumps([0, 0, f"WebDriver:{names.get(command, command)}", values])
                connection.sendall(f"{len(message.encode())}:{message}".encode())
                _, _, error, result = received()
                assert error is None, error
                return (result or {}).get("value")

            received()  # it says who it is
            ask("NewSession", {})
            yield ask


@contextmanager
def _webkit(home: str) -> Iterator[Callable[..., Any]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    display = [] if os.environ.get("DISPLAY") else [str(XVFB), "--auto-servernum"]
    with _running([*display, str(WEBKIT), f"--port={port}"], {"HOME": home}) as process:

        def post(path: str, values: dict[str, Any]) -> Any:
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/session{path}", json.dumps(values).encode()
            )
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return json.load(response)["value"]

        wanted: dict[str, Any] = {"capabilities": {"alwaysMatch": {}}}
        session = _once(lambda: post("", wanted), process)["sessionId"]
        yield lambda command, values: post(f"/{session}/{command}", values)
        stop = urllib.request.Request(f"http://127.0.0.1:{port}/session/{session}", method="DELETE")
        urllib.request.urlopen(stop, timeout=PATIENCE).close()


@contextmanager
def _running(
    command: list[str], more: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **(more or {})}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, env=environment) as process:
        try:
            yield process
        finally:
            process.terminate()


def _once(attempt: Callable[[], Any], process: subprocess.Popen[bytes]) -> Any:
    """What it gives once it does not fail any more."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return attempt()
        except (OSError, ValueError):
            assert process.poll() is None, "the browser has ended"
            assert time.monotonic() < end, "the browser does not start"
            time.sleep(0.2)
