"""The page as a site of files alone, read in the browser: `make site`.

    python website/make_site.py [FOLDER]      (site)

It has the app's own page, the three networks, and onnxruntime-web, which npm brings: nothing is
asked of another host, and any static host serves it, in any folder.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mnist_digits import Reader
from mnist_digits.reading import (
    detection,
    explanation,
    grid,
    mnist_frame,
    picture,
    reader,
    reading_order,
    rulings,
    separators,
    straight,
    tables,
)
from mnist_digits.web.server import SHOWN, STATIC, facts

HERE = Path(__file__).parent
# Microsoft's runtime for browsers (MIT): the package, and the SHA-256 of what is used of it.
RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_FILES = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": (
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    ),
}
NOTICE = """ONNX Runtime Web, https://github.com/microsoft/onnxruntime

MIT License. Copyright (c) Microsoft Corporation.

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""
# The networks, in the order in which the reader takes them.
NETWORKS = {
    "detect.onnx": detection.MODELS / detection.DETECT,
    "look.onnx": detection.MODELS / detection.LOOK,
    "classifier.onnx": reader.SHIPPED / reader.MODEL,
}
OWN = (
    *("local.js", "worker.js", "picture.js", "reader.js", "answer.js"),
    *("reading_order.js", "separators.js", "arithmetic.js"),
    *("tables.js", "straight.js", "rulings.js", "grid.js"),
)
# The constants of Python's modules that the scripts take.
SAME_AS = (
    (detection, "BATCH LEVEL MOVED POSSIBLE READ SAME SIGNS"),
    (grid, "MIN_INSIDE MAX_CUT MAX_CUTTING MIN_HIGH MIN_SEEN MIN_SURE_GAP MIN_WIDE"),
    (mnist_frame, "BOX GROUND"),
    (picture, "CONTRAST WORKING_SIZE"),
    (reader, "FEW_DIGITS NOTHING"),
    (reading_order, "MAX_SPREAD MIN_GAP MIN_NUMBER_GAP MIN_OVERLAP MIN_WIDTH NUMBER_GAP"),
    (rulings, "AROUND_HEIGHTS AROUND_WIDTHS BAND DRIFT HEIGHT MAX_SIDE"),
    (rulings, "MAX_POINTS MAX_SHARE MIN_CONTRAST MIN_LENGTH MIN_LINES NEAR REACH"),
    (separators, "HALFWAY MARGIN MAX_APART MAX_BEFORE MAX_REACH MAX_SIZE MAY_BE"),
    (separators, "MIN_DASH MIN_INK MIN_SIZE SURE"),
    (straight, "CONVERGENCES CORNERS EDGES_AT MAX_AWAY MIN_EDGES MIN_STRENGTH SMOOTH TILTS"),
    (tables, "MAX_CELLS MAX_LEAN MIN_SURE MIN_UPRIGHT RIM_CONFIDENCE"),
)
SHARED = ("draw.js", "teach.js", "table.js", "style.css", "samples.json")
# Loaded with a bar that shows how much.
LARGE = ("ort-wasm-simd-threaded.wasm", *NETWORKS)
NAME = "Draw and see"
ICONS = (180, 192, 512)
HEAD = """<meta http-equiv="Content-Security-Policy" content="default-src 'self'; \
script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob: data:; base-uri 'none'; \
form-action 'none'">
<link rel="manifest" href="manifest.json">
<link rel="apple-touch-icon" href="icon-180.png">
<script src="local.js" defer></script>"""


def build(site: Path) -> None:
    """Write the site into a folder, which is made anew."""
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir(parents=True)
    for name in OWN:
        shutil.copyfile(HERE / name, site / name)
    for name in SHARED:
        shutil.copyfile(STATIC / name, site / name)
    for name, file in NETWORKS.items():
        shutil.copyfile(file, site / name)
    _add_runtime(site)
    (site / "index.html").write_text(_page(), "utf-8")
    read = Reader.load(threads=1)
    _write(site / "model.json", {**facts(read), "teach": False})
    (site / "constants.js").write_text(_constants(read, site), "utf-8")
    for side in ICONS:
        cv2.imwrite(str(site / f"icon-{side}.png"), _icon(side))
    _write(site / "manifest.json", _manifest())
    (site / "service.js").write_text(_service(site), "utf-8")


def _add_runtime(site: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", RUNTIME]
        try:
            packed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", "") or error
            raise SystemExit(f"npm cannot bring {RUNTIME}: {reason}") from error
        with tarfile.open(Path(folder) / packed.stdout.split()[-1]) as archive:
            for name, checksum in RUNTIME_FILES.items():
                file = archive.extractfile(f"package/dist/{name}")
                content = file.read() if file else b""
                if hashlib.sha256(content).hexdigest() != checksum:
                    raise SystemExit(f"{name} of {RUNTIME} is not the one that is known")
                (site / name).write_bytes(content)
    (site / "ONNXRUNTIME-LICENSE.txt").write_text(NOTICE, "utf-8")


def _page() -> str:
    """The app's page, that asks the browser in the place of a server."""
    page = (STATIC / "index.html").read_text("utf-8")
    server = '<script src="server.js" defer></script>'
    assert server in page
    return page.replace(server, HEAD)


def _constants(read: Reader, site: Path) -> str:
    """What decides in Python decides in the browser, too: a module."""
    constants = {
        **{name: getattr(module, name) for module, names in SAME_AS for name in names.split()},
        "SHOWN": SHOWN,
        "ANSWER": read.detector.answer,
        "PRESENCE": read.detector.presence,
        "SURE_ABOVE": read.detector.sure_above,
        "FRAME_SURE_ABOVE": read.sure_above,
        # Of each patch the numbers of its pixels.
        "PATCHES": [np.flatnonzero(patch) for patch in explanation.patches()],
        "BYTES": {name: (site / name).stat().st_size for name in LARGE},
    }
    values = {
        name: json.dumps(value, default=np.ndarray.tolist) for name, value in constants.items()
    }
    return "".join(f"export const {name} = {value};\n" for name, value in values.items())


def _manifest() -> dict[str, Any]:
    icons = [
        {"src": f"icon-{side}.png", "sizes": f"{side}x{side}", "type": "image/png"}
        for side in ICONS
    ]
    return {
        "name": NAME,
        "short_name": "Digits",
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#f6f2e9",
        "theme_color": "#b5361c",
        "icons": icons,
    }


def _icon(side: int) -> np.ndarray[Any, Any]:
    """A white 7 on red, as in the page's own icon."""
    icon = np.full((side, side, 3), (0x1C, 0x36, 0xB5), np.uint8)
    seven = np.array([[10, 9], [22, 9], [14, 24]]) * (side / 32)
    fixed = (seven * 16).round().astype(np.int32)
    cv2.polylines(icon, [fixed], False, (255, 255, 255), round(side / 9), cv2.LINE_AA, 4)
    return icon


def _service(site: Path) -> str:
    """The service worker, for what the site has."""
    files = sorted(site.iterdir())
    version = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    listed = json.dumps(["./", *(file.name for file in files)])
    source = (
        (HERE / "service.js").read_text("utf-8").replace(" VERSION and FILES are filled in.", "")
    )
    return source.replace("VERSION", version).replace("FILES = []", f"FILES = {listed}")


def _write(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value), "utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "site")
    build(target)
    size = sum(file.stat().st_size for file in target.iterdir())
    print(
        f"Written to {target}, {size / 1e6:.1f} MB: `python -m http.server -d {target}` serves it"
    )
