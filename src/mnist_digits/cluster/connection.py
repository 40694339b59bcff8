"""What studies, sweeps and bulk readings share: Ray, a run in its own process, a job's folder.

Where Ray is needed and no address is given, it starts on this machine, and is reached from this
machine only.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ClusterError
from ..files import write_whole
from ..processes import in_processes, last_line, usable_cores
from ..training.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from ..data.dataset import Digits

T = TypeVar("T")
R = TypeVar("R")

# Seconds to wait for an address to answer.
PATIENCE = 10.0
# Bytes. Runs are small; by default Ray would take a third of the memory.
OBJECT_STORE = 256 * 2**20
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
    if address is None:
        options |= {"address": "local", "_node_ip_address": "127.0.0.1"}
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
        options["num_cpus"] = usable_cores()
    else:
        _check_address(address)
        options["address"] = address
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(f"no Ray cluster at {address or 'this machine'}: {error}") from error
    try:
        _check_resources(ray.nodes(), cpus, gpus)
        yield
    finally:
        ray.shutdown()


def on_this_machine(
    work: Callable[[T], R], items: Iterable[T], processes: int
) -> Generator[tuple[T, R | str], None, None]:
    """`in_processes`.

    Raises:
        ClusterError: the machine refuses processes, threads, memory or open files.
    """
    try:
        yield from in_processes(work, items, processes)
    except (OSError, MemoryError, RuntimeError) as error:
        raise ClusterError(
            f"cannot work in {processes} processes here ({last_line(error)}): see what `ulimit -a` "
            f"allows, and give the same command again; what is done is kept"
        ) from error


def set_environment(here: bool) -> None:
    """Set what Ray reads when it is imported."""
    if here:
        # Lets Ray take the loopback address: any other can be reached from outside.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        # By default Ray gives its workers a niceness of 15: beside other work on all cores they
        # get so little time that a run seems to hang.
        os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    # No usage reports, none of Tune's tables, no warning about GPUs.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"


def check_installed(package: str) -> None:
    """Raise a ClusterError if a package of the extra `cluster` is missing."""
    try:
        import_module(package)
    except ModuleNotFoundError as error:
        raise ClusterError(
            f"this needs {package}: install it, or what everything here needs, with "
            f"pip install 'mnist-digit-classification[cluster]'"
        ) from error
    except ImportError as error:
        raise ClusterError(f"cannot load {package}: {last_line(error)}") from error


def _check_resources(nodes: list[dict[str, Any]], cpus: int, gpus: float) -> None:
    """Refuse what no machine has: Ray would wait forever for one to be added."""
    for node in nodes:
        has = node["Resources"]
        if node["Alive"] and has.get("CPU", 0) >= cpus and has.get("GPU", 0) >= gpus:
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

    from ..training.device import pick_device

    torch.set_num_threads(threads)
    return pick_device("cuda" if gpus else "cpu")


def train_here(recipe: Recipe, held_out: bool, threads: int, gpus: float) -> dict[str, bytes]:
    """One run, as `mnist-digits train` makes it, in a process of its own.

    Args:
        held_out: train without the validation slice, and measure on it.

    Returns:
        The files that `checkpoint.save` writes, by name: the machine may share no folder with
        the one that asked.
    """
    from ..training import checkpoint
    from ..training.procedure import split, train_and_measure

    device = prepare(threads, gpus)
    train, test = (part.to(device) for part in digits())
    run, _, _ = train_and_measure(recipe, *split(train, held_out), test)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(run, Path(folder))
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def begin(directory: Path, job: dict[str, Any], resume: bool) -> None:
    """Make the folder of a job, or check that the one there belongs to this job.

    Args:
        job: the description; an earlier one in the folder must be equal.
        resume: whether to go on with what is there; otherwise it is refused.

    Raises:
        ClusterError: the folder belongs to another job, or cannot be written.
    """
    file = directory / JOB
    text = json.dumps(job, indent=2, sort_keys=True) + "\n"
    try:
        # A folder with nothing but a description is free: none of that job was done.
        used = directory.exists() and any(path != file for path in directory.iterdir())
        if used and file.is_file():
            if not resume:
                raise ClusterError(
                    f"{directory} is there already: go on with --resume, or choose another name"
                )
            if file.read_text() != text:
                raise ClusterError(f"{directory} is the folder of another job: choose a new one")
        elif used:
            raise ClusterError(f"{directory} has other things in it: choose a new folder")
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(file, text.encode())
    except OSError as error:
        raise ClusterError(f"cannot write to {directory}: {error.strerror}") from error


def write_json(file: Path, value: object) -> None:
    """Write a result of a job, whole or not at all.

    Raises:
        ClusterError: it cannot be written.
    """
    try:
        write_whole(file, (json.dumps(value, indent=2) + "\n").encode())
    except OSError as error:
        raise ClusterError(f"cannot write {file}: {error.strerror}") from error


def as_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON values, for a job's description."""
    values: dict[str, Any] = json.loads(recipe.to_json())
    return values
