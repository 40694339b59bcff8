"""The page that needs no server: bytes, times, and whether it answers as Python does.

    PYTHONPATH=tests python benchmarks/in_browser.py [--pictures 500] [FOLDER ...]

Builds the site, serves it from this machine, opens it in Chromium, and writes benchmarks/SITE.md.
Folders have pictures that are compared beside made scenes.
"""

from __future__ import annotations

import argparse
import base64
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import cv2
import numpy as np
from answers import table
from chromium import launched
from hosting import hosted
from playwright.sync_api import Browser, Page
from timing import inked
from timing import pictures as timed_pictures

from mnist_digits import Reader, load_mnist
from mnist_digits.synthesis.scene import scene
from mnist_digits.synthesis.templates import load_templates

ROOT = Path(__file__).parents[1]
OUTPUT = Path(__file__).parent / "SITE.md"
RUNS = 7
IMAGES = {".png", ".jpg", ".jpeg"}
BROTLI = """const { brotliCompressSync } = require("zlib"), { readFileSync } = require("fs");
process.stdout.write(String(brotliCompressSync(readFileSync(process.argv[1])).length))"""
KEPT = "async () => { await navigator.serviceWorker.ready; }"
READ = """async (text) => {
  const blob = new Blob([bytes(text)]);
  const start = performance.now();
  const { text: read, sure } = await request("POST", "/api/read?details=true&single=false", blob);
  return [read, sure, performance.now() - start];
}"""


def compressed(site: Path) -> int:
    """Bytes of all files, by Brotli at its best."""
    files = [file for file in site.iterdir() if file.suffix != ".txt"]
    sizes = [subprocess.check_output(["node", "-e", BROTLI, str(file)]) for file in files]
    return sum(map(int, sizes))


def read_in(page: Page, content: bytes) -> tuple[str, bool, float]:
    """Text, whether it is sure, and milliseconds."""
    text, sure, milliseconds = page.evaluate(READ, base64.b64encode(content).decode())
    return text, sure, milliseconds


def first_answers(browser: Browser, address: str, drawing: bytes) -> tuple[list[float], ...]:
    """Seconds from opening the page to its first answer, at first and when it is kept."""
    cold: list[float] = []
    warm: list[float] = []
    for _ in range(RUNS):
        page = browser.new_context().new_page()
        for times in (cold, warm):
            start = time.perf_counter()
            page.goto(address)
            read_in(page, drawing)
            times.append(time.perf_counter() - start)
            page.evaluate(KEPT)
        page.context.close()
    return cold, warm


def contents() -> dict[str, bytes]:
    """What is timed."""
    _, test = load_mnist()
    six = inked(test, 224, 324, 50, [[10 + 50 * n, 80] for n in range(6)])
    one = inked(test, 224, 324, 120, [[100, 50]])
    sheets = {"a drawing of one digit": one, "a drawing of six": six}
    drawings = {name: cv2.imencode(".png", pixels)[1].tobytes() for name, pixels in sheets.items()}
    photos = list(timed_pictures(test).items())[1:]
    jpegs = {name: cv2.imencode(".jpg", pixels)[1].tobytes() for name, pixels in photos}
    return drawings | jpegs


def compared(folders: list[Path], count: int) -> Iterator[tuple[str, bytes]]:
    """Pictures of the folders, and made scenes, so many in all."""
    files = [file for folder in folders for file in sorted(folder.rglob("*"))]
    files = [file for file in files if file.suffix.lower() in IMAGES]
    chosen = files[:: max(1, 2 * len(files) // count)] if files else []
    yield from ((file.name, file.read_bytes()) for file in chosen)
    templates = load_templates(load_mnist()[1], 2000)
    for number in range(count - len(chosen)):
        made = scene(np.random.default_rng((23, number)), templates)
        yield f"scene {number}", cv2.imencode(".png", made.pixels[:, :, ::-1])[1].tobytes()


def main() -> None:
    """Measure everything, print it and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--pictures", type=int, default=500)
    options = parser.parse_args()
    reader, timed = Reader.load(threads=1), contents()
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        site = Path(folder)
        subprocess.run([sys.executable, ROOT / "website" / "make_site.py", site], check=True)
        rows = [("bytes of all files, by Brotli", f"{compressed(site) / 1e6:.2f} MB")]
        with hosted(site) as host:
            cold, warm = first_answers(browser, host.address, timed["a drawing of one digit"])
            rows.append(("from opening the page to its first answer", f"{median(cold)} s"))
            rows.append(("the same once it is kept", f"{median(warm)} s"))
            page = browser.new_page()
            page.goto(host.address)
            read_in(page, timed["a drawing of one digit"])
            page.evaluate(KEPT)
            host.sent.clear()
            page.reload()
            read_in(page, timed["a drawing of one digit"])
            rows.append(("files that the host sends then", str(len(host.sent))))
            for name, content in timed.items():
                times = [read_in(page, content)[2] for _ in range(RUNS + 1)][1:]
                rows.append((name, f"{statistics.median(times):,.0f} ms"))
            differ = []
            for name, content in compared(options.folders, options.pictures):
                reading = reader.read(content)
                if read_in(page, content)[:2] != (reading.text, reading.sure):
                    differ.append(name)
            told = f"{len(differ)} of {options.pictures}"
            rows.append(("answers that are not Python's: text, or whether it is sure", told))
        version = browser.version
    named = f" Not as in Python: {', '.join(differ)}." if differ else ""
    text = f"""# The page that needs no server

Written by `PYTHONPATH=tests python benchmarks/in_browser.py FOLDER` on {date.today()}, Chromium
{version}, the host on the same machine; medians of {RUNS}.

{table(("what", "measured"), rows)}

Half of the pictures that are compared are made scenes, as PNG.{named}
"""
    OUTPUT.write_text(text, encoding="utf-8")
    print(text)


def median(times: list[float]) -> str:
    """In seconds, with a digit after the point."""
    return f"{statistics.median(times):.1f}"


if __name__ == "__main__":
    main()
