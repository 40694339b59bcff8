"""Inputs guided by coverage, for what reads pictures and checkpoints (needs atheris).

    PYTHONPATH=tests/faults python tests/faults/fuzz.py pictures -max_total_time=60
    PYTHONPATH=tests/faults python tests/faults/fuzz.py checkpoints -max_total_time=60
    PYTHONPATH=tests/faults python tests/faults/fuzz.py headers -max_total_time=60

It begins with real files. Whatever is not a reading, a run or their error ends it, and the
input is kept in a file. What follows the first argument goes to libFuzzer.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from functools import cache
from pathlib import Path

import atheris
import safetensors.torch
import torch

with atheris.instrument_imports(include=["mnist_digits", "PIL", "safetensors"]):
    import damaged_files
    import damaged_pictures

    from mnist_digits import CheckpointError, PictureError, load
    from mnist_digits.classifier.checkpoint import CHECKSUM, WEIGHTS, content_checksum
    from mnist_digits.cli.main import main as command
    from mnist_digits.reading.documents import open_picture

SCRATCH = Path(tempfile.mkdtemp(prefix="fuzz-"))
FILE = SCRATCH / WEIGHTS
# Between the texts of a header, which are JSON and so have none.
BETWEEN = b"\0"


def pictures(content: bytes) -> None:
    """Open a picture: a refusal is as good as pixels."""
    with contextlib.suppress(PictureError):
        open_picture(content)


def checkpoints(content: bytes) -> bool:
    """Load a run: a refusal is as good as a run. Whether it is one."""
    FILE.write_bytes(content)
    try:
        load(FILE)
    except CheckpointError:
        return False
    return True


def headers(content: bytes) -> None:
    """Show a run that was made on purpose: whatever its header says, its checksum is right."""
    header, weights = real_run()
    texts = (text.decode(errors="replace") for text in content.split(BETWEEN))
    said = header | dict(zip(header, texts, strict=False))
    said[CHECKSUM] = content_checksum(weights, said)
    if checkpoints(safetensors.torch.save(weights, said)):
        with contextlib.redirect_stdout(io.StringIO()):
            assert command(["show", str(FILE)]) == 0


@cache
def real_run() -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Header, without its checksum, and weights of a run."""
    content = damaged_files.originals(damaged_files.SMALL)["weights"]
    FILE.write_bytes(content)
    with safetensors.safe_open(FILE, framework="pt") as tensors:
        header = tensors.metadata()
    del header[CHECKSUM]
    return dict(sorted(header.items())), safetensors.torch.load(content)


def beginning(target: str) -> list[bytes]:
    """Real inputs of a target."""
    if target == "pictures":
        return list(damaged_pictures.originals().values())
    if target == "checkpoints":
        return list(damaged_files.originals(damaged_files.SMALL).values())
    return [BETWEEN.join(text.encode() for text in real_run()[0].values())]


def main() -> None:
    """Write real inputs as the beginning, and fuzz."""
    name = sys.argv.pop(1)
    target = {"pictures": pictures, "checkpoints": checkpoints, "headers": headers}[name]
    corpus = SCRATCH / "corpus"
    corpus.mkdir()
    for number, content in enumerate(beginning(name)):
        (corpus / str(number)).write_bytes(content)
    atheris.Setup([*sys.argv, "-rss_limit_mb=4096", "-timeout=10", str(corpus)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
