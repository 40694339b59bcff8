"""The HTTP interface, over real connections to a real server; and what it does not fall for."""

from __future__ import annotations

import base64
import io
import json
import socket
import subprocess
import sys
import time
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import product
from pathlib import Path

import httpx
import numpy as np
import pytest
from command_line import Command
from page_samples import WRONG
from pages import Pixels, page
from PIL import Image
from real_server import serving, shipped

from mnist_digits import Digits, Reader, ServerError, read_table
from mnist_digits.data.dataset import WRONG_TEST_LABELS
from mnist_digits.reading.detection import DETECT, LOOK, MODELS, READ, Detections
from mnist_digits.reading.documents import open_picture
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


SEVEN = drawn(7)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as port:
        yield port


@pytest.fixture(scope="module")
def client(port: int) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client


def test_a_picture_as_the_body(client: httpx.Client) -> None:
    answer = client.post("/api/read", content=SEVEN)
    assert answer.status_code == 200
    assert answer.json() == shipped().read(SEVEN).to_dict()
    assert answer.json()["text"] == "7"
    assert answer.json()["digits"][0].keys() == {"digit", "confidence", "box"}


def test_a_picture_in_a_form(client: httpx.Client) -> None:
    two = png(page([(frame(1), 60, 80, 120), (frame(2), 260, 80, 120)]))
    answer = client.post("/api/read", files={"picture": ("two.png", two, "image/png")})
    assert answer.json()["text"] == "12"
    form = {"files": {"picture": two}, "data": {"single": "true"}}
    for answer in (
        client.post("/api/read", **form),  # type: ignore[arg-type]
        client.post("/api/read?single=true", content=two),
    ):
        assert answer.json() == shipped().read_digit(two).to_dict()
        assert len(answer.json()["digits"]) == 1


def test_a_table(client: httpx.Client) -> None:
    digits = [(frame(n), x, y, 80) for n, (x, y) in enumerate(product((40, 260), (40, 180)))]
    content = png(page(digits))
    answer = client.post("/api/table", content=content)
    assert answer.json() == read_table(shipped(), content).to_dict()
    assert answer.json()["rows"] == [["0", "2"], ["1", "3"]]
    assert client.post("/api/table", files={"picture": content}).json() == answer.json()
    none = client.post("/api/table", content=SEVEN)
    assert none.status_code == 422
    assert none.json() == {"error": "there is no table in the picture: found only 7"}


def test_details_only_for_who_asks(client: httpx.Client) -> None:
    plain, expected = shipped().read(SEVEN).to_dict(), shipped().read(SEVEN).digits[0]
    for word in ("true", "True", "1", "on", "t", "yes", "y"):
        (digit,) = client.post(f"/api/read?details={word}", content=SEVEN).json()["digits"]
        assert digit["sure"] is True
        assert base64.b64decode(digit["frame"]) == expected.frame.tobytes()
        np.testing.assert_allclose(digit["probabilities"], expected.probabilities, atol=1e-4)
    for query in ("", "details=false"):
        assert client.post(f"/api/read?{query}", content=SEVEN).json() == plain
    for query in ("details", "details=", "details=perhaps"):
        answer = client.post(f"/api/read?{query}", content=SEVEN)
        assert (answer.status_code, list(answer.json())) == (422, ["error"])
        assert answer.json()["error"].startswith("details: ")


def test_unknown_parameters_are_refused(client: httpx.Client) -> None:
    form = {"picture": SEVEN}
    for name, answer in (
        ("sngle", client.post("/api/read?sngle=true", content=SEVEN)),
        ("sngle", client.post("/api/read", files=form, data={"sngle": "true"})),
        ("single", client.post("/api/read", files=form, data={"single": "perhaps"})),
        ("label", client.post("/api/read?details=true&label=7", content=SEVEN)),
        ("single", client.post("/api/explain?single=true", content=bytes(784))),
    ):
        assert answer.status_code == 422
        assert name in answer.json()["error"]
    error = client.post("/api/read?sngle=true", content=SEVEN).json()["error"]
    assert "single, details" in error
    answer = client.post("/api/read", files=form, data={"details": "yes"})
    assert answer.json()["digits"][0]["sure"] is True


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


@pytest.mark.parametrize("size", [(300, 400), (97, 211), (301, 40), (2500, 1700)])
def test_what_was_looked_at(size: tuple[int, int], client: httpx.Client) -> None:
    picture = png(page([(frame(7), 2, 4, min(size) // 2)], size))
    answer = client.post("/api/read?details=true", content=picture).json()
    overview, expected = answer["seen"], shipped().read(picture).seen
    assert expected is not None
    assert overview["picture"] == [size[1], size[0]]
    assert overview["looked_at"] == len(overview["places"]) == len(expected)
    assert overview["none"] == (expected.scores[len(answer["digits"]) :] <= READ).sum()
    for number, place in enumerate(overview["places"]):
        at = [place["x"], place["y"], place["size"]]
        np.testing.assert_allclose(at, expected.places[number], atol=1e-3)
        np.testing.assert_allclose(place["box"], expected.boxes[number], atol=1e-3)
        assert place["score"] == pytest.approx(expected.scores[number], abs=1e-3)
        assert np.sum(place["probabilities"]) == pytest.approx(place["score"], abs=1e-2)
        assert np.argmax(place["probabilities"]) == expected.logits[number].argmax()
    ink = np.frombuffer(base64.b64decode(overview["ink"]), np.uint8).reshape(-1, 56, 56)
    np.testing.assert_allclose(ink / 255, expected.ink, atol=0.003)


def test_of_many_places_a_hundred_are_shown() -> None:
    many = Detections(
        places=np.ones((130, 3), np.float32),
        proposed=np.zeros(130, np.float32),
        scores=np.linspace(1, 0, 130, dtype=np.float32),
        logits=np.zeros((130, 10), np.float32),
        boxes=np.ones((130, 4), np.float32),
        ink=np.ones((130, 56, 56), np.float32),
        frames=np.zeros((130, 28, 28), np.uint8),
    )
    overview = server._overview(many, 20, open_picture(SEVEN))
    assert (overview["looked_at"], overview["none"], len(overview["places"])) == (130, 65, 100)
    assert len(base64.b64decode(overview["ink"])) == 100 * 56 * 56
    assert overview["places"][0]["probabilities"] == [0.1] * 10
    nothing = many.chosen(np.zeros(0, np.int64))
    overview = server._overview(nothing, 0, open_picture(SEVEN))
    assert (overview["looked_at"], overview["none"], overview["places"], overview["ink"]) == (
        0,
        0,
        [],
        "",
    )


def test_normalized_digit_is_read_without_detection(client: httpx.Client) -> None:
    answer = client.post("/api/read?details=true", content=png(frame(7))).json()
    assert (answer["text"], answer["seen"]) == ("7", None)
    assert "seen" not in client.post("/api/read", content=SEVEN).json()


def test_an_explanation(client: httpx.Client) -> None:
    answer = client.post("/api/explain", content=frame(7).tobytes()).json()
    assert answer["digit"] == 7
    fall = np.frombuffer(base64.b64decode(answer["fall"]["map"]), np.uint8)
    assert fall.shape == (784,)
    assert fall.max() == 255
    assert 0 < answer["fall"]["most"] <= 1
    for stage in answer["stages"]:
        maps = np.frombuffer(base64.b64decode(stage["maps"]), np.uint8)
        assert maps.size == np.prod(stage["shape"])
        assert maps.max() == 255
    assert [stage["shape"][0] for stage in answer["stages"]] == [64, 160]


def test_the_model_and_its_health(client: httpx.Client) -> None:
    model = client.get("/api/model").json()
    assert model["recipe"]["name"] == "robust"
    assert model["result"]["test_accuracy"] > 0.99
    assert model["bytes"] == shipped().size
    assert model["detector_bytes"] == sum((MODELS / f).stat().st_size for f in (DETECT, LOOK))
    assert client.get("/healthz").json() == {"status": "ok"}
    for path in ("/api/model", "/healthz"):
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b"")


def test_the_page_and_what_belongs_to_it(client: httpx.Client) -> None:
    for path, (name, media_type) in server.FILES.items():
        answer = client.get(path)
        assert answer.content == (server.STATIC / name).read_bytes()
        assert answer.headers["content-type"].startswith(media_type)
        assert client.head(path).content == b""
    text = "".join((server.STATIC / name).read_text() for name in ("index.html", "draw.js"))
    assert "https://" not in text


def test_every_answer_has_the_headers_that_protect(port: int, client: httpx.Client) -> None:
    for path in ("/", "/healthz", "/none"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers
    # What the parser refuses never comes to the application.
    assert exchange(port, b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400")


def test_what_is_refused_and_how(client: httpx.Client) -> None:
    text, body = {"content-type": "text/plain"}, b"seven"
    for status, answer in (
        (404, client.get("/none")),
        (404, client.get("/healthz/")),
        (404, client.get("/docs")),
        (405, client.get("/api/read")),
        (405, client.delete("/")),
        (413, client.post("/api/read", content=bytes(limits.MAXIMUM_BODY + 1))),
        (415, client.post("/api/read", content=body, headers=text)),
        (415, client.post("/api/read", json={"image": "seven"})),
        (415, client.post("/api/read", content=b"%PDF-1.7")),
        (415, client.post("/api/read", files={"picture": b"\n%PDF-1.7"})),
        (421, client.get("/", headers={"host": "rebound.example"})),
        (422, client.post("/api/read", content=body)),
        (422, client.post("/api/read")),
        (422, client.post("/api/read?single=perhaps", content=SEVEN)),
        (422, client.post("/api/read", files={"picture": b"seven"})),
        (422, client.post("/api/read", data={"picture": "7"}, files={"": b""})),
        (422, client.post("/api/explain", content=bytes(783))),
        (405, client.get("/api/table")),
        (415, client.post("/api/table", content=b"%PDF-1.7")),
        (422, client.post("/api/table", content=body)),
        (422, client.post("/api/table?single=true", content=SEVEN)),
    ):
        assert (answer.status_code, list(answer.json())) == (status, ["error"]), answer.text
        assert answer.json()["error"]
    assert client.get("/", headers={"host": "localhost:99"}).status_code == 200
    assert client.put("/api/read", content=SEVEN).headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/../cli.py", "/%2e%2e/cli.py", "/static/../server.py", "//etc"])
def test_no_path_leads_out(path: str, port: int) -> None:
    answer = exchange(port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404")


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


def test_slow_senders_are_cut_off(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(limits, "SECONDS_TO_SEND", 0.3)
    # Where the machine is so slow that even the head takes longer, there is no answer.
    while not (answer := exchange(port, CHUNKED, b"5\r\nseven\r\n")):
        pass
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"x-content-type-options: nosniff" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"].startswith("it took more than")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\n",
        b"POST /none HTTP/1.1\r\n",
        b"POST /api/read HTTP/1.1\r\nContent-Type: text/plain\r\n",
    ],
    ids=["no body is read", "no route", "refused"],
)
def test_nobody_sends_for_ever(head: bytes, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(limits, "SECONDS_TO_SEND", 0.3)
    answer = b""
    while not answer:  # again, where the machine is too slow for the limit
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            with suppress(ConnectionError):
                connection.sendall(head + b"Host: localhost\r\nContent-Length: 100000\r\n\r\n")
                answer = connection.recv(65_536)
            assert closed_by_server(connection, b"x")
    assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="a setting of Linux")
def test_who_does_not_read_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECONDS_TO_SEND", 0.5)
    with serving() as port, socket.create_connection(("127.0.0.1", port)) as connection:
        assert closed_by_server(
            connection, b"GET /draw.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 99
        )


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
    header = b"X: " + b"x" * 1000 + b"\r\n"
    endless = exchange(port, b"GET / HTTP/1.1\r\nHost: localhost\r\n", *[header] * 200)
    assert endless[:12] in (b"", b"HTTP/1.1 400")
    whole = exchange(port, b"GET / HTTP/1.1\r\nHost: localhost\r\n", *[header] * 20, b"\r\n")
    assert whole.startswith(b"HTTP/1.1 200")


def test_half_closed_and_broken_off(port: int, client: httpx.Client) -> None:
    for head in (b"", b"GE", CHUNKED, POST + b"Content-Length: 100\r\n\r\nabc"):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(head)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(10) == b""
    assert client.post("/api/read", content=SEVEN).json()["text"] == "7"


def test_bombs_and_damaged_pictures(client: httpx.Client) -> None:
    random = np.random.default_rng(0)
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        len(content).to_bytes(4, "big")
        + kind
        + content
        + zlib.crc32(kind + content).to_bytes(4, "big")
        for kind, content in (
            (b"IHDR", (100_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"),
            (b"IDAT", zlib.compress(bytes(10_000_000))),
            (b"IEND", b""),
        )
    )
    answer = client.post("/api/read", content=bomb)
    assert answer.status_code == 422
    assert "pixels" in answer.json()["error"]
    for _ in range(100):
        damaged = bytearray(SEVEN)
        for place in random.integers(0, len(damaged), 8):
            damaged[place] = random.integers(256)
        status = client.post("/api/read", content=bytes(damaged)).status_code
        assert status in (200, 422)


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
    monkeypatch: pytest.MonkeyPatch, port: int, client: httpx.Client
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
    with serving() as port:
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=60).status_code == 503


def test_the_test_digits_are_genuine_and_the_wrong_ones_wrong(
    test_set: Digits, client: httpx.Client
) -> None:
    test = test_set
    outcomes = []
    for place, sample in enumerate(SAMPLES):
        image = test.images[sample["index"], 0].numpy()
        assert (frame(place) == image).all()
        assert sample["label"] == int(test.labels[sample["index"]])
        assert sample["index"] not in WRONG_TEST_LABELS
        text = client.post("/api/read?single=true", content=png(image)).json()["text"]
        assert text == str(shipped().classify(image[None]).argmax()) == str(sample["answer"])
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
    assert told().startswith("Draw at http://127.0.0.1:")
    assert f"http://127.0.0.1:{port}/" not in told()
    line = told("--port", 0, "--host", "0.0.0.0")
    assert line.startswith("Draw at http://127.0.0.1:")
    assert "Others open it with" in line
    assert told("--port", 0, "--host", "localhost").startswith("Draw at http://localhost:")


def test_which_names_are_the_servers() -> None:
    def status(port: int, host: str) -> int:
        answer = httpx.get(f"http://127.0.0.1:{port}/healthz", headers={"host": host}, timeout=60)
        if answer.status_code == 421:
            assert "--allowed-host" in answer.json()["error"]
        return answer.status_code

    own = ["localhost", "LOCALHOST.:99", "127.0.0.1:99", "[::1]:99", "10.0.0.7"]
    own += [socket.gethostname(), "digits.example:99"]
    others = ["rebound.example", "127.0.0.1.rebound.example", "digits.example.org", "7.", ""]
    with serving(allowed=("Digits.example:443",)) as port:
        assert {status(port, host) for host in own} == {200}
        assert {status(port, host) for host in others} == {421}
    with serving(host="0.0.0.0") as port:
        assert status(port, "any.example") == 200


def test_how_many_pictures_are_decoded_at_once_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, threads in ((1, 1), (2, 2), (64, 8)):
        monkeypatch.setattr(limits, "usable_cores", lambda cores=cores: cores)
        assert limits.WorkerPool().threads._max_workers == threads


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


def test_the_command_serves_without_torch_and_stops(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom mnist_digits.cli.main import main\n"
        "status = main(['app', '--port', '0', '--no-browser'])\n"
        "print(status, {'torch', 'torchvision', 'matplotlib'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=tmp_path, **pipes) as process:  # type: ignore[call-overload]
        line = process.stdout.readline()
        address = line.split()[2]
        assert httpx.post(f"{address}api/read", content=SEVEN, timeout=60).json()["text"] == "7"
        process.send_signal(2)
        output, errors = process.communicate(timeout=60)
    assert output == "130 set()\n"
    assert errors == "\nmnist-digits app: stopped\n"


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
            answer = httpx.post(f"http://127.0.0.1:{port}/api/read", content=SEVEN, timeout=60)
            assert answer.status_code == 500
            assert answer.json() == {"error": "the server has failed: its log says how"}
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=60).status_code == 200
    assert capsys.readouterr().err.count("RuntimeError: a fault of the reader") == 2


def test_a_model_of_another_kind() -> None:
    """With test-time augmentation: the probabilities are its only output, nothing shows the inside.

    And taught: its result names each picture and why it was left out, which nobody is told.
    """
    import onnx

    model = onnx.load(SHIPPED / "model.onnx")
    del model.graph.output[1:]
    (entry,) = (entry for entry in model.metadata_props if entry.key == "information")
    information = json.loads(entry.value)
    information["result"]["teaching"] = {"left_out": [{"reason": "there is no file /home/a/7.png"}]}
    entry.value = json.dumps(information)
    with serving(Reader(with_checksum(model.SerializeToString()), threads=1)) as port:
        api = f"http://127.0.0.1:{port}/api/"
        facts = httpx.get(f"{api}model", timeout=60)
        answer = httpx.post(f"{api}explain", content=frame(7).tobytes(), timeout=60).json()
    assert (answer["digit"], answer["stages"]) == (7, [])
    assert facts.json()["result"]["test_accuracy"] > 0.99
    assert "7.png" not in facts.text
