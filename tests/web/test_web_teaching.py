"""What the page keeps and learns from: real connections, folders and processes."""

from __future__ import annotations

import csv
import io
import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import page
from PIL import Image
from real_server import serving, shipped
from test_server import SEVEN, frame, png

from mnist_digits import PictureError, Reader, ServerError
from mnist_digits.command.cli import main
from mnist_digits.reading.labelled import find_labelled
from mnist_digits.reading.reader import SHIPPED
from mnist_digits.training.teaching import workers
from mnist_digits.web import examples
from mnist_digits.web.examples import LABEL, MAXIMUM_EXAMPLES, with_row
from mnist_digits.web.teaching import Teaching, base_run

ONE, TWO = (png(page([(frame(place), 150, 80, 120)])) for place in (1, 2))


@contextmanager
def taught(
    folder: Path, reader: Reader | None = None, model: Path | None = None
) -> Iterator[httpx.Client]:
    """A client of a server that keeps its examples in this folder."""
    teaching = Teaching(folder, reader or shipped(), model)
    try:
        with (
            serving(teaching=teaching) as port,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
        ):
            yield client
    finally:
        teaching.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    with taught(tmp_path / "hand") as client:
        yield client


def keep(client: httpx.Client, picture: bytes, label: str, **more: Any) -> httpx.Response:
    return client.post("/api/teach/examples", params={"label": label}, content=picture, **more)


def rows(folder: Path) -> list[tuple[str, str]]:
    return [(picture.path.name, picture.label) for picture in find_labelled(folder)]


def test_without_a_folder_nothing_is_kept() -> None:
    with serving() as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        for answer in (
            client.get("/api/teach"),
            client.post("/api/teach"),
            keep(client, SEVEN, "7"),
            client.delete("/api/teach/network"),
        ):
            assert answer.status_code == 404
            assert "--teach FOLDER" in answer.json()["error"]
        assert client.get("/api/model").json()["teach"] is False


def test_examples_are_ordinary_labelled_pictures(client: httpx.Client, tmp_path: Path) -> None:
    folder = tmp_path / "hand"
    state = client.get("/api/teach").json()
    assert (state["enabled"], state["folder"], state["examples"]) == (True, "hand", 0)
    assert (state["state"], state["network"], state["before"]) == ("idle", None, 0)
    assert client.get("/api/model").json()["teach"] is True
    photo = io.BytesIO()
    Image.open(io.BytesIO(SEVEN)).convert("RGB").save(photo, "JPEG", quality=95)
    answers = [
        keep(client, SEVEN, "7"),
        keep(client, photo.getvalue(), "12/34"),
        client.post("/api/teach/examples", files={"file": ("one.png", ONE)}, data={"label": "0"}),
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    files = [answer.json()["file"] for answer in answers]
    assert rows(folder) == list(zip(files, ("7", "12/34", "0"), strict=True))
    assert [(folder / file).read_bytes() for file in files] == [SEVEN, photo.getvalue(), ONE]
    assert [Path(file).suffix for file in files] == [".png", ".jpeg", ".png"]
    assert client.get("/api/teach").json()["examples"] == 3
    assert main(["evaluate", "--pictures", str(folder), "--no-figures"]) == 0


def test_what_the_page_sends_is_kept_as_png(client: httpx.Client, tmp_path: Path) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(SEVEN)).convert("L"))
    height, width = pixels.shape
    greymap = f"P5 {width} {height} 255\n".encode() + pixels.tobytes()
    name = keep(client, greymap, "7").json()["file"]
    stored = tmp_path / "hand" / name
    assert stored.read_bytes().startswith(b"\x89PNG")
    assert (np.asarray(Image.open(stored)) == pixels).all()


def test_the_same_picture_changes_its_label(client: httpx.Client, tmp_path: Path) -> None:
    first, other = keep(client, SEVEN, "7").json(), keep(client, ONE, "1").json()
    again = keep(client, SEVEN, "2").json()
    assert (again["file"], again["examples"]) == (first["file"], 2)
    assert rows(tmp_path / "hand") == [(other["file"], "1"), (first["file"], "2")]


@pytest.mark.parametrize(
    "table",
    [
        b"file,label,kind\na.png,7,photo\n",
        b"\xef\xbb\xbflabel,file\r\n7,a.png",
        b'file,label,"a note"\n"odd, name.png",7,"of two\nlines"\n\n',
    ],
)
def test_a_table_of_the_users_is_kept(table: bytes, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(table)
    before = rows(tmp_path)
    with taught(tmp_path) as client:
        assert client.get("/api/teach").json()["examples"] == 1
        name = keep(client, SEVEN, "7").json()["file"]
        keep(client, SEVEN, "1")
    assert rows(tmp_path) == [*before, (name, "1")]
    assert (tmp_path / "labels.csv").read_bytes().startswith(table)


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=12)


@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=5),
    st.from_regex(LABEL, fullmatch=True),
    st.sampled_from(["\n", "\r\n"]),
)
def test_any_table_keeps_its_rows(cells: list[tuple[str, str, str]], label: str, end: str) -> None:
    table = io.StringIO()
    csv.writer(table, lineterminator=end).writerows([("kind", "file", "label"), *cells])
    text = with_row(with_row(table.getvalue(), "drawn-0.png", "1"), "drawn-0.png", label)
    assert text.startswith(table.getvalue())
    read = list(csv.reader(io.StringIO(text, newline="")))
    before = list(csv.reader(io.StringIO(table.getvalue(), newline="")))
    assert read == [*before, ["", "drawn-0.png", label]]


@pytest.mark.parametrize(
    "label", ["", "seven", "7 ", "/7", "7/", "1//2", "-1", "٣", "7\n", "1" * 2001]
)
def test_labels_are_digits(label: str, client: httpx.Client, tmp_path: Path) -> None:
    answer = keep(client, SEVEN, label)
    assert (answer.status_code, answer.json()["error"][:5]) == (422, "label")
    assert list((tmp_path / "hand").iterdir()) == []


def test_what_is_no_picture_is_not_kept(client: httpx.Client, tmp_path: Path) -> None:
    assert client.post("/api/teach/examples", content=SEVEN).status_code == 422
    assert client.post("/api/teach/examples?label=7&lable=1", content=SEVEN).status_code == 422
    assert keep(client, b"seven", "7").status_code == 422
    assert keep(client, b"%PDF-1.7", "7").status_code == 415
    assert keep(client, SEVEN, "7", headers={"content-type": "text/plain"}).status_code == 415
    assert keep(client, bytes(20_000_001), "7").status_code == 413
    assert list((tmp_path / "hand").iterdir()) == []


def test_the_pages_of_others_change_nothing(client: httpx.Client, tmp_path: Path) -> None:
    own = f"http://{client.base_url.netloc.decode()}"
    for headers in (
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": own},
    ):
        for answer in (
            keep(client, SEVEN, "7", headers=headers),
            client.post("/api/teach", headers=headers),
            client.delete("/api/teach/network", headers=headers),
        ):
            assert answer.status_code == 403
    assert list((tmp_path / "hand").iterdir()) == []
    for headers in ({"origin": own}, {"origin": own, "sec-fetch-site": "same-origin"}):
        assert keep(client, SEVEN, "7", headers=headers).status_code == 201


def test_others_reach_what_is_kept_only_by_the_servers_names(tmp_path: Path) -> None:
    teaching = Teaching(tmp_path, shipped())
    try:
        with serving(teaching=teaching, host="0.0.0.0") as port:
            url = f"http://127.0.0.1:{port}/api/teach/examples?label=7"
            for host, status in (("10.0.0.7:8000", 201), ("rebound.example", 421)):
                headers = {"host": host, "origin": f"http://{host}"}
                answer = httpx.post(url, content=SEVEN, headers=headers, timeout=60)
                assert answer.status_code == status
    finally:
        teaching.close()


def test_so_many_are_kept_and_no_more(tmp_path: Path) -> None:
    with taught(tmp_path) as client:
        name = keep(client, SEVEN, "7").json()["file"]
        many = "".join(f"{number}.png,1\n" for number in range(MAXIMUM_EXAMPLES - 1))
        with (tmp_path / "labels.csv").open("a") as table:
            table.write(many)
        answer = keep(client, ONE, "1")
        assert (answer.status_code, "10,000" in answer.json()["error"]) == (507, True)
        assert sorted(path.name for path in tmp_path.iterdir()) == [name, "labels.csv"]
        # What is kept can still be corrected.
        assert keep(client, SEVEN, "1").status_code == 201


def test_so_many_bytes_are_kept_and_no_more(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "MAXIMUM_BYTES", len(SEVEN) + len(ONE))
    assert [keep(client, picture, "7").status_code for picture in (SEVEN, ONE)] == [201, 201]
    answer = keep(client, TWO, "2")
    assert (answer.status_code, "GB are kept" in answer.json()["error"]) == (507, True)
    assert keep(client, SEVEN, "1").status_code == 201
    # What the page did not write does not count, and runs count for themselves.
    (tmp_path / "hand" / "photo.png").write_bytes(bytes(len(TWO)))
    assert keep(client, ONE, "1").status_code == 201
    run = tmp_path / "hand" / "runs" / "2026-01-02_03-04-05-taught"
    run.mkdir(parents=True)
    (run / "model.onnx").write_bytes(bytes(len(SEVEN) + len(ONE) + 1))
    answer = client.post("/api/teach")
    assert (answer.status_code, "GB are kept" in answer.json()["error"]) == (507, True)


def test_a_full_disk_leaves_all_as_it_was(tmp_path: Path) -> None:
    """Files may not grow beyond some size: the picture is small enough, the table is not."""
    before = "file,label\n" + "".join(f"{number:0100}.png,1\n" for number in range(2000))
    (tmp_path / "labels.csv").write_text(before)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with taught(tmp_path) as client:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, limits[1]))
        try:
            answer = keep(client, SEVEN, "7")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert (answer.status_code, answer.json()["error"][:19]) == (507, "this cannot be kept")
        assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]
        assert (tmp_path / "labels.csv").read_text() == before
        assert keep(client, SEVEN, "7").status_code == 201


def test_a_table_that_was_spoilt_meanwhile(client: httpx.Client, tmp_path: Path) -> None:
    table = tmp_path / "hand" / "labels.csv"
    for content, reason in ((b"name\na\n", "columns"), (b'file,label\na,"7', "never closed")):
        table.write_bytes(content)
        answer = keep(client, SEVEN, "7")
        assert (answer.status_code, reason in answer.json()["error"]) == (422, True)
        assert answer.json()["error"].startswith("hand/labels.csv")
        assert table.read_bytes() == content
    table.unlink()
    table.mkdir()
    assert keep(client, SEVEN, "7").status_code == 507
    assert client.get("/api/teach").status_code == 507
    assert [path.name for path in (tmp_path / "hand").iterdir()] == ["labels.csv"]


def refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["app", "--no-browser", "--port", "0", "--teach", str(folder)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mnist-digits app: error: ")
    assert error.count("\n") == 1
    return error


def test_folders_that_are_refused_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sorted" / "7").mkdir(parents=True)
    (tmp_path / "sorted" / "7" / "a.png").write_bytes(SEVEN)
    assert "list them in one with file,label" in refused(tmp_path / "sorted", capsys)
    assert not (tmp_path / "sorted" / "labels.csv").exists()
    (tmp_path / "file").write_bytes(SEVEN)
    assert "examples cannot be kept in" in refused(tmp_path / "file", capsys)
    assert "examples cannot be kept in" in refused(tmp_path / "file" / "hand", capsys)
    (tmp_path / "labels.csv").write_text("name,digit\na.png,7\n")
    assert "must have the columns file and label" in refused(tmp_path, capsys)
    (tmp_path / "labels.csv").write_bytes(b"file,label\n\xff,7\n")
    assert "is not in UTF-8: save it as CSV" in refused(tmp_path, capsys)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc")
def test_a_folder_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert "choose a folder that you can write to" in refused(Path("/proc/self"), capsys)


def test_a_folder_has_one_server(client: httpx.Client, tmp_path: Path) -> None:  # noqa: ARG001
    with pytest.raises(ServerError, match="in use by another page"):
        Teaching(tmp_path / "hand", shipped())


def test_another_page_touches_nothing_before_it_is_refused(
    client: httpx.Client,  # noqa: ARG001
    tmp_path: Path,
) -> None:
    being_written = tmp_path / "hand" / f".labels.csv.{32 * '0'}"
    being_written.touch()
    with pytest.raises(ServerError, match="in use by another page"):
        Teaching(tmp_path / "hand", shipped())
    assert being_written.exists()


def test_folders_of_other_pictures_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a.png").write_bytes(SEVEN)
    with taught(tmp_path) as client:
        assert keep(client, SEVEN, "7").status_code == 201


def test_too_few_to_learn_from_and_nothing_to_go_back_to(client: httpx.Client) -> None:
    keep(client, SEVEN, "7")
    assert client.post("/api/teach").status_code == 422
    assert client.delete("/api/teach/network").status_code == 409
    assert client.get("/api/teach").json()["state"] == "idle"


def test_what_is_taught_is_the_run_of_the_model(tmp_path: Path) -> None:
    assert base_run(None) == base_run(tmp_path) == base_run(tmp_path / "model.onnx") == SHIPPED
    (tmp_path / "model.safetensors").touch()
    assert base_run(tmp_path) == base_run(tmp_path / "model.onnx") == tmp_path
    assert base_run(tmp_path / "other.onnx") == SHIPPED


def test_unfinished_runs_are_removed_and_others_are_not(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in ("2026-01-02_03-04-05-taught", "2026-01-02_03-04-05-taught-2", "2026-fast"):
        (runs / name).mkdir(parents=True)
        (runs / name / "model.safetensors").touch()
    (runs / "2026-01-02_03-04-05-taught-2" / "result.json").touch()
    with taught(tmp_path):
        left = sorted(path.name for path in runs.iterdir())
    assert left == ["2026-01-02_03-04-05-taught-2", "2026-fast"]


@pytest.mark.parametrize("result", [None, b"{", b"[]", b"{}", b'{"teaching": 7}'])
def test_a_run_whose_result_is_damaged(result: bytes | None, tmp_path: Path) -> None:
    """Nothing that is said of it has this machine's folders in it."""
    name = "2026-01-02_03-04-05-taught"
    (tmp_path / "runs" / name).mkdir(parents=True)
    shutil.copy(SHIPPED / "model.onnx", tmp_path / "runs" / name)
    if result:
        (tmp_path / "runs" / name / "result.json").write_bytes(result)
    (tmp_path / "network.json").write_text(json.dumps({"runs": [name]}))
    with taught(tmp_path) as client:
        state = client.get("/api/teach").json()
        assert f"{tmp_path.name}/runs/{name}" in state["notice"]
        assert str(tmp_path) not in json.dumps(state)


def test_the_folders_of_this_machine_are_not_told(tmp_path: Path) -> None:
    teaching = Teaching(tmp_path / "my hand", shipped(), tmp_path)
    teaching.close()
    for message, told in (
        (f"there is no {tmp_path}/my hand/a.png: choose", "there is no my hand/a.png: choose"),
        ("cannot use '/var/cache/digits/train.gz': 12/34", "cannot use 'train.gz': 12/34"),
        ("C:\\Users\\anna\\x.csv and https://example.org/a/b", "x.csv and https://example.org/a/b"),
        (None, None),
    ):
        assert teaching._told(message) == told


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"runs": 7}', b'{"runs": ["../x"]}', b"\xff"])
def test_a_note_of_the_network_that_is_damaged(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "network.json").write_bytes(content)
    with taught(tmp_path) as client:
        state = client.get("/api/teach").json()
        assert state["notice"].startswith("the network that was taught last cannot be used: ")
        assert (state["network"], state["before"]) == (None, 0)
        assert client.post("/api/read", content=SEVEN).json()["text"] == "7"


def finished(client: httpx.Client) -> dict[str, Any]:
    """The state once teaching has ended, seen to go forwards."""
    seen = [[0, 0]]
    while (state := client.get("/api/teach").json())["state"] == "teaching":
        assert state["progress"] >= seen[-1]
        seen.append(state["progress"])
        # Reading goes on.
        assert client.post("/api/read", content=SEVEN).status_code == 200
        time.sleep(0.2)
    return {**state, "seen": seen[-1]}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a network that is small, and quickly taught."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    small = ["--widths", "4", "8", "--hidden", "16", "--no-figures"]
    example = ["--example", str(run.with_name("example.png"))]
    assert main(["train", "fast", *small, *example, "--output", str(run)]) == 0
    assert main(["export", str(run)]) == 0
    return run


@pytest.fixture(scope="module")
def taught_folder(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of examples, and a network that was taught with them."""
    folder = tmp_path_factory.mktemp("taught") / "hand"
    with taught(folder, Reader.load(base, threads=1), base) as client:
        for place in range(10):
            keep(client, png(page([(frame(place), 150, 80, 120)])), str(place))
        answer = client.post("/api/teach")
        assert (answer.status_code, answer.json()["state"]) == (202, "teaching")
        assert client.post("/api/teach").status_code == 409
        state = finished(client)
        assert (state["state"], state["error"], state["seen"][1]) == ("idle", None, 6)
        report = state["report"]
        assert report["verdict"] in ("better", "unclear")
        assert report["pictures"] == 10
        assert report["before"]["accuracy"] == report["before"]["right"] / 10
        assert report["after"]["right"] >= 5
        assert report["test_images"] == 10_000
        assert state["network"] == report["run"]
        assert client.get("/api/model").json()["recipe"]["name"] == "fast-taught"
    return folder


@pytest.mark.slow
def test_a_restart_reads_with_what_was_taught(
    taught_folder: Path, base: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "hand"
    shutil.copytree(taught_folder, folder)
    with taught(folder) as client:
        state = client.get("/api/teach").json()
        assert state["network"] == state["report"]["run"]
        assert client.get("/api/model").json()["recipe"]["name"] == "fast-taught"
        answer = client.delete("/api/teach/network")
        assert (answer.status_code, answer.json()["network"]) == (200, None)
        assert client.get("/api/model").json()["recipe"]["name"] == "robust"
        assert client.delete("/api/teach/network").status_code == 409
    with taught(folder, Reader.load(base, threads=1), base) as client:
        assert client.get("/api/model").json()["recipe"]["name"] == "fast"


@pytest.mark.slow
def test_a_taught_run_that_is_damaged_or_gone(taught_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hand"
    shutil.copytree(taught_folder, folder)
    (model,) = folder.glob("runs/*/model.onnx")
    model.write_bytes(model.read_bytes()[:-100])
    for _ in range(2):
        with taught(folder) as client:
            state = client.get("/api/teach").json()
            assert "cannot be used" in state["notice"]
            assert (state["network"], state["state"]) == (None, "idle")
            assert client.get("/api/model").json()["recipe"]["name"] == "robust"
        shutil.rmtree(folder / "runs", ignore_errors=True)


@pytest.mark.slow
def test_the_command_takes_what_the_page_keeps(taught_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "again"
    command = ["teach", str(taught_folder), "--output", str(output), "--no-figures"]
    assert main([*command, "--base", str(next((taught_folder / "runs").iterdir()))]) == 0
    assert (output / "model.onnx").is_file()


@pytest.mark.slow
def test_a_failure_is_told_and_the_network_stays(base: Path, tmp_path: Path) -> None:
    broken = tmp_path / "base"
    shutil.copytree(base, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with taught(tmp_path / "hand", Reader.load(broken, threads=1), broken) as client:
        keep(client, ONE, "1")
        keep(client, TWO, "2")
        assert client.post("/api/teach").status_code == 202
        state = finished(client)
        assert state["state"] == "failed"
        assert state["error"].startswith("teaching has failed: ")
        assert "base/model.safetensors does not hold" in state["error"]
        assert str(tmp_path) not in state["error"]
        assert state["network"] is None
        assert client.post("/api/read", content=SEVEN).json()["text"] == "7"


def children(process: psutil.Process) -> list[psutil.Process]:
    """All that a process has started, once it teaches: side by side, where there are cores."""
    while 0 < len(found := process.children(recursive=True)) < min(2, workers()):
        time.sleep(0.1)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_teaching_ends_with_the_server(ending: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "hand"
    command = [sys.executable, "-m", "mnist_digits", "app", "--port", "0", "--no-browser"]
    with subprocess.Popen(
        [*command, "--teach", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout
        address = server.stdout.readline().split()[2]
        with httpx.Client(base_url=address, timeout=60) as client:
            for place in range(10):
                keep(client, png(page([(frame(place), 150, 80, 120)])), str(place))
            assert client.post("/api/teach").status_code == 202
        started = children(psutil.Process(server.pid))
        assert started
        server.send_signal(ending)
        server.wait(60)
        server.communicate()
    _, alive = psutil.wait_procs(started, timeout=60)
    assert alive == []
    with taught(folder) as client:
        state = client.get("/api/teach").json()
        assert (state["state"], state["network"], state["examples"]) == ("idle", None, 10)
        assert list((folder / "runs").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("writing", [".drawn-*", ".labels.csv.*"])
def test_the_server_is_killed_while_it_keeps(writing: str, tmp_path: Path) -> None:
    """While it writes the picture, or the table: each row has its whole picture."""
    folder = tmp_path / "hand"
    command = [sys.executable, "-m", "mnist_digits", "app", "--port", "0", "--no-browser"]
    with (
        subprocess.Popen(
            [*command, "--teach", str(folder)], stdout=subprocess.PIPE, text=True
        ) as server,
        ThreadPoolExecutor(1) as thread,
    ):
        assert server.stdout
        address = server.stdout.readline().split()[2]
        with httpx.Client(base_url=address, timeout=60) as client:
            keep(client, ONE, "1")
            number = 0
            while server.poll() is None:
                picture = png(np.full((40, 40), number % 256, np.uint8) + np.uint8(1))
                number += 1
                kept = thread.submit(keep, client, picture, str(number % 10))
                while not kept.done():
                    if any(folder.glob(writing)):
                        server.kill()
                        server.wait()
                        break
        assert isinstance(kept.exception(), (httpx.TransportError, type(None)))
    for example in find_labelled(folder):
        Image.open(example.path).load()
    with taught(folder) as client:
        assert keep(client, SEVEN, "7").status_code == 201
    assert not list(folder.glob(".*"))
    assert rows(folder)[-1][1] == "7"


def test_a_folder_without_examples_has_none(tmp_path: Path) -> None:
    with taught(tmp_path), pytest.raises(PictureError, match="no labelled pictures"):
        find_labelled(tmp_path)
