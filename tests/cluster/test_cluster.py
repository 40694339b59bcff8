"""Many runs and many pictures on a real Ray, on this machine: the same as one after the other."""

from __future__ import annotations

import gzip
import importlib
import io
import json
import lzma
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import psutil
import pyarrow
import pytest
import torch
from command_line import COMMAND, Command
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution, IntDistribution
from PIL import Image
from pyarrow import parquet

from mnist_digits import BALANCED, FAST, CheckpointError, ClusterError, Digits, Reader, load, train
from mnist_digits.classifier.recipe import Recipe
from mnist_digits.cluster import bulk, connection, sweep
from mnist_digits.cluster.bulk import find_parts, pictures_of, read_part, read_source
from mnist_digits.cluster.connection import begin, connected, prepare, set_environment
from mnist_digits.cluster.study import Study, run_study, sign_flips, verdict
from mnist_digits.cluster.sweep import METRIC, Trial, read_space, run_sweep
from mnist_digits.plots import study_plots
from mnist_digits.processes import last_line
from mnist_digits.reading.onnx_file import with_checksum
from mnist_digits.reading.reader import MODEL, SHIPPED

set_environment(here=True)  # before Ray is imported: nodes listen to this machine only
# Ray opens files that it leaves to the garbage collector, and forks.
pytestmark = pytest.mark.filterwarnings("ignore")

TINY = replace(FAST, name="tiny", widths=(2, 4), hidden=8, batch_size=1000)
WILD = replace(TINY, name="wild", learning_rate=1000.0, weight_decay=10.0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the test runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read_json(file: Path) -> Any:
    return json.loads(file.read_text())


def quiet(_: str) -> None:
    """Who is told of the progress here."""


def one_by_one(work: Any, items: list[Any], *_: Any) -> Iterator[tuple[Any, Any]]:
    """What `perform` does, in this process."""
    for item in items:
        try:
            yield item, work(item)
        except Exception as error:
            yield item, last_line(error)


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are read in this process; runs have ended as soon as they are asked for."""
    monkeypatch.setattr(bulk, "perform", one_by_one)
    monkeypatch.setattr("mnist_digits.cluster.study.perform", one_by_one)
    monkeypatch.setattr("mnist_digits.cluster.study.train_here", trained_at_once)


def trained_at_once(run: Recipe, **_: Any) -> dict[str, bytes]:
    if run.seed == 7:
        raise RuntimeError("the loss became inf")
    result = {"test_accuracy": 0.99, "validation_accuracy": 0.98, "training_seconds": 1.0}
    return {"result.json": json.dumps(result).encode()}


# Studies


@pytest.mark.parametrize(("count", "quantile"), [(2, 12.706), (5, 2.776), (30, 2.045)])
def test_the_interval_is_that_of_student(count: int, quantile: float) -> None:
    study = study_of("one", [0.98 + 0.0001 * number for number in range(count)])
    reach = quantile * study.deviation / count**0.5
    assert study.interval == pytest.approx((study.mean - reach, study.mean + reach), abs=1e-6)
    assert study_of("same", [0.99] * count).interval == (0.99, 0.99)
    assert study_of("single", [0.99]).interval == (0, 1)


def study_of(name: str, accuracies: list[float]) -> Study:
    recipe = replace(FAST, name=name)
    return Study(recipe, dict(enumerate(accuracies)), [1.0] * len(accuracies), {})


def test_sign_flips_count_what_chance_could_do() -> None:
    assert sign_flips([1.0, 1.0, 1.0]) == 2 / 8
    assert sign_flips([1.0, -1.0]) == 1
    assert sign_flips([0.1] * 10) == 2 / 1024
    many = list(np.random.default_rng(0).normal(0, 1, 30))
    assert sign_flips(many) == sign_flips(many) > 0.05
    # Never 0: what was seen is one of the choices, on either side.
    assert sign_flips([1.0] * 30) == 2 / 100_001


def test_the_verdict_is_in_words() -> None:
    one = study_of("one", [0.991, 0.992, 0.990, 0.993, 0.991, 0.992])
    other = study_of("other", [0.995, 0.996, 0.994, 0.996, 0.995, 0.996])
    assert verdict(one, other).startswith("other is 0.383% better than one (p = 0.0312")
    assert "no difference is shown" in verdict(one, study_of("third", [0.992, 0.991] * 3))
    few = study_of("a", [0.9, 0.9]), study_of("b", [0.99, 0.99])
    assert "so few seeds could not show one" in verdict(*few)
    assert "too few seeds to compare" in verdict(one, study_of("single", [0.9]))


@pytest.mark.usefixtures("no_processes")
def test_a_study_goes_on_with_the_missing_runs_and_sums_up(tmp_path: Path) -> None:
    said: list[str] = []
    # No name of a recipe meets a file of the study.
    names = ["result.json", "_job.json", "distribution.png"]
    recipes = [replace(FAST, name=name) for name in names]
    run_study(recipes, [0], tmp_path, report=quiet)
    studies = run_study(recipes, [0, 1, 7], tmp_path, report=said.append)
    assert said[0] == "3 of 9 runs are there already"
    assert len(said) == 1 + 6
    assert not (tmp_path / "distribution.png").exists()
    written = read_json(tmp_path / "result.json")
    assert list(written) == [study.recipe.name for study in studies] == names
    assert written["_job.json"]["mean"] == studies[0].mean == 0.99
    assert written["_job.json"]["accuracies"] == {"0": 0.99, "1": 0.99}
    assert written["_job.json"]["failed"] == {"7": "the loss became inf"}
    # A GPU gives other weights than a CPU.
    for other, cpus, gpus in ((recipes[:1], 1, 0), (recipes, 1, 1), (recipes, 2, 0)):
        with pytest.raises(ClusterError, match="another job"):
            run_study(other, [0], tmp_path, cpus=cpus, gpus=gpus, report=quiet)


@pytest.mark.usefixtures("no_processes")
def test_what_a_study_cannot_do_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="two recipes are called fast: change `name` in one"):
        run_study([FAST, replace(FAST, epochs=2)], [0], tmp_path, report=quiet)
    with pytest.raises(ClusterError, match="no run of fast came to its end: the loss became inf"):
        run_study([FAST], [7], tmp_path, report=quiet)
    with pytest.raises(ClusterError, match=r"cannot write .*result\.json: Is a directory"):
        run_study([FAST], [0], tmp_path, report=lambda _: (tmp_path / "result.json").mkdir())


@pytest.mark.usefixtures("no_processes", "here")
def test_the_command_compares_two_recipes(command: Command) -> None:
    words = "study fast --against balanced --seeds 0,3-5 --validation --gpus-per-run 0.25"
    printed = command(*words.split())
    assert "no difference is shown" in printed.out
    folder = Path("studies/fast-balanced")
    assert read_json(folder / "result.json")["fast"]["mean"] == 0.98
    job = read_json(folder / "_job.json")
    assert (job["gpus"], job["held_out"], job["cpus"]) == (True, True, 1)
    assert (folder / "distribution.png").exists()


# What all have in common


def test_only_the_cores_that_may_be_used_are_shared_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under `taskset -c 0`, on a machine of many cores, and with `ulimit -u`, `-n` or `-v`."""
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    with pytest.raises(ClusterError, match="a run can have 1 CPU cores here: ask for fewer"):
        run_study([TINY], [0], tmp_path / "study", cpus=2, report=quiet)
    errors = [RuntimeError("can't start new thread"), BlockingIOError(11, "busy"), MemoryError()]
    monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", Mock(side_effect=errors))
    for _ in errors:
        with pytest.raises(ClusterError, match=r"cannot work in 1 processes here .*`ulimit -a`"):
            run_study([TINY], [0], tmp_path / "other", report=quiet)
    ray = Mock(side_effect=RuntimeError)
    monkeypatch.setattr("ray.init", ray)
    with pytest.raises(ClusterError, match="no Ray cluster at this machine"), connected():
        pass
    assert ray.call_args.kwargs["num_cpus"] == 1


def test_a_folder_belongs_to_one_job(tmp_path: Path) -> None:
    begin(tmp_path / "a", {"read": "none"}, resume=False)  # of which nothing is done
    (tmp_path / "a" / f"._job.json.{'0' * 32}").touch()  # which another process is just writing
    begin(tmp_path / "a", {"read": "x"}, resume=False)
    (tmp_path / "a" / "part").touch()
    begin(tmp_path / "a", {"read": "x"}, resume=True)
    with pytest.raises(ClusterError, match="is the folder of another job"):
        begin(tmp_path / "a", {"read": "y"}, resume=True)
    with pytest.raises(ClusterError, match="is there already: go on with --resume, or choose"):
        begin(tmp_path / "a", {"read": "x"}, resume=False)
    with pytest.raises(ClusterError, match=r"cannot write to .*part/b: Not a directory"):
        begin(tmp_path / "a" / "part" / "b", {}, resume=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "photo.png").touch()
    with pytest.raises(ClusterError, match="has other things in it"):
        begin(tmp_path / "b", {}, resume=True)


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ("study fast", "127.0.0.1:9"),
        ("sweep fast", "nowhere.invalid:6379"),
        ("read 1.png --out out", "127.0.0.1:many"),
        ("read 1.png --out out", "6379"),
    ],
)
def test_an_address_that_does_not_answer(
    words: str, address: str, command: Command, here: Path
) -> None:
    (here / "1.png").touch()
    error = command.refused(*words.split(), "--address", address)
    assert f"nothing answers at '{address}'" in error


@pytest.mark.parametrize("devices", ["0", "-1"])
def test_the_device_is_that_which_was_asked_for(devices: str, monkeypatch: Any) -> None:
    """Not that of the environment, which Ray hands on where no GPU was asked for."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    monkeypatch.setattr("mnist_digits.classifier.device.pick_device", torch.device)
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)
    assert (prepare(1, 0).type, prepare(1, 0.5).type) == ("cpu", "cuda")


def test_unavailable_resources_are_refused() -> None:
    """Ray would wait for it."""
    node = {"Alive": True, "Resources": {"CPU": 2.0, "GPU": 1.0}}
    connection._check_resources([node], 2, 1)
    connection._check_resources([{"Alive": True, "Resources": {}}, node], 1, 0.25)
    with pytest.raises(ClusterError, match="no machine has 16 CPU cores for a run: ask for fewer"):
        connection._check_resources([node], 16, 0)
    with pytest.raises(ClusterError, match="no machine has a CPU core and 2 GPUs for a run"):
        connection._check_resources([node], 1, 2)
    with pytest.raises(ClusterError, match=r"no machine has a CPU core and 0\.5 of a GPU"):
        connection._check_resources([{**node, "Alive": False}], 1, 0.5)


@pytest.mark.parametrize(
    ("words", "flag", "values"),
    [
        ("study fast", "--gpus-per-run", ["-1", "nan", "inf", "1.5", "one"]),
        ("study fast", "--seeds", ["0-4294967295", "3-1", "9-0,4", "0,0", "-1", ""]),
        ("read scans --out out", "--shard", ["", "3", "0/4", "5/4", "-1/4", "1/4/2", "1.0/4"]),
    ],
)
def test_invalid_numbers_are_refused_at_once(
    words: str, flag: str, values: list[str], command: Command
) -> None:
    for value in values:
        error = command.refused(*words.split(), f"{flag}={value}")
        assert f"argument {flag}: must be" in error


def test_a_package_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hidden(package: str) -> Any:
        monkeypatch.setitem(sys.modules, package, None)
        return pytest.raises(ClusterError, match=f"this needs {package}: install it, or")

    with hidden("ray"):
        run_study([TINY], [0], tmp_path / "a", address="auto", report=quiet)
    with hidden("scipy"):
        run_study([TINY], [0], tmp_path / "study", report=quiet)
    with hidden("optuna"):
        run_sweep(TINY, 1, tmp_path / "sweep", sweep.DEFAULT_SPACE, report=quiet)
    assert [folder.name for folder in tmp_path.iterdir()] == ["a"]
    with hidden("pyarrow"):
        importlib.reload(bulk)


# Sweeps


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ({}, "nothing to vary"),
        ({"learning_rate": {"choices": [0.01]}}, "nothing to vary"),
        ({"depth": {"low": 1, "high": 2}}, "no field 'depth'"),
        ({"epochs": {"low": 0, "high": 2}}, "does not fit: epochs must be"),
        ({"epochs": {"low": 3, "high": 1}}, "numbers in this order"),
        ({"shift": {"low": 0, "high": 1, "log": True}}, "above 0 with log"),
        ({"shift": {"choices": []}}, "choices"),
        ([1], "a search space is like"),
    ],
)
def test_invalid_search_spaces_are_refused(space: Any, says: str, tmp_path: Path) -> None:
    file = tmp_path / "space.json"
    file.write_text(json.dumps(space))
    with pytest.raises(ClusterError, match=says):
        read_space(file, FAST)


def test_a_space_and_a_sweep_are_there_to_go_on_with(tmp_path: Path) -> None:
    file = tmp_path / "space.json"
    file.write_text('{"widths": {"choices": [[8, 16], [16, 32]]}}')
    assert read_space(file, FAST) == {"widths": {"choices": [[8, 16], [16, 32]]}}
    space = read_space(None, FAST)
    with pytest.raises(ClusterError, match="cannot read the search space"):
        read_space(tmp_path / "none.json", FAST)
    with pytest.raises(ClusterError, match=r"there is no sweep at .*mistyped: begin one, without"):
        run_sweep(FAST, 4, tmp_path / "mistyped", space, resume=True, report=quiet)
    assert not (tmp_path / "mistyped").exists()


def test_a_field_is_searched_in_the_numbers_that_it_may_be() -> None:
    space = {"shift": {"low": 0, "high": 2}, "hidden": {"low": 8, "high": 64, "log": True}}
    found = sweep._distributions(space)
    assert found == {"shift": FloatDistribution(0, 2), "hidden": IntDistribution(8, 64, log=True)}


@pytest.mark.parametrize(
    ("space", "most", "compared"),
    [
        ({}, 7, [2, 4, 8]),
        ({"epochs": {"low": 5, "high": 20}}, 20, [6, 12]),
        ({"epochs": {"choices": [9, 3]}}, 9, [3, 6]),
    ],
)
def test_trials_are_stopped_by_the_longest_of_them(
    space: Any, most: int, compared: list[int]
) -> None:
    scheduler = sweep._scheduler(BALANCED, space)
    assert scheduler._max_t > most
    assert sorted(epoch for epoch, _ in scheduler._brackets[0]._rungs) == compared
    assert not hasattr(sweep._scheduler(FAST, {}), "_brackets")  # one epoch: none is stopped


def test_the_best_trial_is_the_first(tmp_path: Path) -> None:
    trials = [
        Trial(number, {"hidden": number}, accuracy, 1, 1, seconds=1.0, error="it failed")
        for number, accuracy in enumerate([None, 0.9, 0.95])
    ]
    assert sweep._ranked(trials, tmp_path, FAST) == trials[::-1]
    assert [trial["number"] for trial in read_json(tmp_path / "leaderboard.json")] == [2, 1, 0]
    best = Recipe.from_json((tmp_path / "best.json").read_text())
    assert best == replace(FAST, hidden=2, name="fast-best")
    with pytest.raises(ClusterError, match="no trial came to an end: it failed"):
        sweep._ranked(trials[:1], tmp_path, FAST)


def test_a_trial_that_was_stopped_early_is_shown_as_such() -> None:
    trials = [
        Trial(number, {}, 0.9, epochs, planned, seconds=1.0)
        for number, (epochs, planned) in enumerate([(5, 5), (20, 20), (6, 20)])
    ]
    (axes,) = study_plots.sweep_trials(trials).axes
    points = {str(line.get_label()): len(np.array(line.get_xdata())) for line in axes.lines}
    assert points == {"best so far": 3, "to the end": 2, "stopped early": 1}


def test_the_field_that_matters_is_the_important_one() -> None:
    widths = [[4, 8], [8, 8]]
    space: Any = {"learning_rate": {"low": 0.001, "high": 0.1}, "widths": {"choices": widths}}
    trials = [
        Trial(n, {"learning_rate": 0.004 * n + 0.001, "widths": widths[n % 2]}, n / 24, 1, 1, 1.0)
        for n in range(24)
    ]
    shares = sweep.importance(trials, space)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["learning_rate"] > 0.9
    assert sweep.importance(trials[:3], space) == {}


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What a trial on a few digits reports in this process, with the folder that it saved."""
    reported: list[dict[str, Any]] = []

    def report(values: dict[str, Any], checkpoint: Any = None) -> None:
        saved = checkpoint and shutil.copytree(checkpoint.path, f"{checkpoint.path}-kept")
        reported.append({**values, "saved": saved})

    few = connection.digits()[0][:1000]
    monkeypatch.setattr(sweep, "digits", lambda: (few,))
    monkeypatch.setattr("ray.tune.get_checkpoint", lambda: None)
    monkeypatch.setattr("ray.tune.report", report)
    threads = torch.get_num_threads()
    yield reported
    torch.set_num_threads(threads)


def test_a_trial_goes_on_after_the_last_epoch_that_it_saved(
    reports: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray import tune

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    recipe = replace(TINY, epochs=2, batch_size=100)
    sweep._run_trial(recipe, 1, 0)
    saved = tune.Checkpoint.from_directory(reports[0]["saved"])
    monkeypatch.setattr("ray.tune.get_checkpoint", lambda: saved)
    sweep._run_trial(recipe, 1, 0)
    assert [report["epoch"] for report in reports] == [1, 2, 2]
    assert reports[1][METRIC] == reports[2][METRIC]


def test_a_loss_that_becomes_infinite_ends_a_trial_which_is_not_tried_again(
    reports: list[dict[str, Any]],
) -> None:
    sweep._run_trial(replace(WILD, batch_size=50), 1, 0)
    result = SimpleNamespace(metrics=reports[-1], config={"epochs": 5}, error=None)
    trial = sweep._trial(0, result, FAST)
    assert (len(reports), trial.accuracy, trial.planned) == (1, None, 5)
    assert "choose a lower one" in trial.error


@pytest.mark.parametrize(
    ("event", "status", "result"),
    [("complete", "RUNNING", {"error": "the loss became inf"}), ("error", "ERROR", {})],
)
def test_a_trial_that_failed_is_told_of(event: str, status: str, result: dict[str, Any]) -> None:
    trial = Mock(status=status, ERROR="ERROR", config={"shift": 0.5, "hidden": 8})
    trial.last_result = {METRIC: 0.9, "epoch": 3, **result}
    said: list[str] = []
    tell = getattr(sweep._reporter(said.append, 3), f"on_trial_{event}")
    tell(iteration=1, trials=[trial], trial=trial)
    assert " ".join(said[0].split()) == "1 of 3 failed epoch 3 shift 0.5 hidden 8"


# Readings


@pytest.fixture(scope="module")
def archive(test_set: Digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 101 pictures in a folder, a tar and Parquet; the last of each is none."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "pictures").mkdir()
    contents = [png(image[0].numpy()) for image in test_set.images[:100]] + [b"nonsense"]
    for number, content in enumerate(contents):
        (folder / "pictures" / f"{number:04}.png").write_bytes(content)
    table = pyarrow.table({"id": list(range(101)), "image": contents})
    parquet.write_table(table, folder / "digits.parquet", row_group_size=30)
    with tarfile.open(folder / "digits.tar", "w") as tar:
        tar.add(folder / "pictures", "pictures")
    return folder


def png(image: np.ndarray[Any, Any]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "FILES", 12)
    monkeypatch.setattr(bulk, "ROWS", 40)


def test_sources_are_cut_into_parts(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "again").symlink_to(tmp_path / "source")  # is read once
    for number in range(401):
        (tmp_path / "source" / f"{number}.png").touch()
    assert [len(part.paths) for part in find_parts(str(tmp_path))] == [200, 200, 1]
    assert [part.number for part in find_parts(str(archive))] == [0, 1, 2]
    assert len(find_parts(str(archive / "pictures" / "000*.png"))[0].paths) == 10
    with pytest.raises(ClusterError, match=r"lies in .*, which is written to: choose another"):
        find_parts(str(archive / "pictures"), directory=archive)
    for nothing in (str(archive / "none"), str(archive / "pict*"), ""):
        with pytest.raises(ClusterError, match="there is nothing at"):
            find_parts(nothing)
    with pytest.raises(ClusterError, match="there are no pictures in"):
        find_parts(__file__)
    with pytest.raises(ClusterError, match=r"has the columns id, image: name the one"):
        find_parts(str(archive / "digits.parquet"), "id")
    (tmp_path / "no.parquet").touch()
    with pytest.raises(ClusterError, match=r"no\.parquet is not a Parquet file that can be read"):
        find_parts(str(tmp_path / "no.parquet"))


def test_an_output_in_the_source_is_no_source(here: Path) -> None:
    (here / "out").mkdir()
    for name in ("1.png", "out/part-000000.parquet"):
        (here / name).touch()
    for source, out in ((".", "out"), ("**/*", f"../{here.name}/out")):
        (part,) = find_parts(source, directory=Path(out))
        assert part.paths == [str(here / "1.png")]


def packed(file: Path, members: list[tuple[bytes, str, bytes]]) -> Path:
    """A tar file of members of a type, with a name and a content."""
    with tarfile.open(file, "w:gz" if file.suffix == ".gz" else "w") as tar:
        for kind, name, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, len(content)
            tar.addfile(member, io.BytesIO(content))
    return file


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_a_damaged_archive_is_not_taken_for_a_shorter_one(pack: Any, tmp_path: Path) -> None:
    noise = [np.random.default_rng(number).bytes(512) for number in range(40)]
    members = [(tarfile.REGTYPE, f"{n}.png", content) for n, content in enumerate(noise)]
    content = packed(tmp_path / "whole", members).read_bytes()
    whole, file = pack(content), tmp_path / "pictures.tar"
    middle = len(whole) // 2 // 1024 * 1024
    for damaged in (
        pack(overwritten(content, 20 * 1024, b"\xff" * 8)),  # a header
        pack(overwritten(content, 20 * 1024, bytes(1024))),
        overwritten(whole, middle, b"\xff" * 64),
    ):
        file.write_bytes(damaged)
        with pytest.raises(ClusterError, match="is not a tar file that can be read"):
            find_parts(str(file))
    file.write_bytes(whole)
    assert sum(part.count for part in find_parts(str(file))) == 40


def overwritten(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ([(tarfile.XHDTYPE, "x", bytes(2**21))], "has a header of more than 1,048,576 bytes"),
        ([(tarfile.GNUTYPE_LONGNAME, "x", bytes(2**19))] * 3, "a header of more than 1,048,576 b"),
        ([(tarfile.GNUTYPE_LONGNAME, "x", b"name\0")] * 2_000, "is not a tar file"),
    ],
)
def test_the_headers_of_an_archive_do_not_take_all_memory(
    headers: list[tuple[bytes, str, bytes]], says: str, tmp_path: Path
) -> None:
    before, after = ((tarfile.REGTYPE, name, b"x") for name in ("a.png", "b.png"))
    file = packed(tmp_path / "headers.tar.gz", [before, *headers, after])
    with pytest.raises(ClusterError, match=says):
        find_parts(str(file))


def test_a_compressed_archive_is_one_whatever_its_name(tmp_path: Path) -> None:
    """It is read from its start."""
    folder, picture = (tarfile.DIRTYPE, "folder", b""), (tarfile.REGTYPE, "folder/1.png", b"one")
    file = packed(tmp_path / "pictures.tar.gz", [folder, picture]).rename(tmp_path / "pictures.tar")
    assert [content for _, content in pictures_of(*find_parts(str(file)))] == [b"one"]
    file.write_bytes(b"no archive")
    with pytest.raises(ClusterError, match=r"can be read: file could not be opened successfully$"):
        find_parts(str(file))


@pytest.mark.parametrize("name", ["pictures.tar", "pictures.tar.gz", "pictures.parquet"])
def test_a_picture_that_is_too_large_is_an_error_and_the_others_are_read(
    name: str, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_digits.reading.documents.MAXIMUM_BYTES", 1000)
    small = (archive / "pictures" / "0000.png").read_bytes()
    contents, file = [small, bytes(100_000), small], tmp_path / name
    if file.suffix == ".parquet":
        parquet.write_table(pyarrow.table({"image": contents}), file)
    else:
        packed(file, [(tarfile.REGTYPE, f"{i}.png", one) for i, one in enumerate(contents)])
        taken = [len(content) for _, content in pictures_of(*find_parts(str(file)))]  # type: ignore[arg-type]
        assert taken == [len(small), 1001, len(small)]
    (part,) = find_parts(str(file))
    assert read_part(part, tmp_path) == 3
    errors = parquet.read_table(tmp_path / part.name).column("error").to_pylist()
    assert errors == [None, "the picture has more than 1,000 bytes", None]


@pytest.mark.parametrize("struct", [False, True])
def test_a_large_value_in_many_rows_is_in_memory_a_few_times(
    struct: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file has some kilobytes."""
    monkeypatch.setattr(bulk, "BATCH", 2**20)
    value = {"bytes": bytes(2**18), "path": ""} if struct else bytes(2**18)
    parquet.write_table(pyarrow.table({"image": [value] * 200}), tmp_path / "images.parquet")
    before = pyarrow.total_allocated_bytes()
    for _, content in pictures_of(*find_parts(str(tmp_path / "images.parquet"))):
        assert content == bytes(2**18)
        assert pyarrow.total_allocated_bytes() - before < 5 * 2**20


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("name", ["digits.tar", "digits.parquet"])
def test_the_parts_of_a_file_are_the_whole(name: str, archive: Path, tmp_path: Path) -> None:
    file = tmp_path / name
    shutil.copy(archive / name, file)
    first, *others = find_parts(str(file))
    assert [part.count for part in (first, *others)] == [40, 40, 21]
    whole = [*pictures_of(replace(first, count=101))]
    assert len({name for name, _ in whole}) == 101
    assert [one for part in (first, *others) for one in pictures_of(part)] == whole
    if name.endswith(".tar"):  # a part is read from where it begins
        begins = others[0].first
        file.write_bytes(overwritten(file.read_bytes(), 0, b"\xff" * begins))
        assert [one for part in others for one in pictures_of(part)] == whole[40:]


def test_a_part_is_described_as_ever() -> None:
    """A reading that an earlier version began goes on."""
    described = {"number": 3, "kind": "tar", "paths": ["a.tar"], "count": 9, "column": ""}
    part = bulk.Part("tar", ["a.tar"], count=9, first=512, number=3)
    assert asdict(part) == {**described, "first": 512}


def test_undecodable_name_is_read(archive: Path, tmp_path: Path) -> None:
    strange = tmp_path / os.fsdecode(b"\xff.png")
    shutil.copy(archive / "pictures" / "0000.png", strange)
    (part,) = find_parts(str(tmp_path))
    assert read_part(pickle.loads(pickle.dumps(part)), tmp_path) == 1  # as for a process
    (row,) = parquet.read_table(tmp_path / part.name).to_pylist()
    assert (row["file"], row["error"]) == (f"{tmp_path}/\\xff.png", None)


def test_a_reading_goes_on_with_the_same_model_only(
    archive: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "perform", Mock(side_effect=RuntimeError("stopped")))
    read = partial(read_source, str(archive / "pictures"), Path("out"), report=quiet)
    with pytest.raises(CheckpointError, match=r"there is no .*nowhere\.onnx"):
        read(model=Path("nowhere.onnx"))
    assert not Path("out").exists()
    shutil.copy(SHIPPED / MODEL, "mine.onnx")
    for _ in range(2):  # it is begun, and goes on
        with pytest.raises(RuntimeError, match="stopped"):
            read(model=Path("mine.onnx"))
        Path("out/part-000001.parquet").touch()
    job = read_json(Path("out/_job.json"))
    assert job["model"]["path"] == str(here / "mine.onnx")
    changed = Path("mine.onnx").read_bytes().replace(b'"robust"', b'"ROBUST"')
    Path("mine.onnx").write_bytes(with_checksum(changed))
    with pytest.raises(ClusterError, match="another job"):
        read(model=Path("mine.onnx"))


@pytest.mark.usefixtures("no_processes")
def test_a_part_that_cannot_be_written_or_is_damaged_ends_the_reading_in_a_line(
    archive: Path, tmp_path: Path
) -> None:
    read = partial(read_source, str(archive / "pictures"), tmp_path, report=quiet)
    assert read() == {"pictures": 101, "errors": 1}
    part = tmp_path / "part-000000.parquet"
    part.unlink()
    part.mkdir()
    with pytest.raises(ClusterError, match=r"could not be read or written \(.*Is a directory"):
        read()
    part.rmdir()
    part.write_bytes(b"no Parquet")
    with pytest.raises(ClusterError, match=r"cannot read .*part-000000\.parquet.*: remove that"):
        read()


@given(st.integers(0, 50), st.integers(1, 60))
def test_the_shares_are_exactly_the_whole(count: int, of: int) -> None:
    parts = list(range(count))
    shares = [bulk.share(parts, number, of) for number in range(1, of + 1)]
    assert sorted(part for one in shares for part in one) == parts
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.usefixtures("no_processes", "small_parts")
def test_all_shards_together_read_exactly_the_whole(archive: Path, tmp_path: Path) -> None:
    """By jobs of their own."""
    said: list[str] = []
    read = partial(read_source, str(archive / "pictures"), tmp_path, report=said.append)
    counts = [read(shard=(number, 4)) for number in range(1, 5)]
    assert [count["pictures"] for count in counts] == [29, 24, 24, 24]
    assert sum(count["errors"] for count in counts) == 1
    files = parquet.read_table(tmp_path).column("file").to_pylist()
    assert files == sorted(set(files))
    # A job that is given again, and one that takes the whole, have nothing left to do.
    said.clear()
    assert read(shard=(2, 4)) == counts[1]
    assert read() == {"pictures": 101, "errors": 1}
    assert said == ["2 of 2 parts are there already", "9 of 9 parts are there already"]
    assert read(shard=(10, 10)) == {"pictures": 0, "errors": 0}  # more jobs than parts


# In other processes, and on Ray


# A node with a core, on 127.0.0.1 alone.
NODE: Any = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 2**27}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster on this machine, of one node at first."""
    from ray.cluster_utils import Cluster

    # A node that is killed is missed after 2.5 s, not 15. One that is only slow has 10 s to answer.
    head = {"include_dashboard": False, "_system_config": {"health_check_period_ms": 500}}
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, **head})
    yield cluster
    cluster.shutdown()


@pytest.fixture(params=["processes", "ray"])
def way(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Where work is done: on the cluster, or None: in processes here, for which there is no Ray."""
    if request.param == "ray":
        return request.getfixturevalue("cluster")
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "ray.py").write_text("raise ImportError('there is no Ray')")
    monkeypatch.syspath_prepend(tmp_path / "path")  # for the processes, too
    monkeypatch.setitem(sys.modules, "ray", None)
    return None


@pytest.fixture(scope="module")
def trained_alone(training_set: Digits) -> dict[str, torch.Tensor]:
    """The weights that one thread gives."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    weights = train(TINY, training_set).model.state_dict()
    torch.set_num_threads(threads)
    return weights


@pytest.mark.slow
def test_a_study_is_what_train_makes(
    way: Any, trained_alone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the line of what fails is the run's own."""
    monkeypatch.setattr(connection, "usable_cores", lambda: 1)  # one process trains both
    with pytest.raises(ClusterError, match=r"no run of wild came to its end: .*choose a lower"):
        run_study([TINY, WILD], [0], tmp_path / "study", address=way and way.address, report=quiet)
    weights = load(tmp_path / "study" / "runs" / "tiny" / "seed-0").model.state_dict()
    torch.testing.assert_close(weights, trained_alone, rtol=0, atol=0)


SAID: list[str] = []


def stop_at_the_first(line: str) -> None:
    """Ctrl-C, when the first trial has ended. Tune keeps this function, to go on with it."""
    SAID.append(line)
    if len(SAID) == 1:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_a_sweep_is_stopped_by_ctrl_c_and_goes_on_to_a_recipe_to_train_by(
    cluster: Any, command: Command
) -> None:
    space: Any = {
        "epochs": {"choices": [3]},
        "learning_rate": {"low": 0.001, "high": 0.1},
        "widths": {"choices": [[2, 4], [4, 4]]},
    }
    Path("tiny.json").write_text(TINY.to_json())
    Path("space.json").write_text(json.dumps(space))
    folder, address = Path("sweeps/x"), cluster.address
    with pytest.raises(KeyboardInterrupt, match="go on with the same command and --name x --resum"):
        run_sweep(TINY, 2, folder, space, address=address, report=stop_at_the_first)
    assert "1 of 2" in SAID[0]
    assert not (folder / "best.json").exists()
    stopped = len(SAID)
    words = ["sweep", "tiny.json", "--trials", 2, "--name", "x", "--search", "space.json"]
    words += ["--address", address]
    assert "already: go on with --resume" in command.refused(*words)

    printed = command(*words, "--resume")
    assert len(SAID) - stopped == 1
    assert "2 of 2" in SAID[-1]
    assert "--recipe sweeps/x/best.json" in printed.out
    board = read_json(folder / "leaderboard.json")
    assert {trial["number"]: trial["planned"] for trial in board} == {0: 3, 1: 3}
    assert board[0]["accuracy"] >= board[1]["accuracy"] > 0.2
    best = Recipe.from_json((folder / "best.json").read_text())
    assert best == replace(TINY, **board[0]["values"], name="tiny-best")
    assert {file.name for file in folder.glob("*.png")} == {"fields.png", "trials.png"}


@pytest.mark.slow
@pytest.mark.usefixtures("small_parts")
def test_a_node_or_processes_die_and_a_reading_is_as_plain_calls_write_it(
    archive: Path, way: Any, tmp_path: Path
) -> None:
    """Folder, Parquet and tar, byte for byte; nothing is lost or counted twice."""
    out, plain = tmp_path / "out", tmp_path / "plain"
    said: list[str] = []

    def after_the_first(line: str) -> None:
        said.append(line)
        if len(said) > 1:
            return
        if way:  # at once, with all that runs on it
            way.remove_node(node, allow_graceful=False)
        for process in multiprocessing.active_children():
            process.kill()

    node = way and way.add_node(**NODE)
    counts = read_source(str(archive), out, address=way and way.address, report=after_the_first)
    assert counts == {"pictures": 303, "errors": 3}
    plain.mkdir()
    for part in find_parts(str(archive)):
        read_part(part, plain)
    files = sorted(plain.iterdir())
    assert len(files) == 9 + 3 + 3
    for file in files:
        assert (out / file.name).read_bytes() == file.read_bytes()
    rows = parquet.read_table(plain).to_pylist()
    assert len({row["file"] for row in rows}) == 303
    for row, number in ((rows[17], 17), (rows[101 + 99], 99), (rows[202 + 0], 0)):
        reading = Reader.load().read(archive / "pictures" / f"{number:04}.png")
        assert (row["text"], row["sure"]) == (reading.text, reading.sure)
        assert row["digits"][0]["box"] == list(reading.digits[0].box)
    assert [bool(row["error"]) for row in rows] == [*[False] * 100, True] * 3


@pytest.mark.slow
@pytest.mark.usefixtures("no_processes")  # those of the second command
@pytest.mark.parametrize("killed", [False, True])
def test_a_reading_that_is_stopped_ends_its_processes_and_goes_on(
    killed: bool, archive: Path, command: Command, tmp_path: Path
) -> None:
    """By Ctrl-C, or killed, when one part is there and the other waits for its last picture."""
    (tmp_path / "pictures").mkdir()
    for number in range(200):
        os.link(archive / "pictures" / "0000.png", tmp_path / "pictures" / f"{number:04}.png")
    pipe = tmp_path / "pictures" / "0200.png"
    os.mkfifo(pipe)
    words = ["read", str(tmp_path / "pictures" / "*.png"), "--out", str(tmp_path / "out")]
    # In a session of its own: Ctrl-C can be sent to it and its processes alone.
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([*COMMAND, *words], start_new_session=True, **pipes)
    assert process.stdout is not None
    assert "1 of 2 parts" in process.stdout.readline()
    end = opened(pipe)
    workers = psutil.Process(process.pid).children(recursive=True)
    if killed:
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
    _, said = process.communicate(timeout=120)
    assert process.returncode == (-signal.SIGKILL if killed else 130)
    assert "Traceback" not in said
    assert workers
    assert not psutil.wait_procs(workers, timeout=60)[1]
    os.close(end)
    assert [file.name for file in (tmp_path / "out").glob("part-*")] == ["part-000000.parquet"]
    pipe.unlink()
    pipe.write_bytes(b"nonsense")
    printed = command(*words)
    assert "1 of 2 parts are there already" in printed.out
    assert "201 pictures, 1 of them not readable" in printed.out


def opened(pipe: Path) -> int:
    """The pipe to write to, when somebody has opened it to read."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with suppress(OSError):
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.01)
    raise TimeoutError(f"nobody reads {pipe}")
