"""The benchmark's parts: the peers are what they are said to be, and the tables add up."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peers import M3, PEERS, PYTORCH_EXAMPLE, TRAIN_MNIST_FAST, Peer, train_peer
from tables import first_reached, results, training_row
from torch import nn

from mnist_digits import Digits


def parameters(peer: Peer) -> int:
    return sum(parameter.numel() for parameter in peer.network().parameters())


def test_the_peers_networks_are_of_the_size_that_is_known() -> None:
    assert parameters(PYTORCH_EXAMPLE) == 1_199_882
    assert parameters(TRAIN_MNIST_FAST) == 624 + 6_944 + 205_056 + 2_570
    # Ten convolutions take 28×28 down to 8×8.
    images = torch.zeros(2, 1, 28, 28)
    assert M3.network()[:-2](images).shape == (2, 176 * 8 * 8)  # type: ignore[index]


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_learns_and_can_be_stopped(name: str, mnist: tuple[Digits, Digits]) -> None:
    def on_epoch(network: nn.Module, _: float) -> None:
        assert network(mnist[1].images[:3]).shape == (3, 10)

    seconds, steps = train_peer(PEERS[name], mnist[0], 0, on_epoch, stop_after=0.5)
    assert steps >= 1
    assert seconds >= 0.5


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
        "| fast | 2 | 99.00% ± 0.14% | 3.0 s | 0.38× | 2.0 s (1 of 2) | – | – | 1.00 GiB |"
    )
    assert "not trained to its end | 8.0 s*" in training_row(OUTCOMES[2:], reference=8.0)


def test_an_accuracy_is_reached_at_the_first_epoch_that_has_it() -> None:
    run = {"epochs": [[1.0, 0.98], [2.0, 0.991], [3.0, 0.989], [4.0, 0.996]]}
    assert first_reached([run], 0.99) == "2.0 s"
    assert first_reached([run], 0.995) == "4.0 s"
    assert first_reached([run], 0.997) == "–"


def test_the_report_tells_where_and_how() -> None:
    text = results(OUTCOMES, [("fast", 50_000.0, 0.001)], 6.0, 3.0, full=False)
    assert "python benchmarks/run.py`" in text
    assert f"torch {torch.__version__}" in text
    assert "| fast | 50,000 | 1.00 ms |" in text
