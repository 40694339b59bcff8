"""How fast the page and the HTTP interface answer, and under what abuse; writes SERVING.md.

    PYTHONPATH=tests python benchmarks/serving.py          # about half an hour
    PYTHONPATH=tests python benchmarks/serving.py --quick  # does it work? a minute, writes nothing

Server and client are on this machine and share its cores, so the client of the load test should
cost little: it is wrk (`apt-get install wrk`) where that is installed, else the one below, in
Python, which takes half of two cores. Everything is bounded in number and in time, and every
connection goes to 127.0.0.1.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from itertools import chain, cycle, islice
from pathlib import Path

import cv2
import numpy as np
import psutil
from chromium import CHROMIUM, launched
from PIL import Image
from tables import machine

from mnist_digits.web.limits import MAXIMUM_BODY
from mnist_digits.web.server import STATIC

HERE = Path(__file__).parent
WRK = shutil.which("wrk")
CLIENT = "wrk" if WRK else "a client in Python"


@dataclass
class Amount:
    """How much of everything."""

    starts: int = 5
    alone: int = 500
    seconds: float = 60
    connections: int = 32
    requests: int = 100_000
    patience: float = 1200
    strokes: int = 100
    mutated: int = 10_000
    crowd: int = 500


QUICK = Amount(1, 30, 3, 32, 200, 20, 10, 200, 500)


@dataclass
class Outcome:
    """The seconds that each request took, and how often each status came.

    Status 0 is a connection that was closed without an answer.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def quantile(self, share: float) -> float:
        """Milliseconds that this share of the requests took at most."""
        return 1000 * float(np.quantile(self.seconds, share))

    @property
    def errors(self) -> int:
        return sum(self.statuses.values()) - self.statuses[200]


@contextmanager
def serving() -> Iterator[tuple[int, psutil.Process]]:
    """The command `mnist-digits app`, in a process of its own: its port, and the process."""
    command = [sys.executable, "-m", "mnist_digits", "app", "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = int(process.stdout.readline().split("/")[2].rpartition(":")[2])
        try:
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()


def drawings() -> list[bytes]:
    """Ten digits in 280 × 280 pixels, dark on light, as PNG."""
    result = []
    for sample in json.loads((STATIC / "samples.json").read_text())[:10]:
        frame = np.frombuffer(base64.b64decode(sample["pixels"]), np.uint8).reshape(28, 28)
        large = cv2.resize(frame, (280, 280), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        content = io.BytesIO()
        ink = np.clip((large - 100) * 5, 0, 255).astype(np.uint8)
        Image.fromarray(255 - ink).save(content, "PNG")
        result.append(content.getvalue())
    return result


def request(body: bytes, path: str = "/api/read", kind: str = "image/png") -> bytes:
    """A POST request: head and body."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def ask(port: int, requests: Iterator[bytes], until: float, outcome: Outcome) -> None:
    """One client: a request after each answer, until there are no more or the time is over."""
    reader = writer = None
    for content in requests:
        start = time.perf_counter()
        if start > until:
            break
        try:
            if writer is None or reader is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(content)
            status = await asyncio.wait_for(answer(reader), 60)
            outcome.seconds.append(time.perf_counter() - start)
        except (OSError, EOFError, asyncio.TimeoutError, TimeoutError):
            status, writer = 0, None
        outcome.statuses[status] += 1
    if writer is not None:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> int:
    """Receive one answer; returns its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))
    return int(head.split(b" ", 2)[1])


def load(port: int, bodies: list[bytes], clients: int, count: int, seconds: float) -> Outcome:
    """Send the bodies in turn, `count` requests in all, for so many seconds at most."""
    requests = [request(body) for body in bodies]
    return ask_all(port, islice(cycle(requests), count), clients, seconds)


def ask_all(port: int, requests: Iterator[bytes], clients: int, seconds: float) -> Outcome:
    """Send requests over so many connections at once, for so many seconds at most."""
    outcome, until = Outcome(), time.perf_counter() + seconds

    async def all_of_them() -> None:
        await asyncio.gather(*(ask(port, requests, until, outcome) for _ in range(clients)))

    asyncio.run(all_of_them())
    return outcome


@dataclass
class Load:
    """What came of a load: answers a second, milliseconds, answers that were not 200, and all."""

    rate: float
    p99: float
    errors: int
    answers: int


def timed_load(port: int, bodies: list[bytes], clients: int, seconds: float) -> Load:
    """Send the bodies in turn over so many connections at once, for so long."""
    if WRK:
        return wrk(port, bodies, clients, seconds)
    outcome = load(port, bodies, clients, 10**9, seconds)
    answers = sum(outcome.statuses.values())
    rate = len(outcome.seconds) / seconds
    return Load(rate, outcome.quantile(0.99), outcome.errors, answers)


def wrk(port: int, bodies: list[bytes], clients: int, seconds: float) -> Load:
    """The same load by wrk: its script sends the bodies, and prints what came of it."""
    strings = ",".join('"' + "".join(f"\\{byte:03}" for byte in body) + '"' for body in bodies)
    program = """
      local bodies, n = {BODIES}, 0
      wrk.headers["Content-Type"] = "image/png"
      function request()
        n = n + 1
        return wrk.format("POST", "/api/read", nil, bodies[n % #bodies + 1])
      end
      function done(summary, latency)
        local e = summary.errors
        local failed = e.connect + e.read + e.write + e.status + e.timeout
        print("\\n=", summary.requests, summary.duration, latency:percentile(99), failed)
      end"""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "load.lua"
        script.write_text(program.replace("BODIES", strings))
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--timeout", "60s"]
        command += ["-s", str(script), f"http://127.0.0.1:{port}/"]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    answers, microseconds, p99, failed = map(float, output.split("\n=")[1].split())
    return Load(1e6 * answers / microseconds, p99 / 1000, int(failed), int(answers))


def mebibytes(process: psutil.Process) -> float:
    """The memory of the server, with all processes that it has started."""
    everyone = [process, *process.children(recursive=True)]
    return sum(one.memory_info().rss for one in everyone) / 2**20


def seconds_to_start() -> float:
    """From the start of the command to the answer to its first picture."""
    start = time.perf_counter()
    with serving() as (port, _):
        outcome = load(port, drawings()[:1], 1, 1, 60)
        assert outcome.errors == 0
        return time.perf_counter() - start


def stroke_to_answer(port: int, strokes: int) -> list[float] | None:
    """Milliseconds from a move of the pen to the updated answer in the page; None: no browser."""
    if not CHROMIUM:
        return None
    program = """async (count) => {
      const ink = document.getElementById("ink"), box = ink.getBoundingClientRect();
      const busy = document.getElementById("answer"), boxes = document.getElementById("boxes");
      const move = (kind, n) => ink.dispatchEvent(new PointerEvent(kind, {
        pointerId: 1, button: 0, bubbles: true,
        clientX: box.left + box.width * (0.5 + 0.15 * Math.sin(n / 6)),
        clientY: box.top + box.height * (0.2 + 0.6 * n / count) }));
      ink.setPointerCapture = () => {};
      const frame = () => new Promise(requestAnimationFrame);
      const idle = async () => { while (busy.ariaBusy === "true") await frame(); };
      move("pointerdown", 0);
      const times = [];
      for (let n = 1; n <= count; n++) {
        await idle();
        const shown = new Promise((done) => {
          const observer = new MutationObserver((changes) => {
            // Where no digit was and none is found, the boxes do not change.
            const drawn = changes.some((one) => one.type === "childList");
            if (!drawn && busy.ariaBusy === "true") return;
            observer.disconnect();
            done();
          });
          observer.observe(boxes, { childList: true });
          observer.observe(busy, { attributeFilter: ["aria-busy"] });
        });
        const start = performance.now();
        move("pointermove", n);
        await shown;
        times.push(performance.now() - start);
      }
      return times;
    }"""
    with launched() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"http://127.0.0.1:{port}/")
        times: list[float] = page.evaluate(program, strokes)
    return times


# --- Abuse --------------------------------------------------------------------------------


def png(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG whose header claims so many RGB pixels, whatever it really holds."""
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    chunks = ((b"IHDR", size), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
        for kind, data in chunks
    )


def mutated(count: int) -> Iterator[bytes]:
    """Requests with drawings in four formats, a few bytes changed, cut off or inserted."""
    random = np.random.default_rng(0)
    whole = []
    for drawing in drawings():
        for name in ("PNG", "JPEG", "GIF", "TIFF"):
            file = io.BytesIO()
            Image.open(io.BytesIO(drawing)).save(file, name)
            whole.append(file.getvalue())
    for n in range(count):
        content = bytearray(whole[n % len(whole)])
        for index in random.integers(0, len(content), random.integers(1, 9)):
            content[index] = random.integers(256)
        if n % 5 == 0:
            del content[random.integers(len(content)) :]
        if n % 7 == 0:
            index = int(random.integers(len(content) + 1))
            content[index:index] = random.bytes(int(random.integers(1, 50)))
        yield request(bytes(content))


def send(port: int, *pieces: bytes, close: bool = False) -> int:
    """Send raw bytes, and with `close` end sending; returns the status of the answer, or 0."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        with suppress(OSError):
            for piece in pieces:
                connection.sendall(piece)
            if close:
                connection.shutdown(socket.SHUT_WR)
        with suppress(OSError, IndexError, ValueError):
            return int(connection.recv(65_536).split(b" ", 2)[1])
    return 0


def several(port: int, requests: Iterable[bytes], clients: int) -> Counter[int]:
    """Send all of these requests over so many connections at once; how often each status came."""
    return ask_all(port, iter(requests), clients, 600).statuses


def stalled(port: int, contents: list[bytes]) -> Counter[int]:
    """Connect once for each content, send it and wait; counts the statuses, 0 if cut off."""

    async def one(content: bytes) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(content)
        try:
            return int((await asyncio.wait_for(reader.read(1000), 60)).split(b" ", 2)[1])
        except (OSError, IndexError, asyncio.TimeoutError, TimeoutError):
            return 0
        finally:
            writer.close()

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*map(one, contents))

    return Counter(asyncio.run(all_of_them()))


def abuse(port: int, amount: Amount) -> dict[str, Callable[[], Counter[int]]]:
    """Each kind of abuse by name: a function that does it and counts the statuses."""
    head = b"POST /api/read HTTP/1.1\r\nHost: localhost\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
    chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    # The first is larger than it may be; the second just may, and is 50 kB of 150 MB.
    pictures = (png(100_000, 100_000, bytes(30_000_000)), png(7000, 7000, bytes(7000 * 21_001)))
    bombs = [request(picture) for picture in pictures] * 5
    half = request(drawings()[0])[:-100]
    paths = ("/../server.py", "/%2e%2e/server.py", "/static/../../cli.py", "/none")
    lines = [f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for path in paths]
    lines += [f"{m} /api/read HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for m in ("GET", "PUT")]
    large = [request(bytes(MAXIMUM_BODY + 1))] * 4
    crowd = [request(drawings()[n % 10]) for n in range(amount.crowd)]
    return {
        f"{amount.mutated:,} mutated images": lambda: several(port, mutated(amount.mutated), 8),
        "10 decompression bombs": lambda: several(port, bombs, 4),
        "bodies over the limit, told": lambda: several(port, large, 2),
        "bodies over the limit, not told": lambda: Counter(
            send(port, chunked, *[chunk] * 25, b"0\r\n\r\n") for _ in range(4)
        ),
        "bodies without end": lambda: Counter(send(port, chunked, *[chunk] * 99) for _ in range(2)),
        f"{amount.crowd} connections at once": lambda: several(port, crowd, amount.crowd),
        "200 slow senders": lambda: stalled(port, [half] * 100 + [b"GET / HT"] * 100),
        "50 half-closed connections": lambda: Counter(
            send(port, half, close=True) for _ in range(50)
        ),
        "wrong methods and paths": lambda: Counter(send(port, line) for line in lines),
    }


def endure(port: int, process: psutil.Process, amount: Amount) -> list[str]:
    """A table row for each kind of abuse; after each an ordinary request must be answered."""
    rows = []
    for name, action in abuse(port, amount).items():
        start = time.perf_counter()
        statuses = action()
        seconds = time.perf_counter() - start
        after = load(port, drawings()[:1], 1, 1, 60)
        assert after.errors == 0, f"no answer after: {name}"
        answers = ", ".join(f"{status or 'cut off'}: {n}" for status, n in sorted(statuses.items()))
        memory = f"{mebibytes(process):.0f} MiB"
        rows.append(f"| {name} | {answers} | {seconds:.0f} s | {memory} |")
        print(rows[-1], flush=True)
    return rows


# --- The report ---------------------------------------------------------------------------


def one_client(amount: Amount) -> Iterator[tuple[str, str]]:
    """How fast the server starts, and answers a single client."""
    starts = [seconds_to_start() for _ in range(amount.starts)]
    yield "start of the server to its first answer, median", f"{statistics.median(starts):.2f} s"
    bodies = drawings()
    with serving() as (port, _):
        load(port, bodies, 1, 20, 30)
        p50 = load(port, bodies, 1, amount.alone, 120).quantile(0.5)
        yield "`POST /api/read`, 280 × 280 pixels, one client: p50", f"{p50:.1f} ms"
        if times := stroke_to_answer(port, amount.strokes):
            median = f"{statistics.median(times):.1f} ms"
            yield "stroke to updated answer in the page, median", median


def many_clients(amount: Amount) -> Iterator[tuple[str, str]]:
    """Throughput, latency and memory with many clients at once."""
    bodies = drawings()
    with serving() as (port, process):
        load(port, bodies, amount.connections, 1000, 120)
        before = mebibytes(process)
        many = timed_load(port, bodies, amount.connections, amount.seconds)
        what = f"{amount.connections} connections for {amount.seconds:g} s, by {CLIENT}"
        yield what, f"{many.rate:,.0f} requests/s"
        yield "the same: p99", f"{many.p99:.0f} ms"
        yield "the same: errors", f"{many.errors} of {many.answers:,}"
        more = load(port, bodies, amount.connections, amount.requests, amount.patience)
        after = mebibytes(process)
        done = 1000 + many.answers + len(more.seconds)
        yield "memory after 1,000 requests", f"{before:.0f} MiB"
        yield f"memory after {done:,} requests", f"{after:.0f} MiB ({after / before - 1:+.1%})"


def measure(amount: Amount) -> str:
    """Everything in turn; the text of SERVING.md."""
    rows = []
    for what, value in chain(one_client(amount), many_clients(amount)):
        rows.append(f"| {what} | {value} |")
        print(rows[-1], flush=True)
    with serving() as (port, process):
        endured = endure(port, process, amount)
    return "\n".join(
        [
            "# Serving\n",
            "Written by `PYTHONPATH=tests python benchmarks/serving.py` on "
            f"{date.today()}, on {machine()}.",
            "Server and client share the machine.\n\n| | |\n|---|---|",
            *rows,
            "\n## Abuse\n",
            "After each of these an honest request was answered.\n",
            "| | answers | took | memory after |\n|---|---|---|---|",
            *endured,
            "",
        ]
    )


def main() -> None:
    """Measure, print, and unless it was quick write the report."""
    parser = argparse.ArgumentParser(description="Measure the page and the HTTP interface.")
    parser.add_argument("--quick", action="store_true", help="little of everything; no report")
    options = parser.parse_args()
    report = measure(QUICK if options.quick else Amount())
    if not options.quick:
        (HERE / "SERVING.md").write_text(report)


if __name__ == "__main__":
    main()
