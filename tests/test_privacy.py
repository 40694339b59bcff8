"""Nothing leaves the computer: no identifier in the home, no look-up, no connection."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from command_line import COMMAND
from pages import page
from PIL import Image

STRACE = ["strace", "-f", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o"]
# Where strace is missing or not allowed, only the home is watched.
TRACED = bool(shutil.which("strace")) and (
    subprocess.run([*STRACE, os.devnull, "true"], capture_output=True).returncode == 0
)
# ONNX Runtime 1.32 looks its host up for the first time 9 s after it was imported.
PATIENCE = 12.0
# What it takes for a sign of a test machine, where it sends nothing.
MACHINES = {"CI", "TF_BUILD", "GITHUB_ACTIONS"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of a user who has even asked for telemetry."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in (*MACHINES, "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    bar = np.full((24, 4), 255, np.uint8)
    Image.fromarray(page([(bar, 190, 80, 120)])).save(folder / "one.png")
    return folder


# In a process of Ray, whose start asks whether it is in a cloud: the docs tell of it.
ON_RAY = """
from mnist_digits.cluster import connection
from mnist_digits.cli.main import main
connected = connection.connected
connection.connected = lambda *_: connected()
main(["read", "pictures", "--out", "by-ray", "--address", "here"])
"""


def finish(command: list[str], folder: Path, says: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert says in done.stdout, done.stderr
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.slow
def test_nothing_leaves_the_computer(home: Path, pictures: Path, tmp_path: Path) -> None:
    """Nor does it from the page, which is open for as long as telemetry would wait."""
    logs = [tmp_path / f"{use}.log" for use in ("app", "predict", "read")]
    traces = [[*STRACE, str(log)] if TRACED else [] for log in logs]
    process = subprocess.Popen(
        [*traces[0], *COMMAND, "app", "--port", "0", "--no-browser"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        start_new_session=True,  # so that Ctrl-C can be sent to it and strace alone
    )
    assert process.stdout is not None
    address, began = process.stdout.readline().split()[2], time.monotonic()
    content = (pictures / "one.png").read_bytes()
    assert httpx.post(f"{address}api/read", content=content, timeout=60).json()["text"] == "1"
    finish([*traces[1], *COMMAND, "predict", "pictures/one.png"], tmp_path, "1  (")
    read = [*COMMAND, "read", "pictures", "--out", "out"]  # in processes of their own
    finish([*traces[2], *read], tmp_path, "1 pictures, 0 of them")
    finish([sys.executable, "-c", ON_RAY], tmp_path, "1 pictures, 0 of them")
    if TRACED:
        time.sleep(max(0.0, began + PATIENCE - time.monotonic()))
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    left = {str(path.relative_to(home)) for path in home.rglob("*")}
    assert left <= {".ray", ".ray/auth_token"}  # what keeps others out of this machine's Ray
    assert [line for log in logs if TRACED for line in outside(log.read_text())] == []


def outside(log: str) -> list[str]:
    """The lines of a log that name an address of another machine."""
    lines = [line for line in log.splitlines() if "sa_family=AF_INET" in line]
    return [line for line in lines if not re.search(r'"(127\.|::1"|::ffff:127\.)', line)]
