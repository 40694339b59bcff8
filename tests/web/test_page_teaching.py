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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from command_line import COMMAND, Command
from full_disk import files_of_at_most
from PIL import Image
from real_server import serving, shipped, stand_in
from test_server import SEVEN, client_of, drawn, png

from mnist_digits import PictureError, Reader
from mnist_digits.classifier.examples import load_examples
from mnist_digits.classifier.teaching import workers
from mnist_digits.reading.labelled import find_labelled
from mnist_digits.reading.reader import SHIPPED
from mnist_digits.web import page_examples
from mnist_digits.web.page_examples import MAXIMUM_EXAMPLES, Examples
from mnist_digits.web.page_teaching import Teaching

# As little as can be taught.
QUICKLY = ("--steps", "2", "--folds", "2", "--threads", "1")
EXAMPLES = "/api/teach/examples"
ONE, TWO = drawn(1), drawn(2)


@contextmanager
def taught(
    folder: Path, model: Path | None = None, host: str = "127.0.0.1"
) -> Iterator[httpx.Client]:
    """A client of a server that keeps its examples in this folder."""
    reader = Reader.load(model, threads=1) if model else shipped()
    teaching = Teaching(folder, reader, model, QUICKLY)
    try:
        with serving(teaching=teaching, host=host) as port, client_of(port) as client:
            yield client
    finally:
        teaching.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "hand"


@pytest.fixture
def client(folder: Path) -> Iterator[httpx.Client]:
    with taught(folder) as client:
        yield client


def keep(client: httpx.Client, picture: bytes, label: str, **more: Any) -> httpx.Response:
    return client.post(EXAMPLES, params={"label": label}, content=picture, **more)


def keep_digits(client: httpx.Client, count: int = 2) -> None:
    for place in range(count):
        keep(client, drawn(place), str(place))


def state_of(client: httpx.Client) -> dict[str, Any]:
    return dict(client.get("/api/teach").json())


def recipe_of(client: httpx.Client) -> str:
    return str(client.get("/api/model").json()["recipe"]["name"])


def reads(client: httpx.Client) -> bool:
    return bool(client.post("/api/read", content=SEVEN).json()["text"] == "7")


def rows(folder: Path) -> list[tuple[str, str]]:
    return list(Examples(folder).labels().items())


def left(folder: Path) -> list[str]:
    """What is in a folder, without the table."""
    return sorted(path.name for path in folder.iterdir() if path.name != "labels.csv")


def test_without_a_folder_nothing_is_kept() -> None:
    with serving() as port, client_of(port) as client:
        for answer in (
            client.get("/api/teach"),
            client.post("/api/teach"),
            keep(client, SEVEN, "7"),
            client.put("/api/teach/network"),
            client.delete(f"{EXAMPLES}/drawn-0.png"),
        ):
            assert (answer.status_code, list(answer.json())) == (404, ["error"])
        assert client.get("/api/model").json()["teach"] is False


def test_examples_are_ordinary_labelled_pictures(client: httpx.Client, folder: Path) -> None:
    state = state_of(client)
    assert (state["folder"], state["examples"], state["last"]) == ("hand", 0, None)
    assert (state["progress"], state["network"], state["networks"]) == (None, "", [])
    assert client.get("/api/model").json()["teach"] is True
    with pytest.raises(PictureError, match="no labelled pictures"):
        find_labelled(folder)
    image, photo = Image.open(io.BytesIO(SEVEN)).convert("L"), io.BytesIO()
    image.save(photo, "JPEG", quality=95)
    greymap = f"P5 {image.width} {image.height} 255\n".encode() + image.tobytes()
    answers = [
        keep(client, SEVEN, "7"),
        keep(client, photo.getvalue(), "12/34"),
        client.post(EXAMPLES, files={"file": ("one.png", ONE)}, data={"label": "0"}),
        keep(client, greymap, "7"),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    files = [answer.json()["file"] for answer in answers]
    assert rows(folder) == list(zip(files, ("7", "12/34", "0", "7"), strict=True))
    assert [Path(file).suffix for file in files] == [".png", ".jpeg", ".png", ".png"]
    assert [(folder / file).read_bytes() for file in files[:3]] == [SEVEN, photo.getvalue(), ONE]
    # What the page sends is kept as PNG.
    with Image.open(folder / files[3]) as stored:
        assert (stored.format, stored.tobytes()) == ("PNG", image.tobytes())
    # The same picture changes its label.
    assert keep(client, SEVEN, "2").json() == answers[0].json()
    state = state_of(client)
    assert (state["examples"], state["last"]) == (4, {"file": files[0], "label": "2"})
    found = {picture.path.name: picture.label for picture in find_labelled(folder)}
    assert found == dict(zip(files, ("2", "12/34", "0", "7"), strict=True))


def test_what_was_kept_is_taken_back(client: httpx.Client, folder: Path, command: Command) -> None:
    first, second = (keep(client, picture, "7").json()["file"] for picture in (SEVEN, ONE))

    def take_back(name: str) -> dict[str, Any]:
        assert client.delete(f"{EXAMPLES}/{name}").status_code == 200
        return state_of(client)

    state = take_back(second)
    assert (state["examples"], state["last"]["file"]) == (1, first)
    assert rows(folder) == [(first, "7")]
    assert left(folder) == [first]
    assert load_examples(folder).left_out == [(folder / second, "it was taken back")]
    assert take_back(first)["last"] is None
    for words in (["teach"], ["evaluate", "--pictures"]):
        assert "taken back" in command.refused(*words, folder)
    # What is there no more, or was not kept by the page, stays as it is.
    (folder / "photo.png").write_bytes(SEVEN)
    with (folder / "labels.csv").open("a") as table:
        table.write("photo.png,7\n")
    for name in (second, "photo.png", "labels.csv", "drawn-0.png"):
        assert take_back(name)["examples"] == 1
    assert left(folder) == ["photo.png"]
    assert keep(client, ONE, "1").json()["file"] == second
    assert rows(folder) == [("photo.png", "7"), (second, "1")]


def test_two_tabs_lose_nothing(client: httpx.Client, folder: Path) -> None:
    """Nor do two servers."""
    pictures = [png(np.full((9, 9), n, np.uint8)) for n in range(40)]
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
    before, examples = rows(tmp_path), Examples(tmp_path)
    assert len(before) == 1
    name = examples.keep(SEVEN, "7")
    examples.keep(SEVEN, "1")
    assert rows(tmp_path) == [*before, (name, "1")]
    assert (tmp_path / "labels.csv").read_bytes().startswith(table)


def test_what_is_not_kept(client: httpx.Client, folder: Path) -> None:
    for label in ("", "seven", "7 ", "/7", "7/", "1//2", "-1", "٣", "7\n", "1" * 2001):
        answer = keep(client, SEVEN, label)
        assert (answer.status_code, answer.json()["error"][:6]) == (422, "label:")
    text = {"content-type": "text/plain"}
    for status, answer in (
        (422, client.post(EXAMPLES, content=SEVEN)),
        (422, client.post(f"{EXAMPLES}?label=7&lable=1", content=SEVEN)),
        (422, keep(client, b"seven", "7")),
        (415, keep(client, b"%PDF-1.7", "7")),
        (415, keep(client, SEVEN, "7", headers=text)),
        (413, keep(client, bytes(20_000_001), "7")),
    ):
        assert answer.status_code == status
    assert left(folder) == []


def test_the_pages_of_others_change_nothing(client: httpx.Client, folder: Path) -> None:
    own = f"http://{client.base_url.netloc.decode()}"
    for origin in ("https://elsewhere.example", "null", "http://127.0.0.1:1", f"ftp{own[4:]}"):
        headers = {"origin": origin}
        for answer in (
            keep(client, SEVEN, "7", headers=headers),
            client.post("/api/teach", headers=headers),
            client.put("/api/teach/network", headers=headers),
            client.delete(f"{EXAMPLES}/drawn-0.png", headers=headers),
        ):
            assert answer.status_code == 403
    assert left(folder) == []
    for headers in ({"origin": own}, {"origin": f"https{own[4:]}"}, {}):
        assert keep(client, SEVEN, "7", headers=headers).status_code == 200


def test_others_reach_what_is_kept_only_by_the_servers_names(folder: Path) -> None:
    with taught(folder, host="0.0.0.0") as client:
        for host, status in (("10.0.0.7:8000", 200), ("rebound.example", 421)):
            headers = {"host": host, "origin": f"http://{host}"}
            assert keep(client, SEVEN, "7", headers=headers).status_code == status


def test_so_many_are_kept_and_no_more(client: httpx.Client, folder: Path) -> None:
    name = keep(client, SEVEN, "7").json()["file"]
    with (folder / "labels.csv").open("a") as table:
        table.writelines(f"{number}.png,1\n" for number in range(MAXIMUM_EXAMPLES - 1))
    answer = keep(client, ONE, "1")
    assert (answer.status_code, "10,000" in answer.json()["error"]) == (507, True)
    assert left(folder) == [name]
    # What is kept can still be corrected.
    assert keep(client, SEVEN, "1").status_code == 200


def test_so_many_bytes_are_kept_and_no_more(
    client: httpx.Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_examples, "MAXIMUM_BYTES", len(SEVEN) + len(ONE))
    assert [keep(client, picture, "7").status_code for picture in (SEVEN, ONE)] == [200, 200]
    answer = keep(client, TWO, "2")
    assert (answer.status_code, "GB are the most" in answer.json()["error"]) == (507, True)
    assert keep(client, SEVEN, "1").status_code == 200
    # What the page did not write does not count, but networks do.
    (folder / "photo.png").write_bytes(bytes(len(TWO)))
    assert keep(client, ONE, "1").status_code == 200
    network_in(folder, "2026-01-02_03-04-05-taught")
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


def test_a_table_that_was_spoilt_meanwhile(client: httpx.Client, folder: Path) -> None:
    table = folder / "labels.csv"
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
    assert left(folder) == []


def test_folders_that_are_refused_at_the_start(tmp_path: Path, command: Command) -> None:
    for name, content in (
        ("sorted/7/a.png", SEVEN),
        ("scans/2026 a/a.png", SEVEN),
        ("columns/labels.csv", b"name,digit\na.png,7\n"),
        ("latin/labels.csv", b"file,label\n\xff,7\n"),
        ("file", b""),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    for folder, says in (
        ("sorted", "would be hidden by labels.csv"),
        ("file", "examples cannot be kept in"),
        ("file/hand", "examples cannot be kept in"),
        ("columns", "must have the columns file and label"),
        ("latin", "is not in UTF-8: save it as CSV"),
        ("/proc/self", "choose another folder with --teach"),
    ):
        error = command.refused("app", "--no-browser", "--port", 0, "--teach", tmp_path / folder)
        assert error.startswith("mnist-digits app: error: ")
        assert says in error
    assert not (tmp_path / "sorted" / "labels.csv").exists()
    # Folders of other pictures do not matter.
    assert Examples(tmp_path / "scans").labels() == {}


def test_folders_are_removed_from_messages(tmp_path: Path) -> None:
    teaching = Teaching(tmp_path / "my hand", shipped(), tmp_path)
    for message, shown in (
        (f"there is no {tmp_path}/my hand/a.png: choose", "there is no my hand/a.png: choose"),
        ("cannot use '/var/cache/digits/train.gz': 12/34", "cannot use 'train.gz': 12/34"),
        ("C:\\Users\\anna\\x.csv and https://example.org/a/b", "x.csv and https://example.org/a/b"),
        ("", ""),
    ):
        assert teaching.without_folders(message) == shown


def network_in(folder: Path, name: str) -> Path:
    """The shipped network in the folder, as if it had been taught."""
    run = folder / "runs" / name
    run.mkdir(parents=True)
    return Path(shutil.copy(SHIPPED / "model.onnx", run))


def test_a_network_is_chosen_and_is_there_the_next_time(folder: Path) -> None:
    for name in ("earlier", "later"):
        network_in(folder, name)
    (folder / "runs" / "unfinished").mkdir()
    with taught(folder) as client:
        state = state_of(client)
        assert (state["network"], state["networks"]) == ("", ["earlier", "later"])
        answer = client.put("/api/teach/network?name=../other")
        assert (answer.status_code, answer.json()["error"]) == (422, "there is no network ../other")
        client.put("/api/teach/network?name=earlier")
        assert state_of(client)["network"] == "earlier"
        assert reads(client)
    with taught(folder) as client:
        assert state_of(client)["network"] == "earlier"
        assert client.put("/api/teach/network").status_code == 200
        assert state_of(client)["network"] == ""
    state = Teaching(folder, shipped()).state()
    assert (state["network"], state["error"]) == ("", "")


def test_a_network_that_is_damaged_or_gone(folder: Path) -> None:
    """The one before reads on, and nothing that is said has this machine's folders in it."""
    model = network_in(folder, "taught")
    with taught(folder) as client:
        client.put("/api/teach/network?name=taught")
        model.write_bytes(model.read_bytes()[:-100])
        answer = client.put("/api/teach/network?name=taught")
        assert (answer.status_code, str(folder.parent) in answer.text) == (422, False)
        assert state_of(client)["network"] == "taught"
        assert reads(client)
    for note in (b"taught", b"none", b"../x", b"\xff", bytes(1000)):
        (folder / "network.txt").write_bytes(note)
        teaching = Teaching(folder, shipped())
        state = teaching.state()
        assert (teaching.reader, state["network"]) == (shipped(), "")
        assert state["error"].startswith("the network of last time cannot be used: ")
        assert str(folder.parent) not in state["error"]
        assert len(state["error"]) < 200


def finished(client: httpx.Client) -> dict[str, Any]:
    """The state once teaching has ended."""
    while (state := state_of(client))["progress"]:
        time.sleep(0.2)
    return state


@pytest.mark.slow
def test_taught_and_back(tiny_run: Path, tmp_path: Path, folder: Path) -> None:
    with taught(folder, tiny_run) as client:
        keep_digits(client, 1)
        assert client.post("/api/teach").status_code == 422
        keep_digits(client, 10)
        assert client.post("/api/teach").status_code == 202
        assert state_of(client)["progress"] == [0, 0]
        assert client.post("/api/teach").status_code == 409
        state = finished(client)
        assert (state["error"], state["networks"]) == ("", [state["network"]])
        report = state["report"]
        assert report.startswith("The taught network is in use.")
        for shown in ("To learn from: 10 digits", "before  ", "after*", "test set: "):
            assert shown in report
        # That is its progress.
        assert "taught network 1 of" not in report
        assert str(tmp_path) not in report
        assert recipe_of(client) == "fast-taught"
        # What it has learned from, nobody is told.
        assert "teaching" not in client.get("/api/model").json()["result"]
        # Going back is choosing another one.
        client.put("/api/teach/network")
        assert state_of(client)["report"] == ""
        assert recipe_of(client) == "fast"


@pytest.mark.parametrize(("verdict", "used"), [("worse", False), ("unclear", True)])
def test_it_reads_while_it_teaches_and_not_with_what_reads_worse(
    verdict: str,
    used: bool,
    client: httpx.Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go = tmp_path / "go"
    program = stand_in(tmp_path / "python", SHIPPED, go, verdict)
    monkeypatch.setattr(sys, "executable", str(program))
    keep_digits(client)
    client.post("/api/teach")
    while (progress := state_of(client)["progress"]) != [1, 3]:
        assert progress == [0, 0]
    assert reads(client)
    go.touch()
    state = finished(client)
    assert state["error"] == ""
    assert state["report"] == f"The taught network is {'in use' if used else 'not used'}.\nharm"
    assert state["network"] == (state["networks"][0] if used else "")


def test_the_process_that_teaches_is_killed(client: httpx.Client) -> None:
    keep_digits(client)
    client.post("/api/teach")
    for process in psutil.Process().children():
        if "teach" in process.cmdline():
            process.kill()
    error = finished(client)["error"]
    assert error == "teaching has failed: status -9; the network is the same as before"
    assert reads(client)
    # It can be tried again.
    assert client.post("/api/teach").status_code == 202
    assert state_of(client)["error"] == ""


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


def children(process: psutil.Process) -> list[psutil.Process]:
    """All that a process has started, once it teaches: side by side, where there are cores."""
    while 0 < len(found := process.children(recursive=True)) < min(2, workers()):
        time.sleep(0.1)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_server_ends_while_it_teaches(
    ending: signal.Signals, tiny_run: Path, folder: Path
) -> None:
    """Teaching ends with it, unless it is killed; what was kept is there, and can be taught."""
    with app(folder, "--model", str(tiny_run)) as (server, client):
        keep_digits(client, 10)
        assert client.post("/api/teach").status_code == 202
        started = children(psutil.Process(server.pid))
        assert started
        server.send_signal(ending)
        server.wait(60)
    if ending != signal.SIGKILL:
        assert psutil.wait_procs(started, timeout=60)[1] == []
    with taught(folder, tiny_run) as client:
        state = state_of(client)
        assert (state["progress"], state["network"], state["examples"]) == (None, "", 10)
        assert client.post("/api/teach").status_code == 202
    for process in started:
        with suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("writing", [".drawn-*", "drawn-*"])
def test_the_server_is_killed_while_it_keeps(writing: str, folder: Path) -> None:
    """While it writes the picture, or before its row: each row has its whole picture."""
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
