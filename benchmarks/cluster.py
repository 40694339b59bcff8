"""Many runs and many pictures at once on this machine, against one after the other.

    python benchmarks/cluster.py          # a quarter of an hour; writes CLUSTER.md

Whole commands are timed, with the start of Python and torch, and of Ray where it is used, as
whoever waits for them does. Memory is that of the command and all its processes, Ray's included
(USS, without what they share), sampled twice a second.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import psutil
import pyarrow
from PIL import Image
from pyarrow import parquet

from mnist_digits import Reader, load_mnist
from mnist_digits.cluster.connection import OBJECT_STORE, set_environment

set_environment(here=True)  # which Ray reads when it is imported
import ray  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

COMMAND = [sys.executable, "-m", "mnist_digits"]
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Timing:
    """A command: its seconds, and its peak memory in MiB."""

    seconds: float
    memory: float


def run(*arguments: str, folder: Path) -> Timing:
    """Run the command."""
    started = time.perf_counter()
    process = subprocess.Popen([*COMMAND, *arguments], cwd=folder, stdout=subprocess.DEVNULL)
    peak = [0.0]
    watcher = threading.Thread(target=watch, args=(process, peak))
    watcher.start()
    if process.wait():
        raise SystemExit(f"failed: {arguments}")
    seconds = time.perf_counter() - started
    watcher.join()
    return Timing(seconds, peak[0] / 2**20)


def watch(command: subprocess.Popen[bytes], peak: list[float]) -> None:
    """Keep in `peak` the most memory of all processes below this one, in bytes."""
    while command.poll() is None:
        total = 0
        for process in psutil.Process().children(recursive=True):
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


def plain_loop(sources: Sequence[Path] | Sequence[bytes]) -> float:
    """Seconds of a loop over `Reader.read` in one process, for a picture, without its start."""
    reader = Reader.load(threads=1)
    started = time.perf_counter()
    for source in sources:
        reader.read(source)
    return (time.perf_counter() - started) / len(sources)


def main() -> None:
    """Measure, and write CLUSTER.md."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--files", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = options.frames // 4, options.frames
        write_sources(folder, frames, options.files)
        studies = study_rows(folder, options.seeds)
        readings = [read_row(folder, f"{count}.parquet", count, options.rounds) for count in frames]
        readings.append(read_row(folder, "pictures", options.files, options.rounds))
    write_report(studies, readings)


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


def read_row(folder: Path, source: str, count: int, rounds: int) -> str:
    """A source read in turns by a plain loop, by processes and by Ray: the medians."""
    loops, processes, on_ray = [], [], []
    for _ in range(rounds):
        loops.append(count * plain_loop(sample(folder / source)))
        processes.append(read(folder, source))
        on_ray.append(read_on_ray(folder, source))
    loop = median(loops)
    kind = "picture files" if source == "pictures" else "frames in Parquet"
    cells = [f"{count:,} {kind}", f"{loop:.1f} s"]
    for timings in (processes, on_ray):
        seconds = median(timing.seconds for timing in timings)
        memory = max(timing.memory for timing in timings)
        cells.append(f"{seconds:.1f} s: {loop / seconds:.2f} times as fast; {memory:,.0f} MiB")
    return f"| {' | '.join(cells)} |"


def sample(source: Path) -> Sequence[Path] | Sequence[bytes]:
    """What the plain loop reads: all files of a folder, or as many rows as show its pace."""
    if source.is_dir():
        return sorted(source.iterdir())
    rows: list[bytes] = parquet.read_table(source).column("image")[:10_000].to_pylist()
    return rows


def read(folder: Path, source: str, *arguments: str) -> Timing:
    """Read a source from the beginning."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    return run("read", source, "--out", "out", *arguments, folder=folder)


def read_on_ray(folder: Path, source: str) -> Timing:
    """The same on a Ray that starts for it, with all cores; its start is timed, too."""
    started = time.perf_counter()
    node = {"node_ip_address": "127.0.0.1", "num_cpus": psutil.cpu_count()}
    node |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
    head = Cluster(initialize_head=True, head_node_args=node)
    start = time.perf_counter() - started
    try:
        timing = read(folder, source, "--address", head.address)
    finally:
        head.shutdown()
    return replace(timing, seconds=start + timing.seconds)


def write_report(studies: list[str], readings: list[str]) -> None:
    """Write CLUSTER.md, with the machine and the versions."""
    tables = "\n".join(
        [
            *("| | |", "|---|---|", *studies, ""),
            *("| `read` | plain loop | processes | Ray |", "|---|---|---|---|", *readings),
        ]
    )
    (HERE / "CLUSTER.md").write_text(
        f"# Many runs and many pictures on one machine\n\nWritten by `python "
        f"benchmarks/cluster.py` on {date.today()}, on {psutil.cpu_count()} cores, Ray "
        f"{ray.__version__}, Python {platform.python_version()}, {platform.system()}. Whole "
        f"commands, from start to end; the plain loop over `Reader.read` without its start. "
        f"Readings are medians, in turns, and the most memory.\n\n{tables}\n"
    )
    print(tables)


if __name__ == "__main__":
    main()
