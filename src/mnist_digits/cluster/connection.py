"""What studies, sweeps and bulk readings share: many tasks here or on Ray, a job's folder.

Where Ray is needed and no address is given, it starts on this machine, and is reached from this
machine only.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ClusterError
from ..files import write_whole
from ..processes import RETRIES, in_processes, last_line, usable_cores

if TYPE_CHECKING:
    import torch

    from ..data.dataset import Digits

T = TypeVar("T")
R = TypeVar("R")

# Seconds to wait for an address to answer.
PATIENCE = 10.0
# Bytes. Runs are small; by default Ray would take a third of the memory.
OBJECT_STORE = 256 * 2**20
# Tasks that Ray has at a time: more than most clusters have cores.
AHEAD = 4_096
# A job's description, in its folder; Parquet readers skip names that begin with _.
JOB = "_job.json"


@contextmanager
def connected(address: str | None = None, cpus: int = 1, gpus: float = 0) -> Iterator[None]:
    """A context in which Ray runs: the cluster at an address, or one started here for as long.

    Args:
        address: `host:port` of a cluster's head, or `auto` for the cluster that this machine is
            part of; without one, Ray starts in this process, with all cores that it may use.
        cpus: cores of each run; some machine must have them, and the GPUs.
        gpus: GPUs of each run; a fraction shares one.

    Raises:
        ClusterError: Ray is not installed, nothing answers at the address, or no machine has
            enough cores and GPUs for a run.
    """
    set_environment(here=address is None)
    check_installed("ray")
    import ray

    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address:
        _check_address(address)
    else:
        options |= {"_node_ip_address": "127.0.0.1", "num_cpus": usable_cores()}
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
    try:
        ray.init(address or "local", **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(f"no Ray cluster at {address or 'this machine'}: {error}") from error
    try:
        _check_resources(ray.nodes(), cpus, gpus)
        yield
    finally:
        ray.shutdown()


def perform(
    work: Callable[[T], R],
    items: Collection[T],
    address: str | None = None,
    cpus: int = 1,
    gpus: float = 0,
) -> Generator[tuple[T, R | str], None, None]:
    """Each item when it is done: with what `work` returns, or with the error message.

    In processes of this machine, or with an address, or GPUs, on Ray. What was lost with a process
    or a machine is done again. Close the iterator (`contextlib.closing`) to end all work at once.

    Args:
        work: a function that can be pickled.
        address, cpus, gpus: as `connected` takes them, for each item.

    Raises:
        ClusterError: as `connected`, or if this machine refuses so many cores, processes, threads,
            memory or open files.
    """
    if not items:
        return
    if address or gpus:
        with connected(address, cpus, gpus):
            yield from _on_ray(work, items, cpus, gpus)
        return
    processes = usable_cores() // cpus
    if not processes:
        raise ClusterError(f"a run can have {usable_cores()} CPU cores here: ask for fewer")
    try:
        yield from in_processes(work, items, processes)
    except (OSError, MemoryError, RuntimeError) as error:
        raise ClusterError(
            f"cannot work in {processes} processes here ({last_line(error)}): see what `ulimit -a` "
            f"allows, and give the same command again; what is done is kept"
        ) from error


def _on_ray(
    work: Callable[[T], R], items: Iterable[T], cpus: int, gpus: float
) -> Generator[tuple[T, R | str], None, None]:
    import ray

    remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)
    task: Any = remote(lambda item: work(item))  # it takes no partial
    waiting = iter(items)
    running = {task.remote(item): item for item in islice(waiting, AHEAD)}
    while running:
        (ready,), _ = ray.wait(list(running))
        item = running.pop(ready)
        running |= {task.remote(item): item for item in islice(waiting, 1)}
        try:
            answer = ray.get(ready)
        except ray.exceptions.RayError as error:
            answer = last_line(getattr(error, "cause", None) or error)
        yield item, answer


def set_environment(here: bool) -> None:
    """Set what Ray reads when it is imported."""
    # No usage reports, none of Tune's tables, no warning about GPUs.
    quiet = ("USAGE_STATS_ENABLED", "AIR_NEW_OUTPUT", "ACCEL_ENV_VAR_OVERRIDE_ON_ZERO")
    os.environ |= {f"RAY_{name}": "0" for name in quiet}
    if here:
        # The first lets Ray take the loopback address: any other can be reached from outside. By
        # default it gives its workers a niceness of 15: beside other work on all cores they get so
        # little time that a run seems to hang.
        os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_worker_niceness": "0"}


def check_installed(package: str) -> None:
    """Raise a ClusterError if a package of the extra `cluster` is missing."""
    try:
        import_module(package)
    except ImportError as error:
        raise ClusterError(
            f"this needs {package}: install it, or what everything here needs, with "
            f"pip install 'mnist-digit-classification[cluster]' ({last_line(error)})"
        ) from error


def _check_resources(nodes: list[dict[str, Any]], cpus: int, gpus: float) -> None:
    """Refuse what no machine has: Ray would wait forever for one to be added."""
    having = (node["Resources"] for node in nodes if node["Alive"])
    if any(has.get("CPU", 0) >= cpus and has.get("GPU", 0) >= gpus for has in having):
        return
    wanted = f"{cpus} CPU cores" if cpus > 1 else "a CPU core"
    wanted += f" and {gpus:g} of a GPU" if 0 < gpus < 1 else f" and {gpus:g} GPUs" if gpus else ""
    raise ClusterError(f"no machine has {wanted} for a run: ask for fewer")


def _check_address(address: str) -> None:
    """Try to connect first: Ray itself would try for minutes."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), PATIENCE):
            pass
    except (OSError, ValueError, OverflowError) as error:
        raise ClusterError(
            f"nothing answers at {address!r} ({error}): give the host:port that `ray start --head` "
            f"has printed, or auto on a machine of the cluster"
        ) from error


@cache
def digits() -> tuple[Digits, Digits]:
    """The training and the test digits, read once in each process."""
    from ..data.dataset import load_mnist

    return load_mnist()


def prepare(threads: int, gpus: float) -> torch.device:
    """Set this process's threads; returns the device: CUDA if the run was given a GPU.

    `CUDA_VISIBLE_DEVICES` does not tell: Ray leaves it as it is for runs without a GPU.
    """
    import torch

    from ..classifier.device import pick_device

    torch.set_num_threads(threads)
    return pick_device("cuda" if gpus else "cpu")


def begin(directory: Path, job: dict[str, Any], resume: bool) -> None:
    """Make the folder of a job, or if `resume`, go on with one that has the same description.

    Raises:
        ClusterError: the folder belongs to another job, or cannot be written.
    """
    file = directory / JOB
    text = json.dumps(job, indent=2, sort_keys=True) + "\n"
    try:
        names = [path.name for path in directory.iterdir()] if directory.exists() else []
        # With nothing but a description, perhaps one that another process of this job is just
        # writing, the folder is free: nothing was done.
        if any(not name.lstrip(".").startswith(JOB) for name in names):
            if not file.is_file():
                raise ClusterError(f"{directory} has other things in it: choose a new folder")
            if not resume:
                again = "go on with --resume, or choose another name"
                raise ClusterError(f"{directory} is there already: {again}")
            if file.read_text() != text:
                raise ClusterError(f"{directory} is the folder of another job: choose a new one")
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(file, text.encode())
    except OSError as error:
        raise ClusterError(f"cannot write to {directory}: {error.strerror}") from error


def write_json(file: Path, value: object) -> None:
    """Write a result of a job, whole or not at all; a ClusterError if it cannot be written."""
    try:
        write_whole(file, (json.dumps(value, indent=2) + "\n").encode())
    except OSError as error:
        raise ClusterError(f"cannot write {file}: {error.strerror}") from error
