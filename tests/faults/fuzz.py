"""Inputs guided by coverage, for the readers of pictures and of checkpoints (needs atheris).

    PYTHONPATH=tests/faults python tests/faults/fuzz.py pictures -max_total_time=60
    PYTHONPATH=tests/faults python tests/faults/fuzz.py checkpoints -max_total_time=60

It begins with real files. Whatever is not a reading, a run or their error ends it, and the
input is kept in a file. What follows the first argument goes to libFuzzer.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mnist_digits", "PIL", "safetensors"]):
    import damaged_files
    import damaged_pictures

    from mnist_digits import CheckpointError, PictureError, load
    from mnist_digits.picture import open_picture

SCRATCH = Path(tempfile.mkdtemp(prefix="fuzz-"))


def pictures(content: bytes) -> None:
    """Open a picture: a refusal is as good as pixels."""
    try:
        open_picture(content)
    except PictureError:
        return


def checkpoints(content: bytes) -> None:
    """Load a run: a refusal is as good as a run."""
    file = SCRATCH / "model.safetensors"
    file.write_bytes(content)
    try:
        load(file)
    except CheckpointError:
        return


def main() -> None:
    """Write real files as the beginning, and fuzz."""
    target = {"pictures": pictures, "checkpoints": checkpoints}[sys.argv.pop(1)]
    real = (
        damaged_pictures.originals()
        if target is pictures
        else damaged_files.originals(damaged_files.SMALL)
    )
    corpus = SCRATCH / "corpus"
    corpus.mkdir()
    for number, content in enumerate(real.values()):
        (corpus / str(number)).write_bytes(content)
    atheris.Setup([*sys.argv, "-rss_limit_mb=4096", "-timeout=10", str(corpus)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
