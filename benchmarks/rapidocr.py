"""RapidOCR, a reader of printed and handwritten text, for comparison; it needs a Python of its own.

    python3 -m venv rapid && rapid/bin/pip install rapidocr-onnxruntime
    python benchmarks/pictures.py --rapidocr rapid/bin/python FOLDER

Run by that Python, this file takes names of pictures from its input, and writes a line of JSON for
each: the digits of what RapidOCR reads, as it is, and told that the whole picture is one line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Rapid:
    """What RapidOCR read; pictures that it had no time for are missing.

    Attributes:
        version: of the package.
        found: by file, what was found and read.
        line: by file, what was read in the whole picture as one line.
    """

    version: str
    found: dict[Path, str]
    line: dict[Path, str]


def read_by(python: Path, files: Sequence[Path], seconds: float) -> Rapid:
    """Read files with RapidOCR, run by its own Python, for so many seconds at most."""
    names = "\n".join(str(file.resolve()) for file in files)
    command = [str(python), str(Path(__file__).resolve())]
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    try:
        done = subprocess.run(
            command,
            input=names.encode(),
            stdout=subprocess.PIPE,
            timeout=seconds,
            check=True,
            env=environment,
        )
        output = done.stdout
    except subprocess.TimeoutExpired as stopped:
        output = stopped.stdout or b""
    complete = output.rpartition(b"\n")[0].splitlines()
    head, *lines = [json.loads(line) for line in complete]
    pairs = list(zip(files, lines, strict=False))
    return Rapid(
        head["version"],
        {file: line["found"] for file, line in pairs},
        {file: line["line"] for file, line in pairs},
    )


def digits_of(engine: Any, name: str, **options: bool) -> str:
    """The digits of the texts in reading order; empty if it cannot read the picture."""
    try:
        texts, _ = engine(name, **options)
    except Exception:  # whatever it meets in a picture that it cannot open
        return ""
    # A text is [box, text, score], or [text, score] where nothing was searched for.
    joined = "".join(str(text[-2]) for text in texts or [])
    return "".join(letter for letter in joined if letter in "0123456789")


def main() -> None:
    """Read the pictures named on standard input."""
    from rapidocr_onnxruntime import RapidOCR  # type: ignore[import-not-found, unused-ignore]

    engine = RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)
    print(json.dumps({"version": version("rapidocr-onnxruntime")}), flush=True)
    for entry in sys.stdin:
        name = entry.rstrip("\n")
        read = {"found": digits_of(engine, name), "line": digits_of(engine, name, use_det=False)}
        print(json.dumps(read), flush=True)


if __name__ == "__main__":
    main()
