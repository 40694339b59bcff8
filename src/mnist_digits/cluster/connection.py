"""Ray, which carries many runs and many pictures: in this process, or on a cluster.

Without an address it starts on this machine and listens to this machine only. What it carries
are `train` and `Reader`, unchanged: see `study.py`, `sweep.py` and `bulk.py`.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ClusterError
from ..files import write_whole
from ..training.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from ..data.dataset import Digits
    from ..training.loop import Run

# Seconds that an address is given to answer.
PATIENCE = 10.0
# Runs are small; by itself Ray would take a third of the memory.
OBJECT_STORE = 256 * 2**20
# What is in a job's folder beside its results; Parquet readers pass over names with _.
JOB = "_job.json"
# How often what was lost with its node, or failed, is tried again.
RETRIES = 3


@contextmanager
def connected(address: str | None = None, cpus: int = 1, gpus: float = 0) -> Iterator[None]:
    """Within it Ray is there: of the cluster at this address, or started here for so long.

    Args:
        address: `host:port` of a cluster's head, or `auto` for the one that this machine is part
            of; without one, Ray starts in this process, for all its cores.
        cpus: cores of each run; some machine must have them, and the GPUs.

    Raises:
        ClusterError: Ray is not installed, nothing answers at the address, or no run fits there.
    """
    # All of these are read when Ray is imported.
    if address is None:
        # Takes the loopback address that it is given below: it would be reached from outside.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        # By itself Ray gives its workers a niceness of 15: beside other work on all cores they
        # get so little time that a run seems to hang.
        os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    # Reports nothing to anybody; Tune keeps its boxes to itself; no warning about GPUs.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    check_installed("ray")
    import ray

    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address is None:
        options |= {"address": "local", "_node_ip_address": "127.0.0.1"}
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
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


def check_installed(package: str) -> None:
    """Raises a ClusterError where a package of the extra `cluster` is missing."""
    try:
        import_module(package)
    except ImportError as error:
        raise ClusterError(
            "this needs more packages: pip install 'mnist-digit-classification[cluster]'"
        ) from error


def _check_resources(nodes: list[dict[str, Any]], cpus: int, gpus: float) -> None:
    """Refuse what Ray would wait for without an end, in case such a machine is added."""
    for node in nodes:
        has = node["Resources"]
        if node["Alive"] and has.get("CPU", 0) >= cpus and has.get("GPU", 0) >= gpus:
            return
    wanted = f"{cpus} CPU cores" if cpus > 1 else "a CPU core"
    wanted += f" and {gpus:g} of a GPU" if 0 < gpus < 1 else f" and {gpus:g} GPUs" if gpus else ""
    raise ClusterError(f"no machine has {wanted} for a run: ask for fewer")


def _check_address(address: str) -> None:
    """Ask before Ray does, which waits for minutes."""
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
    """The digits, read once in each process."""
    from ..data.dataset import load_mnist

    return load_mnist()


def prepare(threads: int, gpus: float) -> torch.device:
    """Set a process up for a run: its threads, and its device, a GPU if it asked for one.

    The environment does not tell: where none was asked for, Ray leaves in it what it finds.
    """
    import torch

    from ..training.loop import pick_device

    torch.set_num_threads(threads)
    return pick_device("cuda" if gpus else "cpu")


def train_here(recipe: Recipe, held_out: bool, threads: int, gpus: float) -> dict[str, bytes]:
    """One run, as `mnist-digits train` makes it, in a process of its own: its files by name.

    Files, because the machine may share no folder with the one that asked.

    Args:
        held_out: train without the validation slice, and measure on it.
    """
    from ..data.dataset import split_validation
    from ..training import checkpoint
    from ..training import loop as training

    device = prepare(threads, gpus)
    train, test = (part.to(device) for part in digits())
    kept, validation = split_validation(train) if held_out else (train, None)
    run = training.train(recipe, kept, validation)
    checkpoint.measure(run, kept, test)
    return files_of(run)


def files_of(run: Run) -> dict[str, bytes]:
    """What `checkpoint.save` writes, by the names of the files."""
    from ..training import checkpoint

    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(run, Path(folder))
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def begin(directory: Path, job: dict[str, Any], resume: bool) -> None:
    """Make the folder of a job, or see that it is that of this one, begun before.

    Raises:
        ClusterError: the folder is another job's, or cannot be written.
    """
    file = directory / JOB
    text = json.dumps(job, indent=2, sort_keys=True) + "\n"
    try:
        # Where nothing but the description is, none of it was done: the folder is still free.
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
    """Write one of a job's results, whole or not at all.

    Raises:
        ClusterError: it cannot be written.
    """
    try:
        write_whole(file, (json.dumps(value, indent=2) + "\n").encode())
    except OSError as error:
        raise ClusterError(f"cannot write {file}: {error.strerror}") from error


def last_line(error: BaseException) -> str:
    """What an error says, without the traceback that Ray puts before it."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


def as_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON has it, for a job's description."""
    values: dict[str, Any] = json.loads(recipe.to_json())
    return values
