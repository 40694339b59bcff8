"""Many runs and many pictures on a real Ray, on this machine: the same as one after the other."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gzip
import importlib
import io
import json
import lzma
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import optuna
import psutil
import pyarrow
import pytest
import torch
from command_line import COMMAND, Command, run_process
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

from mnist_digits import (
    BALANCED,
    FAST,
    CheckpointError,
    ClusterError,
    Digits,
    Reader,
    Run,
    load,
    load_mnist,
    train,
)
from mnist_digits.classifier.recipe import Recipe
from mnist_digits.cli.main import build_parser
from mnist_digits.cluster import bulk
from mnist_digits.cluster.bulk import (
    Part,
    _counts,
    find_parts,
    pictures_of,
    read_part,
    read_source,
    share,
)
from mnist_digits.cluster.connection import _check_resources, begin, connected, prepare
from mnist_digits.cluster.study import Study, run_study, sign_flips, verdict
from mnist_digits.cluster.sweep import (
    DEFAULT_SPACE,
    METRIC,
    Trial,
    _distribution,
    _reporter,
    _run_trial,
    _scheduler,
    _trial,
    importance,
    read_space,
    run_sweep,
)
from mnist_digits.plots import study_plots
from mnist_digits.reading.onnx_file import with_checksum
from mnist_digits.reading.reader import MODEL, SHIPPED

# Read when Ray is imported, as `cluster.connected` has it: nodes listen to this machine only.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
# Ray opens files that it leaves to the garbage collector, and forks.
pytestmark = pytest.mark.filterwarnings("ignore")

TINY = dataclasses.replace(FAST, name="tiny", widths=(4, 8), hidden=16, batch_size=500)
PIPES: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
WILD = dataclasses.replace(TINY, name="wild", learning_rate=1000.0, weight_decay=10.0)


def flat(run: Run) -> torch.Tensor:
    return torch.cat([value.double().flatten() for value in run.model.state_dict().values()])


@functools.cache
def trained_alone(seed: int) -> torch.Tensor:
    """The weights that one thread gives, without Ray."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return flat(train(dataclasses.replace(TINY, seed=seed), load_mnist()[0]))
    finally:
        torch.set_num_threads(threads)


def quiet(_: str) -> None:
    """Who is told of the progress here."""


# What needs no Ray


@pytest.mark.parametrize(
    ("count", "quantile"), [(2, 12.706), (5, 2.776), (6, 2.571), (10, 2.262), (30, 2.045)]
)
def test_the_interval_is_that_of_student(count: int, quantile: float) -> None:
    study = study_of("one", [0.98 + 0.0001 * number for number in range(count)])
    reach = quantile * study.deviation / count**0.5
    assert study.interval == pytest.approx((study.mean - reach, study.mean + reach), abs=1e-6)
    assert study_of("same", [0.99, 0.99]).interval == (0.99, 0.99)
    assert study_of("single", [0.99]).interval == (0, 1)


def test_sign_flips_count_what_chance_could_do() -> None:
    assert sign_flips([1.0, 1.0, 1.0]) == 2 / 8
    assert sign_flips([1.0, -1.0]) == 1
    assert sign_flips([0.1] * 10) == 2 / 1024
    many = list(np.random.default_rng(0).normal(0, 1, 30))
    assert sign_flips(many) == sign_flips(many) > 0.05
    # Never 0: what was seen is one of the choices, on either side.
    assert sign_flips([1.0] * 30) == 2 / 100_001


def study_of(name: str, accuracies: list[float]) -> Study:
    recipe = dataclasses.replace(FAST, name=name)
    return Study(recipe, dict(enumerate(accuracies)), [1.0] * len(accuracies), {})


def test_the_verdict_is_in_words() -> None:
    one = study_of("one", [0.991, 0.992, 0.990, 0.993, 0.991, 0.992])
    other = study_of("other", [0.995, 0.996, 0.994, 0.996, 0.995, 0.996])
    assert verdict(one, other).startswith("other is 0.383% better than one (p = 0.0312")
    assert "no difference is shown" in verdict(one, study_of("third", [0.992, 0.991] * 3))
    assert "so few seeds could not show one" in verdict(
        study_of("a", [0.9, 0.9]), study_of("b", [0.99, 0.99])
    )
    low, high = one.interval
    assert low < one.mean < high


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


def test_a_search_space_may_vary_widths(tmp_path: Path) -> None:
    file = tmp_path / "space.json"
    file.write_text('{"widths": {"choices": [[8, 16], [16, 32]]}}')
    assert read_space(file, FAST)["widths"]["choices"] == [[8, 16], [16, 32]]
    with pytest.raises(ClusterError, match="cannot read the search space"):
        read_space(tmp_path / "none.json", FAST)


def test_only_the_cores_that_may_be_used_are_shared_out(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under `taskset -c 0`, on a machine of many cores."""
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    processes = Mock(side_effect=RuntimeError)
    monkeypatch.setattr("mnist_digits.cluster.connection.in_processes", processes)
    with pytest.raises(ClusterError, match="a run can have 1 CPU cores here: ask for fewer"):
        run_study([TINY], [0], tmp_path / "study", cpus=2, report=quiet)
    with pytest.raises(ClusterError, match="cannot work in 1 processes here"):
        read_source(str(archive / "pictures"), tmp_path / "out", report=quiet)
    assert processes.call_args.args[-1] == 1
    ray = Mock(side_effect=RuntimeError)
    monkeypatch.setattr("ray.init", ray)
    with pytest.raises(ClusterError, match="no Ray cluster at this machine"), connected():
        pass
    assert ray.call_args.kwargs["num_cpus"] == 1


@pytest.mark.parametrize(
    "error",
    [RuntimeError("can't start new thread"), BlockingIOError(11, "Resource busy"), MemoryError()],
)
def test_a_machine_that_refuses_processes_is_told_of_in_a_line(
    error: Exception, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with `ulimit -u`, `-n` or `-v`."""
    monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", Mock(side_effect=error))
    with pytest.raises(ClusterError, match=r"cannot work in \d+ processes here .*`ulimit -a`"):
        read_source(str(archive / "pictures"), tmp_path / "out", report=quiet)


def test_two_recipes_of_a_study_have_two_names(tmp_path: Path) -> None:
    other = dataclasses.replace(FAST, epochs=2)
    with pytest.raises(ClusterError, match="two recipes are called fast: change `name` in one"):
        run_study([FAST, other], [0], tmp_path / "study", report=quiet)


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study whose runs have ended as soon as they are asked for."""
    files = {"result.json": b'{"test_accuracy": 0.99, "training_seconds": 1.0}'}
    study = "mnist_digits.cluster.study"
    monkeypatch.setattr(f"{study}.perform", lambda _, runs, *__: ((run, files) for run in runs))


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("name", ["result.json", "_job.json", "distribution.png"])
def test_no_name_of_a_recipe_meets_a_file_of_the_study(name: str, tmp_path: Path) -> None:
    recipe = dataclasses.replace(FAST, name=name)
    (study,) = run_study([recipe], [0], tmp_path, report=quiet)
    assert json.loads((tmp_path / "result.json").read_text())[name]["mean"] == study.mean
    assert not (tmp_path / "distribution.png").exists()


def test_a_folder_belongs_to_one_job(tmp_path: Path) -> None:
    begin(tmp_path / "a", {"read": "none"}, resume=False)  # of which nothing is done
    begin(tmp_path / "a", {"read": "x"}, resume=False)
    (tmp_path / "a" / "part").touch()
    begin(tmp_path / "a", {"read": "x"}, resume=True)
    with pytest.raises(ClusterError, match="is the folder of another job"):
        begin(tmp_path / "a", {"read": "y"}, resume=True)
    with pytest.raises(ClusterError, match="is there already: go on with --resume, or choose"):
        begin(tmp_path / "a", {"read": "x"}, resume=False)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "photo.png").touch()
    with pytest.raises(ClusterError, match="has other things in it"):
        begin(tmp_path / "b", {}, resume=True)


def test_an_address_that_does_not_answer() -> None:
    for address in ("127.0.0.1:9", "nowhere.invalid:6379", "127.0.0.1:many", "6379"):
        with pytest.raises(ClusterError, match="nothing answers at"), connected(address):
            pass


@pytest.fixture(scope="module")
def archive(test_set: Digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures in a folder, a tar and Parquet; one of each is no picture."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "pictures").mkdir()
    contents = [png(image[0].numpy()) for image in test_set.images[:500]] + [b"nonsense"]
    for number, content in enumerate(contents):
        (folder / "pictures" / f"{number:04}.png").write_bytes(content)
    table = pyarrow.table({"id": list(range(501)), "image": contents})
    parquet.write_table(table, folder / "digits.parquet")
    with tarfile.open(folder / "digits.tar", "w") as tar:
        tar.add(folder / "pictures", "pictures")
    return folder


def png(image: np.ndarray[Any, Any]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


def test_sources_are_cut_into_parts(archive: Path, tmp_path: Path) -> None:
    parts = find_parts(str(archive / "pictures"))
    assert [len(part.paths) for part in parts] == [200, 200, 101]
    assert [part.number for part in find_parts(str(archive))] == [0, 1, 2, 3, 4]
    (tmp_path / "link").symlink_to(archive / "pictures")
    assert [len(part.paths) for part in find_parts(str(tmp_path))] == [200, 200, 101]
    assert find_parts(str(archive / "pictures" / "000*.png"))[0].count == 0
    with pytest.raises(ClusterError, match=r"lies in .*, which is written to: choose another"):
        find_parts(str(archive / "pictures"), directory=archive)
    for nothing in (str(archive / "none"), str(archive / "pict*"), ""):
        with pytest.raises(ClusterError, match="there is nothing at"):
            find_parts(nothing)
    with pytest.raises(ClusterError, match="there are no pictures in"):
        find_parts(__file__)
    with pytest.raises(ClusterError, match=r"has the columns id, image: name the one"):
        find_parts(str(archive / "digits.parquet"), "id")


@pytest.mark.parametrize("devices", ["0", "-1"])
def test_the_device_is_that_which_was_asked_for(
    devices: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that of the environment, which Ray hands on where no GPU was asked for."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    monkeypatch.setattr("mnist_digits.classifier.device.pick_device", torch.device)
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)
    assert prepare(1, 0).type == "cpu"
    assert prepare(1, 0.5).type == "cuda"


@pytest.mark.usefixtures("no_ray")
def test_runs_on_a_gpu_and_on_a_cpu_are_not_mixed(tmp_path: Path) -> None:
    run_study([FAST], [0], tmp_path, report=quiet)
    with pytest.raises(ClusterError, match="another job"):
        run_study([FAST], [0], tmp_path, gpus=1, report=quiet)


def test_unavailable_resources_are_refused() -> None:
    """Ray would wait for it."""
    node = {"Alive": True, "Resources": {"CPU": 2.0, "GPU": 1.0}}
    _check_resources([node], 2, 1)
    _check_resources([{"Alive": True, "Resources": {}}, node], 1, 0.25)
    with pytest.raises(ClusterError, match="no machine has 16 CPU cores for a run: ask for fewer"):
        _check_resources([node], 16, 0)
    with pytest.raises(ClusterError, match="no machine has a CPU core and 2 GPUs for a run"):
        _check_resources([node], 1, 2)
    with pytest.raises(ClusterError, match=r"no machine has a CPU core and 0\.5 of a GPU"):
        _check_resources([{**node, "Alive": False}], 1, 0.5)


@pytest.mark.parametrize(
    ("words", "flag", "values"),
    [
        ("study fast", "--gpus-per-run", ["-1", "nan", "inf", "1.5", "one"]),
        ("study fast", "--seeds", ["0-4294967295", "3-1", "9-0,4", "0,0", "-1", ""]),
        (
            "read scans --out out",
            "--shard",
            ["", "3", "0/4", "5/4", "1/0", "-1/4", "1/4/2", "a/b", "1.0/4"],
        ),
    ],
)
def test_invalid_numbers_are_refused_at_once(
    words: str, flag: str, values: list[str], command: Command
) -> None:
    for value in values:
        error = command.refused(*words.split(), f"{flag}={value}")
        assert f"argument {flag}: must be" in error


def test_gpus_are_parts_of_one_or_several() -> None:
    for text, number in (("0", 0), ("0.25", 0.25), ("1", 1), ("4", 4)):
        options = build_parser().parse_args(["study", "fast", "--gpus-per-run", text])
        assert options.gpus_per_run == number


def test_an_output_in_the_source_is_no_source(archive: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(archive / "pictures")
    (archive / "pictures" / "out").mkdir()
    (archive / "pictures" / "out" / "part-000000.parquet").write_bytes(b"an answer")
    try:
        assert sum(len(part.paths) for part in find_parts(".", directory=Path("out"))) == 501
        assert find_parts("**/*", directory=Path("../pictures/out"))[-1].kind == "files"
    finally:
        shutil.rmtree(archive / "pictures" / "out")


def packed(file: Path, members: list[tuple[bytes, str, bytes]]) -> Path:
    """A tar file of members of a type, with a name and a content."""
    with tarfile.open(file, "w:gz" if file.suffix == ".gz" else "w") as tar:
        for kind, name, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, len(content)
            tar.addfile(member, io.BytesIO(content))
    return file


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
@pytest.mark.parametrize("damage", ["header", "zeros", "content"])
def test_a_damaged_archive_is_not_taken_for_a_shorter_one(
    suffix: str, damage: str, tmp_path: Path
) -> None:
    noise = [np.random.default_rng(number).bytes(512) for number in range(40)]
    members = [(tarfile.REGTYPE, f"{n}.png", content) for n, content in enumerate(noise)]
    content = packed(tmp_path / "whole", members).read_bytes()
    values = bytearray(content)
    if damage == "header":
        values[20 * 1024 : 20 * 1024 + 8] = b"\xff" * 8
    elif damage == "zeros":
        values[20 * 1024 : 21 * 1024] = bytes(1024)
    pack: Any = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[suffix]
    damaged = bytearray(pack(bytes(values)))
    if damage == "content":
        middle = len(damaged) // 2 if suffix else 20 * 1024
        damaged[middle : middle + 64] = b"\xff" * 64
    file = tmp_path / f"damaged.tar{suffix}"
    file.write_bytes(damaged)
    with pytest.raises(ClusterError, match="is not a tar file that can be read"):
        find_parts(str(file))
    file.write_bytes(pack(content))
    assert sum(part.count for part in find_parts(str(file))) == 40


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
def test_a_large_value_in_many_rows_is_in_memory_a_few_times(struct: bool, tmp_path: Path) -> None:
    """Its file has some kilobytes."""
    image = bytes(2**20)
    column = [{"bytes": image, "path": ""} if struct else image] * 300
    parquet.write_table(pyarrow.table({"image": column}), tmp_path / "images.parquet")
    del column
    before = pyarrow.total_allocated_bytes()
    for _, content in pictures_of(*find_parts(str(tmp_path / "images.parquet"))):
        assert content == image
        assert pyarrow.total_allocated_bytes() - before < 150 * 2**20


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ([(tarfile.XHDTYPE, "x", bytes(2**21))], "has a header of more than 1,048,576 bytes"),
        ([(tarfile.GNUTYPE_LONGNAME, "x", bytes(2**21))], "a header of more than 1,048,576 bytes"),
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


def test_invalid_archives_are_refused_in_a_few_words(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no archive")
    with pytest.raises(ClusterError) as refused:
        find_parts(str(tmp_path / "a.tar"))
    assert str(refused.value).endswith("that can be read: file could not be opened successfully")


@pytest.mark.parametrize("name", ["digits.tar", "digits.parquet"])
def test_the_parts_of_a_file_are_the_whole(
    name: str, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole,) = find_parts(str(archive / name))
    monkeypatch.setattr("mnist_digits.cluster.bulk.ROWS", 70)
    parts = find_parts(str(archive / name))
    assert [part.count for part in parts] == [70] * 7 + [11]
    assert [one for part in parts for one in pictures_of(part)] == [*pictures_of(whole)]


def test_a_part_of_a_tar_file_is_read_from_where_it_begins(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_digits.cluster.bulk.ROWS", 70)
    file = tmp_path / "digits.tar"
    shutil.copy(archive / "digits.tar", file)
    *_, last = find_parts(str(file))
    expected = [*pictures_of(last)]
    content = bytearray(file.read_bytes())
    content[: last.first] = b"\xff" * last.first  # what would be an error to read
    file.write_bytes(content)
    assert [*pictures_of(last)] == expected


def test_a_part_is_described_as_ever() -> None:
    """A reading that an earlier version began goes on."""
    described = {"number": 3, "kind": "tar", "paths": ["a.tar"], "count": 9, "column": ""}
    part = Part("tar", ["a.tar"], count=9, first=512, number=3)
    assert dataclasses.asdict(part) == {**described, "first": 512}


def test_undecodable_name_is_read(archive: Path, tmp_path: Path) -> None:
    strange = tmp_path / os.fsdecode(b"\xff.png")
    shutil.copy(archive / "pictures" / "0000.png", strange)
    (part,) = find_parts(str(tmp_path))
    assert read_part(pickle.loads(pickle.dumps(part)), tmp_path) == 1  # as for a process
    (row,) = parquet.read_table(tmp_path / part.name).to_pylist()
    assert (row["file"], row["error"]) == (f"{tmp_path}/\\xff.png", None)


def test_invalid_model_is_refused_before_the_reading(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no .*nowhere\.onnx"):
        read_source(str(archive / "pictures"), tmp_path / "out", model=tmp_path / "nowhere.onnx")
    assert not (tmp_path / "out").exists()


def begin_reading(archive: Path, out: Path, model: Path | None = None) -> None:
    """Stopped before the first part."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnist_digits.cluster.bulk.perform", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            read_source(str(archive / "pictures"), out, model=model, report=quiet)


def test_a_reading_goes_on_with_the_same_model_only(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(SHIPPED / MODEL, "mine.onnx")
    begin_reading(archive, tmp_path / "out", Path("mine.onnx"))
    (tmp_path / "out" / "part-000000.parquet").touch()
    job = json.loads((tmp_path / "out" / "_job.json").read_text())
    assert job["model"]["path"] == str(tmp_path / "mine.onnx")
    begin_reading(archive, tmp_path / "out", Path("mine.onnx"))
    changed = Path("mine.onnx").read_bytes().replace(b'"robust"', b'"ROBUST"')
    Path("mine.onnx").write_bytes(with_checksum(changed))
    with pytest.raises(ClusterError, match="another job"):
        read_source(str(archive / "pictures"), tmp_path / "out", model=Path("mine.onnx"))


def test_a_part_that_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "part-000000.parquet").write_bytes(b"no Parquet")
    with pytest.raises(ClusterError, match=r"cannot read .*part-000000\.parquet .*: remove it"):
        _counts(tmp_path, [Part("files", [])])


@pytest.mark.usefixtures("no_ray")
def test_a_result_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"cannot write .*result\.json: Is a directory"):
        run_study([FAST], [0], tmp_path, report=lambda _: (tmp_path / "result.json").mkdir())


def test_only_a_sweep_that_was_begun_is_resumed(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"there is no sweep at .*mistyped: begin one, without"):
        run_sweep(FAST, 4, tmp_path / "mistyped", DEFAULT_SPACE, resume=True, report=quiet)
    assert not (tmp_path / "mistyped").exists()


def test_a_field_is_searched_in_the_numbers_that_it_may_be() -> None:
    shift = _distribution("shift", {"low": 0, "high": 2})
    assert isinstance(shift, optuna.distributions.FloatDistribution)
    hidden = _distribution("hidden", {"low": 8, "high": 64, "log": True})
    assert isinstance(hidden, optuna.distributions.IntDistribution)


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
    scheduler = _scheduler(BALANCED, space)
    assert scheduler._max_t > most
    assert sorted(epoch for epoch, _ in scheduler._brackets[0]._rungs) == compared


def test_a_trial_is_whole_by_its_own_recipe() -> None:
    trials = [
        trial_of({"config": {"epochs": epochs}, "epoch": reached, METRIC: 0.9})
        for epochs, reached in ((5, 5), (20, 20), (20, 6))
    ]
    assert [trial.planned for trial in trials] == [5, 20, 20]
    (axes,) = study_plots.sweep_trials(trials).axes
    points = {str(line.get_label()): len(np.array(line.get_xdata())) for line in axes.lines}
    assert points == {"best so far": 3, "to the end": 2, "stopped early": 1}


def trial_of(metrics: dict[str, Any]) -> Trial:
    return _trial(0, SimpleNamespace(metrics=metrics, config=metrics["config"], error=None), FAST)


def test_a_loss_that_becomes_infinite_ends_a_trial_which_is_not_tried_again(
    mnist: tuple[Digits, Digits],  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports: list[dict[str, Any]] = []
    monkeypatch.setattr("ray.tune.get_checkpoint", lambda: None)
    monkeypatch.setattr("ray.tune.report", lambda values, **_: reports.append(values))
    _run_trial(WILD, 1, 0)
    (report,) = reports
    trial = trial_of({"config": {}, **report})
    assert trial.accuracy is None
    assert "choose a lower one" in trial.error


def test_what_ended_before_a_sweep_was_resumed_is_counted() -> None:
    said: list[str] = []
    ended, latest, running = (
        SimpleNamespace(is_finished=lambda end=end: end, config={}, last_result={METRIC: 0.9})
        for end in (True, False, False)
    )
    reporter = _reporter(said.append, 3)
    reporter.on_trial_complete(iteration=1, trials=[ended, latest, running], trial=latest)
    latest.last_result["error"] = "the loss became inf"
    reporter.on_trial_complete(iteration=1, trials=[ended, latest, running], trial=latest)
    assert said[0].split()[:4] == ["2", "of", "3", "90.00%"]
    assert said[1].split()[:4] == ["2", "of", "3", "failed"]


# What runs on Ray


# A node with a core, on 127.0.0.1 alone.
NODE: dict[str, Any] = {
    "num_cpus": 1,
    "node_ip_address": "127.0.0.1",
    "object_store_memory": 2**27,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster on this machine, of a head and a node with a core each."""
    from ray.cluster_utils import Cluster

    # A node that is killed is missed after 2.5 s, not 15. One that is only slow has 10 s to answer.
    head = {"include_dashboard": False, "_system_config": {"health_check_period_ms": 500}}
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, **head})
    cluster.add_node(**NODE)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def running(cluster: Any) -> str:
    """Its address."""
    return str(cluster.address)


@pytest.fixture(params=["processes", "ray"])
def way(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str | None:
    """Where the work is done: in processes of this machine, for which there is no Ray, or there."""
    if request.param == "ray":
        return str(request.getfixturevalue("running"))
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "ray.py").write_text("raise ImportError('there is no Ray')")
    monkeypatch.syspath_prepend(tmp_path / "path")  # for the processes, too
    monkeypatch.setitem(sys.modules, "ray", None)
    return None


@pytest.mark.slow
def test_a_study_is_what_train_makes(way: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    run_study([TINY], [0], folder, address=way, report=quiet)
    said: list[str] = []
    (study,) = run_study([TINY], [0, 1], folder, address=way, report=said.append)
    assert (said[0], len(said)) == ("1 of 2 runs are there already", 2)
    for seed in (0, 1):
        run = load(folder / "runs" / "tiny" / f"seed-{seed}")
        assert torch.equal(flat(run), trained_alone(seed))
    assert sorted(study.accuracies) == [0, 1]
    assert json.loads((folder / "result.json").read_text())["tiny"]["mean"] == study.mean
    with pytest.raises(ClusterError, match="another job"):
        run_study([FAST], [0], folder, address=way, report=quiet)
    with pytest.raises(ClusterError, match=r"no run of wild came to its end: .*choose a lower"):
        run_study([WILD], [0], tmp_path / "wild", address=way, report=quiet)


@pytest.mark.slow
def test_a_sweep_finds_a_recipe_to_train_by(running: str, tmp_path: Path) -> None:
    space: dict[str, dict[str, Any]] = {
        "learning_rate": {"low": 0.001, "high": 0.1, "log": True},
        "hidden": {"choices": [8]},
        "widths": {"choices": [[4, 8], [8, 8]]},
    }
    recipe = dataclasses.replace(TINY, epochs=3)
    folder = tmp_path / "sweep"
    trials = run_sweep(recipe, 4, folder, space, address=running, report=quiet)
    assert len(trials) == 4
    assert [t.accuracy for t in trials] == sorted((t.accuracy for t in trials), reverse=True)  # type: ignore[type-var]
    best = Recipe.from_json((folder / "best.json").read_text())
    assert best.learning_rate == trials[0].values["learning_rate"]
    assert best.hidden == 8
    assert best.name == "tiny-best"
    assert sum(importance(trials, space).values()) == pytest.approx(1)
    assert len(json.loads((folder / "leaderboard.json").read_text())) == 4
    with pytest.raises(ClusterError, match="is there already"):
        run_sweep(recipe, 4, folder, space, address=running, report=quiet)


@pytest.mark.slow
def test_a_sweep_is_stopped_by_ctrl_c_and_goes_on(running: str, tmp_path: Path) -> None:
    """On a cluster with room for two at a time, and then on a Ray that the command starts."""
    (tmp_path / "tiny.json").write_text(TINY.to_json())
    (tmp_path / "space.json").write_text('{"hidden": {"low": 8, "high": 16}}')
    words = ["sweep", "tiny.json", "--trials", "3", "--name", "x", "--search", "space.json"]
    command = [*COMMAND, *words]
    process = subprocess.Popen([*command, "--address", running], cwd=tmp_path, **PIPES)
    assert process.stdout is not None
    assert "1 of 3" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "stopped; go on with the same command and --name x --resume" in said
    assert not (tmp_path / "sweeps" / "x" / "best.json").exists()

    done = run_process(*words, "--resume", cwd=tmp_path)
    lines = [line for line in done.stdout.splitlines() if " of 3 " in line]
    assert len(lines) < 3
    assert "3 of 3" in lines[-1]
    assert len(json.loads((tmp_path / "sweeps" / "x" / "leaderboard.json").read_text())) == 3


@pytest.mark.slow
def test_all_sources_are_read_as_the_reader_reads(
    archive: Path, way: str | None, tmp_path: Path
) -> None:
    reader, out = Reader.load(), tmp_path / "out"
    readings = [reader.read(archive / "pictures" / f"{n:04}.png") for n in (0, 17, 499)]
    for source in ("pictures", "digits.parquet", "digits.tar"):
        counts = read_source(str(archive / source), out / source, address=way, report=quiet)
        assert counts == {"pictures": 501, "errors": 1}
        rows = sorted(parquet.read_table(out / source).to_pylist(), key=order)
        for number, reading in zip((0, 17, 499), readings, strict=True):
            assert rows[number]["text"] == reading.text
            assert rows[number]["sure"] == reading.sure
            assert rows[number]["digits"][0]["box"] == list(reading.digits[0].box)
        assert [row["file"] for row in rows if row["error"]] == [rows[500]["file"]]
        # Both ways write what a plain call writes, byte for byte.
        written = {file.name: file.read_bytes() for file in (out / source).glob("*.parquet")}
        assert written == read_plainly(archive / source)


@functools.cache
def read_plainly(source: Path) -> dict[str, bytes]:
    """The files of all parts, as plain calls write them."""
    with tempfile.TemporaryDirectory() as folder:
        for part in find_parts(str(source)):
            read_part(part, Path(folder))
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


@pytest.mark.slow
def test_a_part_that_cannot_be_written_ends_the_reading_in_a_line(
    archive: Path, way: str | None, tmp_path: Path
) -> None:
    begin_reading(archive, tmp_path / "out")
    (tmp_path / "out" / "part-000001.parquet").mkdir()
    with pytest.raises(ClusterError, match=r"could not be read or written \(.*Is a directory"):
        read_source(str(archive / "pictures"), tmp_path / "out", address=way, report=quiet)
    (tmp_path / "out" / "part-000001.parquet").rmdir()
    counts = read_source(str(archive / "pictures"), tmp_path / "out", address=way, report=quiet)
    assert counts == {"pictures": 501, "errors": 1}


def order(row: dict[str, Any]) -> tuple[int, str]:
    """By number, whether it is that of a file or of a row."""
    return len(row["file"]), row["file"]


@pytest.mark.slow
def test_a_node_dies_and_nothing_is_lost_or_counted_twice(
    archive: Path, cluster: Any, running: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_digits.cluster.bulk.FILES", 60)
    said: list[str] = []

    def after_the_first(line: str) -> None:
        said.append(line)
        if len(said) == 1:
            # At once, with all that runs on it.
            cluster.remove_node(node, allow_graceful=False)

    node, out = cluster.add_node(**NODE), tmp_path / "out"
    source = str(archive / "pictures")
    assert read_source(source, out, address=running, report=after_the_first)["errors"] == 1
    all_are_read(out)


def all_are_read(out: Path) -> None:
    files = parquet.read_table(out).column("file").to_pylist()
    assert len(set(files)) == len(files) == 501


class Begun:
    """The command that reads 501 pictures, when it has told of a part and is amid the last one.

    It waits for its last picture, which is a pipe at first, and then what is none.
    """

    def __init__(self, archive: Path, folder: Path, way: str | None = None) -> None:
        self.out = folder / "out"
        (folder / "pictures").mkdir()
        for file in sorted((archive / "pictures").iterdir()):
            os.link(file, folder / "pictures" / file.name)
        last = folder / "pictures" / "0500.png"
        last.unlink()
        os.mkfifo(last)
        self.command = [*COMMAND, "read", str(folder / "pictures" / "*.png")]
        self.command += ["--out", str(self.out), *(["--address", way] if way else [])]
        # In a session of its own: Ctrl-C can be sent to it and its processes alone.
        self.process = subprocess.Popen(self.command, start_new_session=True, **PIPES)
        assert self.process.stdout is not None
        assert "of 3 parts" in self.process.stdout.readline()
        self.pipe = self._opened(last)
        (folder / "none").write_bytes(b"nonsense")
        (folder / "none").replace(last)
        self.workers = psutil.Process(self.process.pid).children(recursive=True)

    def _opened(self, pipe: Path) -> int:
        """The pipe to write to, when the command has opened it to read."""
        end = time.monotonic() + 120
        while True:
            try:
                return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody reads
                assert time.monotonic() < end
                time.sleep(0.01)

    def ended(self) -> tuple[str, str]:
        output = self.process.communicate(timeout=120)
        os.close(self.pipe)
        return output

    def went_on(self) -> None:
        """The same command reads what is missing, and nothing twice."""
        done = subprocess.run(self.command, capture_output=True, text=True, check=True)
        assert "of 3 parts are there already" in done.stdout
        self.all_are_read(done.stdout)

    def all_are_read(self, said: str) -> None:
        assert "501 pictures, 1 of them not readable" in said
        all_are_read(self.out)


@pytest.mark.slow
def test_the_driver_is_killed_and_the_reading_goes_on(
    archive: Path, way: str | None, tmp_path: Path
) -> None:
    begun = Begun(archive, tmp_path, way)
    begun.process.kill()
    begun.ended()
    if not way:
        assert not psutil.wait_procs(begun.workers, timeout=60)[1]
    begun.went_on()


@pytest.mark.slow
def test_processes_are_killed_and_nothing_is_lost_or_counted_twice(
    archive: Path, tmp_path: Path
) -> None:
    begun = Begun(archive, tmp_path)
    # The one that is amid the last part, and any other that has not ended.
    for worker in begun.workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            if "spawn_main" in " ".join(worker.cmdline()):
                worker.kill()
    said, errors = begun.ended()
    assert begun.process.returncode == 0, errors
    begun.all_are_read(said)


@pytest.mark.slow
def test_ctrl_c_ends_a_reading_and_its_processes_at_once(archive: Path, tmp_path: Path) -> None:
    begun = Begun(archive, tmp_path)
    os.killpg(begun.process.pid, signal.SIGINT)  # as a terminal sends it
    _, said = begun.ended()
    assert begun.process.returncode == 130
    assert "Traceback" not in said
    assert begun.workers
    assert not psutil.wait_procs(begun.workers, timeout=60)[1]
    assert len(list(begun.out.glob("part-*"))) < 3
    begun.went_on()


def test_a_package_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match="this needs ray: install it, or"):
        run_study([TINY], [0], tmp_path / "a", address="auto", report=quiet)
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ClusterError, match="this needs scipy: install it, or"):
        run_study([TINY], [0], tmp_path / "study", report=quiet)
    assert not (tmp_path / "study").exists()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ClusterError, match="this needs pyarrow: install it, or"):
        importlib.reload(bulk)


@given(st.integers(0, 50), st.integers(1, 60))
def test_the_shares_are_exactly_the_whole(count: int, of: int) -> None:
    parts = list(range(count))
    shares = [share(parts, number, of) for number in range(1, of + 1)]
    assert sorted(part for one in shares for part in one) == parts
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_all_shards_together_read_exactly_the_whole(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By jobs of their own, into one folder or several."""
    monkeypatch.setattr("mnist_digits.cluster.bulk.FILES", 60)
    monkeypatch.setattr("mnist_digits.cluster.bulk.perform", one_by_one)
    source = str(archive / "pictures")
    counts = [
        read_source(source, tmp_path / "out", shard=(number, 4), report=quiet)
        for number in range(1, 5)
    ]
    assert [count["pictures"] for count in counts] == [141, 120, 120, 120]
    assert sum(count["errors"] for count in counts) == 1
    files = parquet.read_table(tmp_path / "out").column("file").to_pylist()
    assert files == sorted(files)
    all_are_read(tmp_path / "out")
    # A job that is given again, and one that takes the whole, have nothing left to do.
    said: list[str] = []
    assert read_source(source, tmp_path / "out", shard=(2, 4), report=said.append) == counts[1]
    assert read_source(source, tmp_path / "out", report=said.append)["pictures"] == 501
    assert said == ["2 of 2 parts are there already", "9 of 9 parts are there already"]
    # More jobs than parts.
    empty = read_source(source, tmp_path / "out", shard=(10, 10), report=quiet)
    assert empty == {"pictures": 0, "errors": 0}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / f"._job.json.{'0' * 32}").touch()  # which another job is just writing
    assert read_source(source, tmp_path / "other", shard=(4, 4), report=quiet) == counts[3]
    names = sorted(file.name for file in (tmp_path / "other").glob("part-*"))
    assert names == ["part-000003.parquet", "part-000007.parquet"]


def one_by_one(work: Any, items: list[Any], *_: Any) -> Iterator[tuple[Any, Any]]:
    """What `perform` does, in this process."""
    return ((item, work(item)) for item in items)
