"""How long the commands take, from Enter to the prompt, in turns; a part of RESULTS.md.

    python benchmarks/commands.py    # alone: some two minutes, writes nothing

`train_mnist_fast` is measured as a whole process, too: it imports, reads the data, trains,
evaluates, and ends; it draws and writes nothing.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from mnist_digits import load_mnist

HERE = Path(__file__).parent
REPETITIONS = 7
PEER = "train_mnist_fast"


def measure_commands(repetitions: int = REPETITIONS) -> dict[str, float]:
    """Median seconds of each command, and of the peer."""
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        picture, run = folder / "one.png", folder / "run"
        Image.fromarray(load_mnist()[1].images[0, 0].numpy()).resize((280, 280)).save(picture)
        seconds_of(ours("train", "fast", "--output", str(run)))
        for number in range(repetitions):
            output = str(folder / str(number))
            commands = {
                "mnist-digits train fast": ours("train", "fast", "--output", output),
                PEER: [sys.executable, str(HERE / "peers.py"), PEER],
                "mnist-digits evaluate RUN": ours("evaluate", str(run)),
                "mnist-digits predict one.png": ours("predict", str(picture)),
            }
            for what, command in commands.items():
                times.setdefault(what, []).append(seconds_of(command))
    return {what: statistics.median(several) for what, several in times.items()}


def ours(*arguments: str) -> list[str]:
    """The command line, of the `mnist-digits` beside this Python."""
    return [str(Path(sys.executable).parent / "mnist-digits"), *arguments]


def seconds_of(command: list[str]) -> float:
    """How long a command takes."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def commands_table(seconds: dict[str, float]) -> str:
    """A line for each command, with its ratio to the peer where it trains."""
    lines = ["| whole process | |", "|---|---|"]
    for what, taken in seconds.items():
        ratio = f": {taken / seconds[PEER]:.2f}×" if what.startswith("mnist-digits train") else ""
        lines.append(f"| `{what}` | {taken:.2f} s{ratio} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(commands_table(measure_commands()))
