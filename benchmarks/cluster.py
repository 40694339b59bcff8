"""What Ray gains on this machine: studies and bulk reading against one after the other.

    python benchmarks/cluster.py          # five minutes; writes CLUSTER.md

Whole commands are timed, with the start of Python, torch and Ray, as whoever waits for them does.
Memory is that of the command and all of Ray's processes (USS, without what they share), sampled
twice a second.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import date
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
import psutil
import pyarrow
import ray
from PIL import Image
from pyarrow import parquet

from mnist_digits import Reader, load_mnist
from mnist_digits.cluster.bulk import FILES, ROWS

COMMAND = [sys.executable, "-m", "mnist_digits"]
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Timing:
    """A command: its seconds, those until its first line, and its peak memory in MiB."""

    seconds: float
    first: float
    memory: float


def run(*arguments: str, folder: Path) -> Timing:
    """Run the command."""
    started = time.perf_counter()
    process = subprocess.Popen([*COMMAND, *arguments], cwd=folder, stdout=subprocess.PIPE)
    peak = [0.0]
    watcher = threading.Thread(target=watch, args=(process.pid, peak))
    watcher.start()
    assert process.stdout
    process.stdout.readline()
    first = time.perf_counter() - started
    process.communicate()
    if process.returncode:
        raise SystemExit(f"failed: {arguments}")
    seconds = time.perf_counter() - started
    watcher.join()
    return Timing(seconds, first, peak[0] / 2**20)


def watch(pid: int, peak: list[float]) -> None:
    """Keep in `peak` the most memory of the process and all below it, in bytes."""
    while psutil.pid_exists(pid):
        total = 0
        try:
            parent = psutil.Process(pid)
            processes = [parent, *parent.children(recursive=True)]
        except psutil.Error:
            return
        for process in processes:
            try:
                total += process.memory_full_info().uss
            except psutil.Error:
                continue  # it has just ended
        peak[0] = max(peak[0], float(total))
        time.sleep(0.5)


def write_sources(folder: Path, counts: tuple[int, ...], files: int) -> None:
    """Parquet files of so many frames, and a folder of so many pictures of 120 × 120 pixels."""
    images = np.concatenate([part.images[:, 0].numpy() for part in load_mnist()])
    frames = [cv2.imencode(".png", image)[1].tobytes() for image in images]
    for count in counts:
        rows = list(islice(cycle(frames), count))
        parquet.write_table(pyarrow.table({"image": rows}), folder / f"{count}.parquet")
    (folder / "pictures").mkdir()
    for number in range(files):
        picture = Image.fromarray(255 - images[number]).resize((120, 120))
        picture.save(folder / "pictures" / f"{number:05}.png")


def plain_loop(sources: list[Path] | list[bytes]) -> float:
    """Pictures a second of a loop over `Reader.read` in one process, without its start."""
    reader = Reader.load(threads=1)
    started = time.perf_counter()
    for source in sources:
        reader.read(source)
    return len(sources) / (time.perf_counter() - started)


def main() -> None:
    """Measure, and write CLUSTER.md."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--files", type=int, default=5_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = study_rows(folder, options.seeds)
        rows += read_rows(folder, options.frames // 4, options.frames, options.files)
    write_report(rows)


def study_rows(folder: Path, seeds: int) -> list[str]:
    """Runs one after the other, and in a study."""
    train = ("train", "fast", "--threads", "1", "--no-figures")
    alone = sum(run(*train, f"--seed={seed}", folder=folder).seconds for seed in range(seeds))
    together = run("study", "fast", "--seeds", f"0-{seeds - 1}", folder=folder).seconds
    return [
        f"| {seeds} runs of `fast`, `train --threads 1` in turn | {alone:.0f} s |",
        f"| the same, `study --seeds 0-{seeds - 1}` | {together:.0f} s: "
        f"{alone / together:.2f} times the runs a minute |",
    ]


def read_rows(folder: Path, few: int, many: int, files: int) -> list[str]:
    """Frames and picture files read by `read`, and by a plain loop."""
    write_sources(folder, (few, many), files)
    loops = measure_loops(folder, few)
    rows = []
    for source, count in ((f"{few}.parquet", few), (f"{many}.parquet", many), ("pictures", files)):
        timing = run("read", source, "--out", f"out-{source}", folder=folder)
        kind = "pictures" if source == "pictures" else "frames"
        what = "picture files" if kind == "pictures" else "frames in Parquet"
        loop, pace = loops[kind], count / timing.seconds
        # By the first line, the parts that are read beside the first are nearly done, too.
        done = (FILES if kind == "pictures" else ROWS) * (psutil.cpu_count() or 1)
        later = (count - done) / (timing.seconds - timing.first)
        rows.append(
            f"| {count:,} {what}, `read` "
            f"| {timing.seconds:.0f} s, {pace:,.0f} a second: {pace / loop:.2f} times a plain loop "
            f"({loop:,.0f}); from the first part to the end {later:,.0f} a second, "
            f"{later / loop:.2f} times; at most {timing.memory:,.0f} MiB |"
        )
    return rows


def measure_loops(folder: Path, few: int) -> dict[str, float]:
    """The pace of a plain loop over frames and over pictures."""
    column = parquet.read_table(folder / f"{few}.parquet").column("image")
    return {
        "frames": plain_loop(column[:10_000].to_pylist()),
        "pictures": plain_loop(sorted((folder / "pictures").iterdir())),
    }


def write_report(lines: list[str]) -> None:
    """Write CLUSTER.md, with the machine and the versions."""
    text = "\n".join(lines)
    (HERE / "CLUSTER.md").write_text(
        f"# Ray on one machine\n\nWritten by `python benchmarks/cluster.py` on {date.today()}, on "
        f"{psutil.cpu_count()} cores, Ray {ray.__version__}, Python {platform.python_version()}, "
        f"{platform.system()}. Whole commands, from start to end; the plain loop without its "
        f"start.\n\n| | |\n|---|---|\n{text}\n"
    )
    print(text)


if __name__ == "__main__":
    main()
