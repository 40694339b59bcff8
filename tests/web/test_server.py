"""The HTTP interface, over real connections to a real server; and what it does not fall for."""

from __future__ import annotations

import base64
import io
import json
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import product

import httpx
import numpy as np
import pytest
from command_line import Command
from numpy.typing import NDArray
from page_samples import WRONG
from pages import Pixels, page
from PIL import Image
from real_server import serving, shipped

from mnist_digits import Digits, Reader, ServerError, read_table
from mnist_digits.data.dataset import WRONG_TEST_LABELS
from mnist_digits.reading.detection import DETECT, LOOK, MODELS, READ
from mnist_digits.reading.onnx_file import with_checksum
from mnist_digits.reading.reader import SHIPPED
from mnist_digits.reading.result import Reading
from mnist_digits.web import limits, server

SAMPLES = json.loads((server.STATIC / "samples.json").read_text())


def frame(place: int) -> Pixels:
    return np.frombuffer(base64.b64decode(SAMPLES[place]["pixels"]), np.uint8).reshape(28, 28)


def png(pixels: Pixels) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def drawn(digit: int) -> bytes:
    """A picture of a page with a digit."""
    return png(page([(frame(digit), 150, 80, 120)]))


def unpacked(text: str) -> Pixels:
    return np.frombuffer(base64.b64decode(text), np.uint8)


SEVEN = drawn(7)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as port:
        yield port


def client_of(port: int) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)


@pytest.fixture(scope="module")
def client(port: int) -> Iterator[httpx.Client]:
    with client_of(port) as client:
        yield client


def test_a_picture_is_the_body_or_in_a_form(client: httpx.Client) -> None:
    two = png(page([(frame(1), 60, 80, 120), (frame(2), 260, 80, 120)]))
    whole, single = shipped().read(two).to_dict(), shipped().read_digit(two).to_dict()
    assert (whole["text"], len(single["digits"])) == ("12", 1)
    form = {"picture": ("two.png", two, "image/png")}
    for expected, answer in (
        (whole, client.post("/api/read", content=two)),
        (whole, client.post("/api/read?details=false", files=form)),
        (single, client.post("/api/read?single=true", content=two)),
        (single, client.post("/api/read", files=form, data={"single": "1"})),
    ):
        assert (answer.status_code, answer.json()) == (200, expected)


def test_a_table(client: httpx.Client) -> None:
    digits = [(frame(n), x, y, 80) for n, (x, y) in enumerate(product((40, 260), (40, 180)))]
    content = png(page(digits))
    answer = client.post("/api/table", files={"picture": content})
    assert answer.json() == read_table(shipped(), content).to_dict()
    assert answer.json()["rows"] == [["0", "2"], ["1", "3"]]


@pytest.mark.parametrize(
    ("size", "height", "count"),
    [((301, 40), 20, 1), ((2500, 1700), 800, 1), ((900, 1200), 50, 108), ((300, 400), 0, 0)],
    ids=["small", "large", "many", "blank"],
)
def test_details_are_all_of_the_digits_and_a_hundred_places_that_were_looked_at(
    size: tuple[int, int], height: int, count: int, client: httpx.Client
) -> None:
    places = [(2 + 100 * (n % 12), 4 + 95 * (n // 12)) for n in range(count)]
    picture = png(page([(frame(7), x, y, height) for x, y in places], size))
    answer = client.post("/api/read?details=true", content=picture).json()
    reading, overview = shipped().read(picture), answer["seen"]
    for one, digit in zip(answer["digits"], reading.digits, strict=True):
        assert one["sure"] == digit.sure
        assert unpacked(one["frame"]).tobytes() == digit.frame.tobytes()
        np.testing.assert_allclose(one["probabilities"], digit.probabilities, atol=1e-4)
    assert len(reading.digits) == count
    expected = reading.seen
    assert expected is not None
    assert overview["picture"] == [answer["width"], answer["height"]] == [size[1], size[0]]
    assert overview["looked_at"] == len(expected)
    assert overview["none"] == (expected.scores[count:] <= READ).sum()
    shown = expected.chosen(np.arange(min(len(expected), 100)))

    def told(*names: str) -> NDArray[np.float64]:
        return np.array([[place[name] for name in names] for place in overview["places"]])

    np.testing.assert_allclose(told("x", "y", "size"), shown.places, atol=1e-3)
    np.testing.assert_allclose(told("box")[:, 0], shown.boxes, atol=1e-3)
    np.testing.assert_allclose(told("score")[:, 0], shown.scores, atol=1e-3)
    probabilities = told("probabilities")[:, 0]
    np.testing.assert_allclose(probabilities.sum(axis=1), shown.scores, atol=1e-2)
    # Those of what is no digit are rounded to nothing.
    likeliest = [values[:count].argmax(axis=1).tolist() for values in (probabilities, shown.logits)]
    assert likeliest[0] == likeliest[1]
    ink = unpacked(overview["ink"]).reshape(-1, 56, 56)
    np.testing.assert_allclose(ink / 255, shown.ink, atol=0.003)


def test_the_picture_as_it_is_read_only_for_who_asks(client: httpx.Client) -> None:
    content = io.BytesIO()
    Image.new("LA", (3200, 1600), (0, 0)).save(content, "PNG")
    plain, asked = (
        client.post(f"/api/read?details=true&pixels={flag}", content=content.getvalue()).json()
        for flag in ("false", "true")
    )
    head, _, data = asked.pop("pixels").partition(",")
    assert asked == plain
    assert (asked["width"], asked["height"]) == (3200, 1600)
    with Image.open(io.BytesIO(base64.b64decode(data))) as seen:
        assert (head, seen.format) == ("data:image/jpeg;base64", "JPEG")
        # Bounded, and nothing is white.
        assert (seen.size, seen.getpixel((0, 0))) == ((1600, 800), (255, 255, 255))


def test_a_digit_as_in_mnist_is_explained_and_not_looked_for(client: httpx.Client) -> None:
    answer = client.post("/api/read?details=true", content=png(frame(7))).json()
    assert (answer["text"], answer["seen"]) == ("7", None)
    answer = client.post("/api/explain", content=frame(7).tobytes()).json()
    assert answer["digit"] == 7
    fall = unpacked(answer["fall"]["map"])
    assert (fall.shape, fall.max()) == ((784,), 255)
    assert 0 < answer["fall"]["most"] <= 1
    for stage in answer["stages"]:
        maps = unpacked(stage["maps"])
        assert (maps.size, maps.max()) == (np.prod(stage["shape"]), 255)
    assert [stage["shape"][0] for stage in answer["stages"]] == [64, 160]


def test_the_model_and_its_health(client: httpx.Client) -> None:
    model = client.get("/api/model").json()
    assert (model["recipe"]["name"], model["bytes"]) == ("robust", shipped().size)
    assert model["result"]["test_accuracy"] > 0.99
    assert model["detector_bytes"] == sum((MODELS / f).stat().st_size for f in (DETECT, LOOK))
    assert client.get("/healthz").json() == {"status": "ok"}
    for path in ("/api/model", "/healthz"):
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b"")


def test_the_page_and_the_headers_that_protect_it(port: int, client: httpx.Client) -> None:
    for path, (name, media_type) in server.FILES.items():
        answer = client.get(path)
        assert answer.content == (server.STATIC / name).read_bytes()
        assert answer.headers["content-type"].startswith(media_type)
        assert client.head(path).content == b""
    for path in ("/", "/healthz", "/none"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert not {"access-control-allow-origin", "server"} & set(headers)
    # What the parser refuses never comes to the application.
    assert exchange(port, b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400")
    for path in ("/../cli.py", "/%2e%2e/cli.py", "/static/../server.py", "//etc"):
        asked = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        assert exchange(port, asked).startswith(b"HTTP/1.1 404")


def test_what_is_refused_and_how(client: httpx.Client) -> None:
    text, body, form = {"content-type": "text/plain"}, b"seven", {"picture": SEVEN}
    pdf, known = b"\n%PDF-1.7", "the parameters are: single, details, pixels"
    large, empty = (
        bytes(limits.MAXIMUM_BODY + 1),
        {"content-type": "multipart/form-data; boundary=x"},
    )
    for status, says, answer in (
        (404, "", client.get("/none")),
        (404, "", client.get("/healthz/")),
        (404, "", client.get("/docs")),
        (405, "", client.get("/api/read")),
        (405, "", client.get("/api/table")),
        (405, "", client.delete("/")),
        (413, "more than 20,000,000 bytes", client.post("/api/read", content=large)),
        (415, "text/plain", client.post("/api/read", content=body, headers=text)),
        (415, "application/json", client.post("/api/read", json={"image": "seven"})),
        (415, "PDFs", client.post("/api/read", files={"picture": pdf})),
        (415, "PDFs", client.post("/api/table", content=pdf)),
        (421, "--allowed-host", client.get("/", headers={"host": "rebound.example"})),
        (422, "", client.post("/api/read")),
        (422, "", client.post("/api/read", content=body)),
        (422, "", client.post("/api/read", files={"picture": body})),
        (422, "picture: ", client.post("/api/read", data={"picture": "7"}, files={"": b""})),
        (422, "no file", client.post("/api/read", content=b"--x--\r\n", headers=empty)),
        (422, "single: ", client.post("/api/read?single=perhaps", content=SEVEN)),
        (422, "details: ", client.post("/api/read?details=", content=SEVEN)),
        (422, "single: ", client.post("/api/read", files=form, data={"single": "perhaps"})),
        (422, known, client.post("/api/read?sngle=true", content=SEVEN)),
        (422, "sngle: ", client.post("/api/read", files=form, data={"sngle": "true"})),
        (422, "single: ", client.post("/api/explain?single=true", content=bytes(784))),
        (422, "784 bytes", client.post("/api/explain", content=bytes(783))),
        (422, "single: ", client.post("/api/table?single=true", content=SEVEN)),
        (422, "no table in the picture: found only 7", client.post("/api/table", content=SEVEN)),
    ):
        assert (answer.status_code, list(answer.json())) == (status, ["error"]), answer.text
        assert answer.json()["error"]
        assert says in answer.json()["error"]
    assert client.put("/api/read", content=SEVEN).headers["allow"] == "POST"


def exchange(port: int, *pieces: bytes) -> bytes:
    """Send the pieces as they are, and receive an answer, or b"" where the server hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            return connection.recv(65_536)
        except ConnectionError:
            return b""


POST = b"POST /api/read HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"100000\r\n" + bytes(0x100000) + b"\r\n"


def test_a_body_without_end_is_refused(port: int) -> None:
    """25 MB in pieces, whose length was not told before."""
    answer = exchange(port, CHUNKED, *[CHUNK] * 25, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"].startswith("more than 20,000,000")
    # Nor is it received for ever.
    assert exchange(port, CHUNKED, *[CHUNK] * 200)[:12] in (b"", b"HTTP/1.1 413")


LONG = b"Host: localhost\r\nContent-Length: 100000\r\n\r\n"


@pytest.mark.parametrize(
    "start",
    [
        CHUNKED + b"5\r\nseven\r\n",
        b"GET /healthz HTTP/1.1\r\n" + LONG,
        b"POST /none HTTP/1.1\r\n" + LONG,
        b"POST /api/read HTTP/1.1\r\nContent-Type: text/plain\r\n" + LONG,
    ],
    ids=["a body", "no body is read", "no route", "refused"],
)
def test_nobody_sends_for_ever(start: bytes, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(limits, "SECONDS_TO_SEND", 0.3)
    answer = b""
    while not answer:  # again, where the machine is too slow for the limit
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            with suppress(ConnectionError):
                connection.sendall(start)
                answer = connection.recv(65_536)
            assert closed_by_server(connection, b"x")
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"x-content-type-options: nosniff" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"].startswith("it took more than")


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="a setting of Linux")
def test_who_does_not_read_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECONDS_TO_SEND", 0.5)
    with serving() as port, socket.create_connection(("127.0.0.1", port)) as connection:
        head = b"GET /draw.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
        assert closed_by_server(connection, head * 99)


def closed_by_server(connection: socket.socket, piece: bytes) -> bool:
    """Send a piece again and again, and read nothing, until the server hangs up; or a minute."""
    until = time.monotonic() + 60
    connection.setblocking(False)
    while time.monotonic() < until:
        try:
            connection.send(piece)
        except BlockingIOError:
            pass
        except ConnectionError:
            return True
        time.sleep(0.05)
    return False


def test_a_head_without_end_is_refused(port: int) -> None:
    start, header = b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: " + b"x" * 1000 + b"\r\n"
    assert exchange(port, start, *[header] * 200)[:12] in (b"", b"HTTP/1.1 400")
    assert exchange(port, start, *[header] * 20, b"\r\n").startswith(b"HTTP/1.1 200")


def test_half_closed_and_broken_off(port: int, client: httpx.Client) -> None:
    for head in (b"", b"GE", CHUNKED, POST + b"Content-Length: 100\r\n\r\nabc"):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(head)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(10) == b""
    assert client.post("/api/read", content=SEVEN).json()["text"] == "7"


@pytest.mark.slow
def test_many_at_once_get_their_own_answers(port: int) -> None:
    """While others are connected and ask for nothing."""
    pictures = [drawn(digit) for digit in range(10)]

    def ask(place: int) -> str:
        url = f"http://127.0.0.1:{port}/api/read"
        return str(httpx.post(url, content=pictures[place % 10], timeout=60).json()["text"])

    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(ask, range(30))) == [str(n % 10) for n in range(30)]
    for connection in idle:
        connection.close()


def test_a_burst_beyond_the_backlog_is_told_to_come_back(
    monkeypatch: pytest.MonkeyPatch, client: httpx.Client
) -> None:
    monkeypatch.setattr(limits, "BACKLOG", 0)
    answer = client.post("/api/read", content=SEVEN)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"].startswith("too many requests")
    monkeypatch.undo()
    monkeypatch.setattr(limits, "MAXIMUM_HELD", len(SEVEN) - 1)
    assert client.post("/api/read", content=SEVEN).status_code == 503
    monkeypatch.setattr(limits, "MAXIMUM_HELD", len(SEVEN))
    # What was refused is not counted any more.
    assert client.post("/api/read", content=SEVEN).status_code == 200
    monkeypatch.setattr(limits, "MAXIMUM_CONNECTIONS", 1)
    with serving() as port, client_of(port) as other:
        assert other.get("/").status_code == 503


def test_how_many_pictures_are_decoded_at_once_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, threads in ((1, 1), (2, 2), (64, 8)):
        monkeypatch.setattr(limits, "usable_cores", lambda cores=cores: cores)
        assert limits.WorkerPool().threads._max_workers == threads


def test_the_test_digits_are_genuine_and_the_wrong_ones_wrong(test_set: Digits) -> None:
    outcomes = []
    for place, sample in enumerate(SAMPLES):
        image = test_set.images[sample["index"], 0].numpy()
        assert (frame(place) == image).all()
        assert sample["label"] == int(test_set.labels[sample["index"]])
        assert sample["index"] not in WRONG_TEST_LABELS
        assert shipped().read_digit(png(image)).text == str(sample["answer"])
        outcomes.append(sample["answer"] == sample["label"])
    assert [sample["label"] for sample in SAMPLES[:10]] == list(range(10))
    assert outcomes == [True] * 10 + [False] * WRONG


def test_a_port_that_is_taken(port: int, command: Command) -> None:
    error = command.refused("app", "--port", port, "--no-browser")
    assert error.startswith(f"mnist-digits app: error: cannot listen at 127.0.0.1, port {port}: ")
    assert error.count(str(port)) == 1
    for host in ("nowhere.invalid", "a..b", "a" * 70):
        with pytest.raises(ServerError, match=f"cannot listen at {host}, port 0"):
            server.listen(host, 0)


def test_the_address_that_is_told_can_be_opened(
    port: int, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    """At a free port where none is named."""

    def told(*flags: object) -> str:
        return command("app", "--no-browser", *flags).out

    monkeypatch.setattr("uvicorn.Server.run", lambda *_: None)
    monkeypatch.setattr(server, "PORT", port)
    free = told()
    assert free.startswith("Draw at http://127.0.0.1:")
    assert f"http://127.0.0.1:{port}/" not in free
    line = told("--port", 0, "--host", "0.0.0.0")
    assert line.startswith("Draw at http://127.0.0.1:")
    assert "Others open it with" in line
    assert told("--port", 0, "--host", "localhost").startswith("Draw at http://localhost:")


def test_which_names_are_the_servers() -> None:
    def statuses(client: httpx.Client, *hosts: str) -> set[int]:
        return {client.get("/healthz", headers={"host": host}).status_code for host in hosts}

    own = ["localhost", "LOCALHOST.:99", "127.0.0.1:99", "[::1]:99", "10.0.0.7"]
    own += [socket.gethostname(), "digits.example:99"]
    others = ["rebound.example", "127.0.0.1.rebound.example", "digits.example.org", "7.", ""]
    with serving(allowed=("Digits.example:443",)) as port, client_of(port) as client:
        assert statuses(client, *own) == {200}
        assert statuses(client, *others) == {421}
    with serving(host="0.0.0.0") as port, client_of(port) as client:
        assert statuses(client, "any.example") == {200}


def test_the_log_is_not_filled_with_what_is_odd_about_pictures(
    client: httpx.Client, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    server.create_server(shipped(), "127.0.0.1")
    warnings.warn_explicit("Corrupt EXIF data", UserWarning, "", 1, "PIL.TiffImagePlugin")
    form = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/api/read", content=b"no form", headers=form).status_code == 400
    assert (capsys.readouterr(), caplog.text) == (("", ""), "")


def test_missing_packages(monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    monkeypatch.delitem(sys.modules, "mnist_digits.web.server")
    monkeypatch.delattr("mnist_digits.web.server")
    monkeypatch.setitem(sys.modules, "fastapi", None)
    install = "pip install 'mnist-digit-classification[web]'"
    assert install in command.refused("app", "--no-browser")


def test_the_command_serves_without_torch_and_stops() -> None:
    program = (
        "import sys\nfrom mnist_digits.cli.main import main\n"
        "status = main(['app', '--port', '0', '--no-browser'])\n"
        "print(status, {'torch', 'torchvision', 'matplotlib'} & set(sys.modules))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        address = process.stdout.readline().split()[2]
        assert httpx.post(f"{address}api/read", content=SEVEN, timeout=60).json()["text"] == "7"
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=60)
    assert output == ("130 set()\n", "\nmnist-digits app: stopped\n")


class Faulty(Reader):
    """Has a fault that no picture is to blame for."""

    def read(self, *_: object) -> Reading:
        raise RuntimeError("a fault of the reader")


def test_a_fault_is_answered_and_logged_and_the_server_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    faulty = Faulty((SHIPPED / "model.onnx").read_bytes(), threads=1)
    with serving(faulty) as port:
        # Each over a connection of its own: it is closed after a fault.
        for _ in range(2):
            with client_of(port) as client:
                answer = client.post("/api/read", content=SEVEN)
            assert answer.status_code == 500
            assert answer.json() == {"error": "the server has failed: its log says how"}
            assert answer.headers["x-content-type-options"] == "nosniff"
        with client_of(port) as client:
            assert client.get("/healthz").status_code == 200
    assert capsys.readouterr().err.count("RuntimeError: a fault of the reader") == 2


def test_a_model_that_does_not_show_its_inside() -> None:
    """With test-time augmentation the probabilities are its only output."""
    import onnx

    model = onnx.load(SHIPPED / "model.onnx")
    del model.graph.output[1:]
    reader = Reader(with_checksum(model.SerializeToString()), threads=1)
    with serving(reader) as port, client_of(port) as client:
        answer = client.post("/api/explain", content=frame(7).tobytes()).json()
    assert (answer["digit"], answer["stages"]) == (7, [])
