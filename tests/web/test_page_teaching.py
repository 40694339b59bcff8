"""What the page keeps and learns from: real connections, folders and processes."""

from __future__ import annotations

import io
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
from command_line import COMMAND, Command
from full_disk import files_of_at_most
from PIL import Image
from real_server import serving, shipped
from test_server import SEVEN, drawn, png

from mnist_digits import PictureError, Reader
from mnist_digits.classifier.examples import load_examples
from mnist_digits.classifier.teaching import workers
from mnist_digits.cli.main import main
from mnist_digits.reading.labelled import find_labelled
from mnist_digits.reading.reader import SHIPPED
from mnist_digits.web import page_examples
from mnist_digits.web.page_examples import MAXIMUM_EXAMPLES, Examples
from mnist_digits.web.page_teaching import Teaching

# As little as can be taught.
QUICKLY = ("--steps", "2", "--folds", "2", "--threads", "1")
ONE, TWO = drawn(1), drawn(2)


@contextmanager
def taught(
    folder: Path, model: Path | None = None, flags: tuple[str, ...] = QUICKLY
) -> Iterator[httpx.Client]:
    """A client of a server that keeps its examples in this folder."""
    reader = Reader.load(model, threads=1) if model else shipped()
    teaching = Teaching(folder, reader, model, flags)
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


def state_of(client: httpx.Client) -> dict[str, Any]:
    return dict(client.get("/api/teach").json())


def rows(folder: Path) -> list[tuple[str, str]]:
    return list(Examples(folder).labels().items())


def left(folder: Path) -> list[str]:
    """What is in a folder, without the table."""
    return sorted(path.name for path in folder.iterdir() if path.name != "labels.csv")


def test_without_a_folder_nothing_is_kept() -> None:
    with serving() as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        for answer in (
            client.get("/api/teach"),
            client.post("/api/teach"),
            keep(client, SEVEN, "7"),
            client.put("/api/teach/network"),
            client.delete("/api/teach/examples/drawn-0.png"),
        ):
            assert answer.status_code == 404
            assert list(answer.json()) == ["error"]
        assert client.get("/api/model").json()["teach"] is False


def test_examples_are_ordinary_labelled_pictures(client: httpx.Client, tmp_path: Path) -> None:
    folder = tmp_path / "hand"
    state = state_of(client)
    assert (state["folder"], state["examples"], state["last"]) == ("hand", 0, None)
    assert (state["progress"], state["network"], state["networks"]) == (None, "", [])
    assert client.get("/api/model").json()["teach"] is True
    photo = io.BytesIO()
    Image.open(io.BytesIO(SEVEN)).convert("RGB").save(photo, "JPEG", quality=95)
    answers = [
        keep(client, SEVEN, "7"),
        keep(client, photo.getvalue(), "12/34"),
        client.post("/api/teach/examples", files={"file": ("one.png", ONE)}, data={"label": "0"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    files = [answer.json()["file"] for answer in answers]
    assert rows(folder) == list(zip(files, ("7", "12/34", "0"), strict=True))
    assert [(folder / file).read_bytes() for file in files] == [SEVEN, photo.getvalue(), ONE]
    assert [Path(file).suffix for file in files] == [".png", ".jpeg", ".png"]
    state = state_of(client)
    assert (state["examples"], state["last"]) == (3, {"file": files[2], "label": "0"})
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
    assert keep(client, SEVEN, "2").json() == first
    assert state_of(client)["examples"] == 2
    folder = tmp_path / "hand"
    assert rows(folder) == [(other["file"], "1"), (first["file"], "2")]
    # For the command, too.
    assert sorted(load_examples(folder).digits.labels.tolist()) == [1, 2]


def test_what_was_kept_is_taken_back(client: httpx.Client, tmp_path: Path) -> None:
    folder = tmp_path / "hand"
    first, second = (keep(client, picture, "7").json()["file"] for picture in (SEVEN, ONE))
    assert client.delete(f"/api/teach/examples/{second}").status_code == 200
    state = state_of(client)
    assert (state["examples"], state["last"]["file"]) == (1, first)
    assert rows(folder) == [(first, "7")]
    assert left(folder) == [first]
    assert load_examples(folder).left_out == [(folder / second, "it was taken back")]
    assert main(["evaluate", "--pictures", str(folder), "--no-figures"]) == 0
    # What is there no more, or was not kept by the page, stays as it is.
    (folder / "photo.png").write_bytes(SEVEN)
    with (folder / "labels.csv").open("a") as table:
        table.write("photo.png,7\n")
    for name in (second, "photo.png", "labels.csv", "drawn-0.png"):
        assert client.delete(f"/api/teach/examples/{name}").status_code == 200
        assert state_of(client)["examples"] == 2
    assert left(folder) == [first, "photo.png"]
    keep(client, ONE, "1")
    assert state_of(client)["examples"] == 3
    client.delete(f"/api/teach/examples/{first}")
    assert rows(folder) == [("photo.png", "7"), (second, "1")]


def test_all_is_taken_back(client: httpx.Client, tmp_path: Path, command: Command) -> None:
    client.delete(f"/api/teach/examples/{keep(client, SEVEN, '7').json()['file']}")
    assert state_of(client)["examples"] == 0
    for words in (["teach"], ["evaluate", "--pictures"]):
        assert "taken back" in command.refused(*words, tmp_path / "hand")


def test_two_tabs_lose_nothing(client: httpx.Client, tmp_path: Path) -> None:
    """Nor do two servers."""
    folder, pictures = tmp_path / "hand", [png(np.full((9, 9), n, np.uint8)) for n in range(40)]
    with taught(folder) as other, ThreadPoolExecutor(8) as threads:
        clients = [client, other] * 20
        statuses = threads.map(
            lambda one, picture: keep(one, picture, "7").status_code, clients, pictures
        )
        assert set(statuses) == {200}
    assert len(rows(folder)) == len(left(folder)) == 40


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
        assert state_of(client)["examples"] == 1
        name = keep(client, SEVEN, "7").json()["file"]
        keep(client, SEVEN, "1")
        assert state_of(client)["examples"] == 2
    assert rows(tmp_path) == [*before, (name, "1")]
    assert (tmp_path / "labels.csv").read_bytes().startswith(table)


@pytest.mark.parametrize(
    "label", ["", "seven", "7 ", "/7", "7/", "1//2", "-1", "٣", "7\n", "1" * 2001]
)
def test_labels_are_digits(label: str, client: httpx.Client, tmp_path: Path) -> None:
    answer = keep(client, SEVEN, label)
    assert (answer.status_code, answer.json()["error"][:6]) == (422, "label:")
    assert left(tmp_path / "hand") == []


def test_invalid_pictures_are_not_kept(client: httpx.Client, tmp_path: Path) -> None:
    text, examples = {"content-type": "text/plain"}, "/api/teach/examples"
    for status, answer in (
        (422, client.post(examples, content=SEVEN)),
        (422, client.post(f"{examples}?label=7&lable=1", content=SEVEN)),
        (422, keep(client, b"seven", "7")),
        (415, keep(client, b"%PDF-1.7", "7")),
        (415, keep(client, SEVEN, "7", headers=text)),
        (413, keep(client, bytes(20_000_001), "7")),
    ):
        assert answer.status_code == status
    assert left(tmp_path / "hand") == []


def test_the_pages_of_others_change_nothing(client: httpx.Client, tmp_path: Path) -> None:
    own = f"http://{client.base_url.netloc.decode()}"
    for headers in (
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": own.replace("http:", "ftp:")},
    ):
        for answer in (
            keep(client, SEVEN, "7", headers=headers),
            client.post("/api/teach", headers=headers),
            client.put("/api/teach/network", headers=headers),
            client.delete("/api/teach/examples/drawn-0.png", headers=headers),
        ):
            assert answer.status_code == 403
    assert left(tmp_path / "hand") == []
    for headers in ({"origin": own}, {"origin": own.replace("http:", "https:")}, {}):
        assert keep(client, SEVEN, "7", headers=headers).status_code == 200


def test_others_reach_what_is_kept_only_by_the_servers_names(tmp_path: Path) -> None:
    teaching = Teaching(tmp_path, shipped())
    try:
        with serving(teaching=teaching, host="0.0.0.0") as port:
            url = f"http://127.0.0.1:{port}/api/teach/examples?label=7"
            for host, status in (("10.0.0.7:8000", 200), ("rebound.example", 421)):
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
        assert left(tmp_path) == [name]
        # What is kept can still be corrected.
        assert keep(client, SEVEN, "1").status_code == 200


def test_so_many_bytes_are_kept_and_no_more(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_examples, "MAXIMUM_BYTES", len(SEVEN) + len(ONE))
    assert [keep(client, picture, "7").status_code for picture in (SEVEN, ONE)] == [200, 200]
    answer = keep(client, TWO, "2")
    assert (answer.status_code, "GB are the most" in answer.json()["error"]) == (507, True)
    assert keep(client, SEVEN, "1").status_code == 200
    # What the page did not write does not count, but networks do.
    (tmp_path / "hand" / "photo.png").write_bytes(bytes(len(TWO)))
    assert keep(client, ONE, "1").status_code == 200
    run = tmp_path / "hand" / "runs" / "2026-01-02_03-04-05-taught"
    run.mkdir(parents=True)
    (run / "model.onnx").write_bytes(bytes(len(SEVEN) + len(ONE) + 1))
    answer = client.post("/api/teach")
    assert (answer.status_code, "GB are the most" in answer.json()["error"]) == (507, True)


def test_a_full_disk_leaves_all_as_it_was(tmp_path: Path) -> None:
    """The picture is small enough, the table is not."""
    before = "file,label\n" + "".join(f"{number:0100}.png,1\n" for number in range(2000))
    (tmp_path / "labels.csv").write_text(before)
    with taught(tmp_path) as client:
        with files_of_at_most(150_000):
            answer = keep(client, SEVEN, "7")
        assert (answer.status_code, answer.json()["error"][:20]) == (507, "nothing can be kept:")
        assert left(tmp_path) == []
        assert (tmp_path / "labels.csv").read_text() == before
        assert keep(client, SEVEN, "7").status_code == 200


def test_a_table_that_was_spoilt_meanwhile(client: httpx.Client, tmp_path: Path) -> None:
    table = tmp_path / "hand" / "labels.csv"
    for content, reason in (
        (b"name\na\n", "columns"),
        (b"name\n", "lacks a column"),
        (b'file,label\na,"7', "end of a quote"),
    ):
        table.write_bytes(content)
        answer = keep(client, SEVEN, "7")
        assert (answer.status_code, reason in answer.json()["error"]) == (422, True)
        assert answer.json()["error"].startswith("hand/labels.csv")
        assert table.read_bytes() == content
    table.unlink()
    table.mkdir()
    assert keep(client, SEVEN, "7").status_code == 507
    assert client.get("/api/teach").status_code == 507
    assert left(tmp_path / "hand") == []


@pytest.mark.parametrize(
    ("folder", "says"),
    [
        ("sorted", "would be hidden by labels.csv"),
        ("file", "examples cannot be kept in"),
        ("file/hand", "examples cannot be kept in"),
        ("columns", "must have the columns file and label"),
        ("latin", "is not in UTF-8: save it as CSV"),
        ("/proc/self", "choose another folder with --teach"),
    ],
)
def test_folders_that_are_refused_at_the_start(
    folder: str, says: str, tmp_path: Path, command: Command
) -> None:
    for name, content in (
        ("sorted/7/a.png", SEVEN),
        ("columns/labels.csv", b"name,digit\na.png,7\n"),
        ("latin/labels.csv", b"file,label\n\xff,7\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "file").touch()
    error = command.refused("app", "--no-browser", "--port", 0, "--teach", tmp_path / folder)
    assert error.startswith("mnist-digits app: error: ")
    assert says in error
    assert not (tmp_path / "sorted" / "labels.csv").exists()


def test_folders_of_other_pictures_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a.png").write_bytes(SEVEN)
    with taught(tmp_path) as client:
        assert keep(client, SEVEN, "7").status_code == 200


def test_too_few_to_learn_from_and_no_such_network(client: httpx.Client) -> None:
    keep(client, SEVEN, "7")
    assert client.post("/api/teach").status_code == 422
    answer = client.put("/api/teach/network?name=../other")
    assert (answer.status_code, answer.json()["error"]) == (422, "there is no network ../other")
    assert client.put("/api/teach/network").status_code == 200


def test_folders_are_removed_from_messages(tmp_path: Path) -> None:
    teaching = Teaching(tmp_path / "my hand", shipped(), tmp_path)
    teaching.close()
    for message, shown in (
        (f"there is no {tmp_path}/my hand/a.png: choose", "there is no my hand/a.png: choose"),
        ("cannot use '/var/cache/digits/train.gz': 12/34", "cannot use 'train.gz': 12/34"),
        ("C:\\Users\\anna\\x.csv and https://example.org/a/b", "x.csv and https://example.org/a/b"),
        ("", ""),
    ):
        assert teaching.without_folders(message) == shown


def run_of_shipped(folder: Path, name: str) -> Path:
    """A network in the folder, as if it had been taught."""
    run = folder / "runs" / name
    run.mkdir(parents=True)
    return Path(shutil.copy(SHIPPED / "model.onnx", run))


def test_a_network_is_chosen_and_is_there_the_next_time(tmp_path: Path) -> None:
    for name in ("earlier", "later"):
        run_of_shipped(tmp_path, name)
    (tmp_path / "runs" / "unfinished").mkdir()
    with taught(tmp_path) as client:
        state = state_of(client)
        assert (state["network"], state["networks"]) == ("", ["earlier", "later"])
        client.put("/api/teach/network?name=earlier")
        assert state_of(client)["network"] == "earlier"
        assert client.post("/api/read", content=SEVEN).json()["text"] == "7"
    with taught(tmp_path) as client:
        assert state_of(client)["network"] == "earlier"
        client.put("/api/teach/network")
        assert state_of(client)["network"] == ""
    with taught(tmp_path) as client:
        state = state_of(client)
        assert (state["network"], state["error"]) == ("", "")


def test_a_network_that_is_damaged_or_gone(tmp_path: Path) -> None:
    """The one before reads on, and nothing that is said has this machine's folders in it."""
    model = run_of_shipped(tmp_path, "taught")
    with taught(tmp_path) as client:
        client.put("/api/teach/network?name=taught")
        model.write_bytes(model.read_bytes()[:-100])
        answer = client.put("/api/teach/network?name=taught")
        assert (answer.status_code, str(tmp_path) in answer.text) == (422, False)
        assert state_of(client)["network"] == "taught"
        assert client.post("/api/read", content=SEVEN).json()["text"] == "7"
    for _ in range(2):
        with taught(tmp_path) as client:
            state = client.get("/api/teach")
            assert state.json()["network"] == ""
            assert state.json()["error"].startswith("the network of last time cannot be used: ")
            assert str(tmp_path) not in state.text
            assert client.post("/api/read", content=SEVEN).json()["text"] == "7"
        shutil.rmtree(tmp_path / "runs", ignore_errors=True)


@pytest.mark.parametrize("content", [b"none", b"../x", b"\xff", bytes(1000)])
def test_a_note_of_the_network_that_is_damaged(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "network.txt").write_bytes(content)
    with taught(tmp_path) as client:
        state = state_of(client)
        assert state["error"].startswith("the network of last time cannot be used: ")
        assert (state["network"], len(state["error"]) < 200) == ("", True)
        assert client.post("/api/read", content=SEVEN).json()["text"] == "7"


def finished(client: httpx.Client) -> dict[str, Any]:
    """The state once teaching has ended, seen to go forwards."""
    seen = [0, 0]
    while progress := (state := client.get("/api/teach").json())["progress"]:
        assert progress >= seen
        seen = progress
        # Reading goes on.
        assert client.post("/api/read", content=SEVEN).status_code == 200
        time.sleep(0.2)
    return {**state, "seen": seen}


def keep_digits(client: httpx.Client, count: int = 10) -> None:
    for place in range(count):
        keep(client, drawn(place), str(place))


@pytest.mark.slow
def test_taught_in_full(tiny_run: Path, tmp_path: Path, command: Command) -> None:
    """And the command takes what the page keeps, and the network that it has taught."""
    folder = tmp_path / "hand"
    with taught(folder, tiny_run, flags=()) as client:
        keep_digits(client)
        assert client.post("/api/teach").status_code == 202
        assert state_of(client)["progress"] == [0, 0]
        assert client.post("/api/teach").status_code == 409
        state = finished(client)
        assert (state["error"], state["seen"][1]) == ("", 6)
        assert state["networks"] == [state["network"]]
        report = state["report"]
        assert report.startswith("The taught network is in use.")
        for shown in ("To learn from: 10 digits", "before  ", "after*", "test set: "):
            assert shown in report
        assert str(tmp_path) not in report
        assert client.get("/api/model").json()["recipe"]["name"] == "fast-taught"
        # Going back is choosing another one.
        client.put("/api/teach/network")
        assert state_of(client)["report"] == ""
        assert client.get("/api/model").json()["recipe"]["name"] == "fast"
        client.put("/api/teach/network", params={"name": state["network"]})
    with taught(folder, tiny_run) as client:
        assert client.get("/api/model").json()["recipe"]["name"] == "fast-taught"
    taught_run = folder / "runs" / state["network"]
    flags = ["--output", tmp_path / "again", "--no-figures", *QUICKLY, "--base", taught_run]
    command("teach", folder, *flags)
    assert (tmp_path / "again" / "model.onnx").is_file()


@pytest.mark.slow
def test_a_failure_is_told_and_the_network_stays(tiny_run: Path, tmp_path: Path) -> None:
    broken = tmp_path / "base"
    shutil.copytree(tiny_run, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with taught(tmp_path / "hand", broken) as client:
        keep_digits(client, 2)
        assert client.post("/api/teach").status_code == 202
        state = finished(client)
        assert state["error"].startswith("teaching has failed: ")
        assert "base/model.safetensors does not hold" in state["error"]
        assert str(tmp_path) not in state["error"]
        assert (state["network"], state["networks"], state["report"]) == ("", [], "")
        assert client.post("/api/read", content=SEVEN).status_code == 200
        # It can be tried again.
        (broken / "model.safetensors").write_bytes((tiny_run / "model.safetensors").read_bytes())
        assert client.post("/api/teach").status_code == 202
        assert state_of(client)["error"] == ""
        assert finished(client)["report"].startswith("The taught network is ")


def children(process: psutil.Process) -> list[psutil.Process]:
    """All that a process has started, once it teaches: side by side, where there are cores."""
    while 0 < len(found := process.children(recursive=True)) < min(2, workers()):
        time.sleep(0.1)
    return found


@contextmanager
def app(folder: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """The command, and a client of it."""
    words = ["app", "--port", "0", "--no-browser", "--teach", str(folder), *flags]
    with subprocess.Popen(
        [*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout
        address = server.stdout.readline().split()[2]
        with httpx.Client(base_url=address, timeout=60) as client:
            yield server, client
        server.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_teaching_ends_with_the_server(
    ending: signal.Signals, tiny_run: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "hand"
    with app(folder, "--model", str(tiny_run)) as (server, client):
        keep_digits(client)
        assert client.post("/api/teach").status_code == 202
        started = children(psutil.Process(server.pid))
        assert started
        server.send_signal(ending)
        server.wait(60)
    assert psutil.wait_procs(started, timeout=60)[1] == []
    with taught(folder) as client:
        state = state_of(client)
        assert (state["progress"], state["networks"], state["examples"]) == (None, [], 10)


@pytest.mark.slow
def test_the_server_is_killed_while_it_teaches(tiny_run: Path, tmp_path: Path) -> None:
    """What was kept is there, and the next one reads and teaches, whether the process goes on."""
    folder = tmp_path / "hand"
    with app(folder, "--model", str(tiny_run)) as (server, client):
        keep_digits(client, 2)
        assert client.post("/api/teach").status_code == 202
        (process,) = psutil.Process(server.pid).children()
        server.kill()
        server.wait(60)
    with taught(folder, tiny_run) as client:
        state = state_of(client)
        assert (state["network"], state["examples"]) == ("", 2)
        assert client.post("/api/teach").status_code == 202
        assert finished(client)["report"].startswith("The taught network is ")
    psutil.wait_procs([process], timeout=600)
    assert not process.is_running()


def test_the_process_that_teaches_is_killed(client: httpx.Client) -> None:
    keep_digits(client, 2)
    client.post("/api/teach")
    for process in psutil.Process().children():
        if "teach" in process.cmdline():
            process.kill()
    error = finished(client)["error"]
    assert error == "teaching has failed: status -9; the network is the same as before"
    assert client.post("/api/read", content=SEVEN).json()["text"] == "7"


WRITES = """
import json, pathlib, shutil, sys
run = pathlib.Path(sys.argv[sys.argv.index("--output") + 1])
run.mkdir(parents=True)
shutil.copy({model!r}, run)
(run / "result.json").write_text(json.dumps({{"teaching": {{"verdict": {verdict!r}}}}}))
print("taught network 1 of 1", "harm", "", "Written to somewhere", sep=chr(10))
"""


@pytest.mark.parametrize(("verdict", "used"), [("worse", False), ("unclear", True)])
def test_what_reads_worse_is_not_used(
    verdict: str, used: bool, client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a program that only says so."""
    program = tmp_path / "python"
    text = WRITES.format(model=str(SHIPPED / "model.onnx"), verdict=verdict)
    program.write_text(f"#!{sys.executable}{text}")
    program.chmod(0o700)
    keep_digits(client, 2)
    monkeypatch.setattr(sys, "executable", str(program))
    client.post("/api/teach")
    state = finished(client)
    assert state["error"] == ""
    assert state["report"] == f"The taught network is {'in use' if used else 'not used'}.\nharm"
    assert state["network"] == (state["networks"][0] if used else "")


@pytest.mark.slow
@pytest.mark.parametrize("writing", [".drawn-*", "drawn-*"])
def test_the_server_is_killed_while_it_keeps(writing: str, tmp_path: Path) -> None:
    """While it writes the picture, or before its row: each row has its whole picture."""
    folder = tmp_path / "hand"
    with app(folder) as (server, client), ThreadPoolExecutor(1) as thread:
        keep(client, ONE, "1")
        number = 0
        while server.poll() is None:
            picture = png(np.full((40, 40), number % 256, np.uint8) + np.uint8(1))
            number, before = number + 1, len([*folder.glob(writing)])
            kept = thread.submit(keep, client, picture, str(number % 10))
            while not kept.done():
                if len([*folder.glob(writing)]) > before:
                    server.kill()
                    server.wait()
                    break
        assert isinstance(kept.exception(), (httpx.TransportError, type(None)))
    for example in find_labelled(folder):
        Image.open(example.path).load()
    with taught(folder) as client:
        assert keep(client, SEVEN, "7").status_code == 200
    assert rows(folder)[-1][1] == "7"


def test_a_folder_without_examples_has_none(tmp_path: Path) -> None:
    with taught(tmp_path), pytest.raises(PictureError, match="no labelled pictures"):
        find_labelled(tmp_path)
