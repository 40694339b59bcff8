"""The benchmark's parts: the peers are what they are said to be, and the tables add up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from answers import Answer, digits_right, distance
from constants import constants, size_text
from doubt import Row, cells, summed, textures
from folders import Folder, number_table
from other_digits import filled, small_table
from pairs import drawn_pair, pair_table
from peers import M3, PEERS, PYTORCH_EXAMPLE, TRAIN_MNIST_FAST, Peer, train_peer
from pictures import main
from rapidocr import Rapid, digits_of
from run import train_ours
from scenes import KINDS, example, scene_table
from sheets import fitted, mistakes_figure
from tables import first_reached, results, training_row
from timing import pictures as timed_pictures
from torch import nn

import mnist_digits
from mnist_digits import FAST, Digits, evaluate
from mnist_digits.reading.labelled import Labelled
from mnist_digits.synthesis.scene import FEATURES, LAYOUTS
from mnist_digits.synthesis.templates import Templates, load_templates


def parameters(peer: Peer) -> int:
    return sum(parameter.numel() for parameter in peer.network().parameters())


def test_the_peers_networks_are_of_the_size_that_is_known() -> None:
    sizes = [
        sum(parameter.numel() for parameter in peer.network().parameters())
        for peer in (PYTORCH_EXAMPLE, TRAIN_MNIST_FAST)
    ]
    assert sizes == [1_199_882, 624 + 6_944 + 205_056 + 2_570]
    # Ten convolutions take 28×28 down to 8×8.
    images = torch.zeros(2, 1, 28, 28)
    assert M3.network()[:-2](images).shape == (2, 176 * 8 * 8)  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.parametrize("peer", PEERS.values(), ids=lambda peer: peer.name)
def test_a_peer_is_trained_or_stopped(peer: Peer, training_set: Digits) -> None:
    outputs = []

    def on_epoch(network: nn.Module, _: float) -> None:
        outputs.append(network(training_set.images[:3]).shape)

    few = training_set[: peer.batch_size + 2]
    seconds, steps = train_peer(peer, few, 0, on_epoch, stop_after=0)
    assert (seconds > 0, steps, outputs) == (True, 1, [])
    if peer is not PYTORCH_EXAMPLE:  # it has data of its own: all of MNIST
        _, steps = train_peer(replace(peer, epochs=1), few, 0, on_epoch)
        assert (steps, outputs) == (2, [(3, 10)])


def outcome(name: str, seconds: float, accuracy: float, finished: bool = True) -> dict[str, Any]:
    epochs = [[seconds, accuracy]] if finished else []
    known = {"name": name, "seconds": seconds, "finished": finished, "epochs": epochs}
    return known | {"peak_memory": 2**30}


OUTCOMES = [
    outcome("fast", 2.0, 0.991),
    outcome("fast", 4.0, 0.989),
    outcome("train_mnist_fast", 8.0, 0.0, finished=False),
]


def test_a_row_is_the_mean_over_the_seeds_and_the_ratio_to_the_peer() -> None:
    row = training_row(OUTCOMES[:2], reference=8.0)
    assert row == (
        "| fast | 2 | 99.00% ± 0.14% | 3.0 s | 0.38× | 2.0 s (1 of 2) | – | – | – | – | 1.00 GiB |"
    )
    doubt = {"calibration_error": 0.0012, "negative_log_likelihood": 0.03}
    assert "| 0.12% | 0.0300 |" in training_row([OUTCOMES[0] | doubt], reference=8.0)
    assert "not trained to its end | 8.0 s*" in training_row(OUTCOMES[2:], reference=8.0)
    # An accuracy is reached at the first epoch that has it.
    run = {"epochs": [[1.0, 0.98], [2.0, 0.991], [3.0, 0.989], [4.0, 0.996]]}
    reached = [first_reached([run], accuracy) for accuracy in (0.99, 0.995, 0.997)]
    assert reached == ["2.0 s", "4.0 s", "–"]


def test_the_report_tells_where_and_how() -> None:
    commands = {"mnist-digits train fast": 3.0, "train_mnist_fast": 12.0, "mnist-digits show": 0.5}
    text = results(OUTCOMES, [("fast", 50_000.0, 0.001)], commands, full=False)
    for part in (
        *("python benchmarks/run.py`", f"torch {torch.__version__}", "| fast | 50,000 | 1.00 ms |"),
        *("| `mnist-digits train fast` | 3.00 s: 0.25× |", "| `mnist-digits show` | 0.50 s |"),
    ):
        assert part in text


def test_a_training_that_was_stopped_goes_on(
    mnist: tuple[Digits, Digits], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(FAST, widths=(4, 8), hidden=8, epochs=3)
    digits, test = mnist[0][:1000], mnist[1][:500]
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    whole, epochs = train_ours(recipe, digits, test, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("run.evaluate", Mock(side_effect=[evaluate(whole.model, test), KeyError]))
        with pytest.raises(KeyError):
            train_ours(recipe, digits, test, tmp_path / "stopped")
    resumed, others = train_ours(recipe, digits, test, tmp_path / "stopped")
    assert [accuracy for _, accuracy in others[1:]] == [accuracy for _, accuracy in epochs[1:]]
    assert len(others) == len(epochs) == 3
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name])


@pytest.fixture(scope="module")
def templates(test_set: Digits) -> Templates:
    return load_templates(test_set[:60], synthetic=0)


@pytest.mark.slow
def test_a_scene_shows_what_its_kind_says_and_is_always_the_same(templates: Templates) -> None:
    assert len(KINDS) >= 20
    for name, kind in KINDS.items():
        assert set(kind.layouts) <= LAYOUTS.keys()
        assert (kind.features or frozenset()) <= FEATURES.keys()
        made = example(templates, name, 1)
        assert bool(made.text) == (kind.layouts != ("none",)), name
    assert np.array_equal(made.pixels, example(templates, name, 1).pixels)
    few = example(templates, "from few pixels", 0)
    assert all(digit.size > 60 for digit in few.digits)
    deleted = example(templates, "some deleted", 0)
    assert len(deleted.text.replace("/", "")) < len(deleted.digits)


def answer(truth: str, text: str, sure: bool = False) -> Answer:
    kind = "written" if truth else "blank"
    return Answer(kind, truth, text, sure, lambda: np.zeros((9, 20, 3), np.uint8))


ANSWERS = [answer("12/3", "12/3", True), answer("456", "4567"), answer("", "1", True)]


def test_the_distance_of_two_texts() -> None:
    pairs = [("", ""), ("123", ""), ("", "123"), ("1234", "134"), ("12", "21")]
    assert [distance(*pair) for pair in pairs] == [0, 3, 3, 1, 2]
    assert distance("kitten", "sitting") == 3


def test_digits_too_many_and_missing_ones_count_but_no_spaces() -> None:
    spaced = answer("12345/6", "123 45/6", True)
    for answers, share in (
        (ANSWERS[:2], "83.33%"),
        ([answer("12/3", "123")], "100.00%"),
        ([answer("1", "2345")], "0.00%"),
        ([answer("", "1")], "–"),
        ([spaced], "100.00%"),
    ):
        assert digits_right(answers) == share
    assert spaced.right
    assert not spaced.surely_wrong
    assert not answer("12", "1 3").right


def test_the_table_of_scenes_adds_up() -> None:
    lines = scene_table(ANSWERS).splitlines()
    assert lines[2] == "| all with digits | 2 | 50.00% | 83.33% | 1 | 0 |"
    assert lines[3] == "| all without | 1 | 0.00% | – | 1 | 1 |"
    assert [line.split(" | ")[0] for line in lines[4:]] == ["| written", "| blank"]


def test_the_table_of_numbers_adds_up() -> None:
    truth = {"rows/a.png": "12/3", "rows/b.png": "45", "rows/c.png": "67", "one/d.png": "8"}
    kinds = dict.fromkeys(truth, "scan") | {"rows/c.png": "photo"}

    def numbers(texts: dict[str, str]) -> Folder:
        """A folder whose pictures were read as these texts, the first of them surely."""
        pictures = [Labelled(Path(name), truth[name], kinds[name]) for name in texts]
        answers = [
            replace(answer(truth[name], text, not number), kind=f"{name[:-6]}: {kinds[name]}")
            for number, (name, text) in enumerate(texts.items())
        ]
        return Folder(pictures, answers, {Path("one/d.png"): True})

    folder = numbers(dict(zip(truth, ["1 2/3", "456", "67", ""], strict=True)))
    assert folder.of_numbers
    found = {Path(name): text for name, text in zip(truth, ["123", "45", "", "8"], strict=True)}
    lines = number_table(folder, Rapid("1", found, {})).splitlines()
    assert [line.split(" | ")[:4] for line in lines[2:]] == [
        ["| all", "4", "50.00%", "75.00%"],
        ["| rows", "3", "66.67%", "85.71%"],
        ["| rows: scan", "2", "50.00%", "80.00%"],
        ["| rows: photo", "1", "100.00%", "100.00%"],
        ["| one", "1", "0.00%", "0.00%"],
    ]
    assert lines[2].endswith(" | 1 | 0 | 50.00% | 100.00% | 75.00% | – |")
    assert not numbers({"one/d.png": "8", "rows/b.png": "45"}).of_numbers


def test_pairs_are_close_and_always_the_same() -> None:
    pages = [drawn_pair(number) for number in range(100)]
    assert len({page.tobytes() for page in pages}) == 100
    assert np.array_equal(drawn_pair(7), pages[7])
    for page in pages:
        ys, xs = np.nonzero((page < 128).any(axis=2))
        # Half a height apart, and each at most 0.6 wide.
        assert 96 <= np.ptp(ys) + 1 <= 104
        assert 50 <= np.ptp(xs) + 1 <= 114
        assert page.shape[0] >= np.ptp(ys) + 75
        assert page.shape[1] >= np.ptp(xs) + 75
    lines = pair_table([answer("12", "12", True), answer("34", "3", True)]).splitlines()
    assert lines[2] == "| 2 | 50.00% | 75.00% | 2 | 1 |"


def test_a_small_digit_fills_its_picture() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[4:24, 13:18] = 255
    assert (filled(image, stretched=True) == 255).all()
    kept = filled(image, stretched=False)
    assert kept.shape == (16, 16, 3)
    assert kept[:, 6:10].min() == 255
    assert kept.sum() == 4 * 16 * 3 * 255
    two = [answer("1", "1", True), answer("2", "3")]
    assert small_table(two).splitlines()[2:] == ["| written | 2 | 50.00% | 1 | 0 |"]


def test_sections_are_had_alone_and_then_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sections = {"one": lambda _: iter(["first"]), "two": lambda _: iter(["second"])}
    monkeypatch.setattr("pictures.SECTIONS", sections)
    monkeypatch.setattr("pictures.photographed", lambda _: np.full((60, 60, 3), 255, np.uint8))
    output = tmp_path / "READING.md"

    def bench(*arguments: str) -> None:
        monkeypatch.setattr("sys.argv", ["pictures.py", "--output", str(output), *arguments])
        main()

    bench("--only", "two")
    assert not output.exists()
    assert capsys.readouterr().out == "second\n\n"
    bench()
    assert output.read_text() == "first\n\nsecond\n"
    assert (tmp_path / "reading.jpg").exists()
    with pytest.raises(SystemExit):
        bench("--only", "three")


def test_the_figure_of_mistakes(tmp_path: Path) -> None:
    mistakes_figure(ANSWERS[:1], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
    mistakes_figure(ANSWERS, tmp_path / "two.png")
    assert (tmp_path / "two.png").stat().st_size > 500
    assert fitted((3000, 10), 150) == (150, 1)


def test_what_is_called_sure_is_summed_up() -> None:
    rows = [Row("a", 10, 8, 1), Row("b", 30, 12, 0)]
    assert summed("both", rows) == Row("both", 40, 20, 1)
    assert cells(summed("both", rows)) == ("both", "40", "20 (50.00%)", "1 (5.000%)")
    assert cells(Row("none", 0, 0, 0))[2:] == ("0 (0.00%)", "0")


def test_textures_differ() -> None:
    made = list(textures(4))
    assert len({picture.tobytes() for picture in made}) == 4
    assert all(picture.std() > 1 for picture in made)


def test_the_page_to_be_timed_is_full_of_digits(test_set: Digits) -> None:
    page = timed_pictures(test_set)["a page of 1600 × 1200 pixels with 100 digits"]
    # A hundred squares of 90 pixels, of which ink takes some fifth.
    assert page.shape == (1200, 1600)
    assert 0.05 < (page < 128).sum() / (100 * 90 * 90) < 0.4


def test_the_constants_and_the_modules_that_count(tmp_path: Path) -> None:
    source = 'LIMIT = 0.3\nx = f(5, -7, 255, True, "9")[4:8] + 2 ** 3\ny[6 * n + 1] = 1e-6\n'
    assert sorted(constants(source)) == [1e-6, 0.3, 5, 7]
    for name in ("reader", "reading_order", "picture", "web"):
        (tmp_path / f"{name}.py").write_text("LIMIT = 7\n")
    text = size_text(tmp_path)
    assert "(picture, reading_order and reader) there are 3 lines with 3 numeric constants" in text
    assert "reader and result)" in size_text(Path(mnist_digits.__file__).parent / "reading")


def test_of_what_rapidocr_reads_the_digits_are_kept() -> None:
    def engine(name: str, use_det: bool = True) -> tuple[list[list[Any]] | None, list[float]]:
        if name == "none.png":
            return None, [0.0]
        if name == "broken.png":
            raise ValueError(name)
        found = [[[], "No. 12", 0.9], [[], "3 a", 0.8]]
        return (found if use_det else [["4S6", 0.7]]), [0.0]

    assert digits_of(engine, "some.png") == "123"
    assert digits_of(engine, "some.png", use_det=False) == "46"
    assert digits_of(engine, "none.png") == digits_of(engine, "broken.png") == ""
