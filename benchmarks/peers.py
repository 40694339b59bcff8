"""The three published recipes that ours are measured against.

Written anew from what is known of them (network, optimiser, schedule, batch size,
epochs); their code is not used. Each keeps what makes it itself, its way of feeding the
network included. `train_peer` trains one and tells the time without the evaluations.

    python benchmarks/peers.py NAME    # train one to its end
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from mnist_digits import Digits, evaluate, load_mnist, unpack_mnist
from mnist_digits.classifier.augmentation import augment
from mnist_digits.classifier.recipe import Recipe

MEAN, DEVIATION = 0.1307, 0.3081

Batches = Iterator[tuple[Tensor, Tensor]]


class Normalized(nn.Module):
    """A network that wants scaled pixels, fed with raw ones, as the project evaluates."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(scaled(images).contiguous())


@dataclass(frozen=True)
class Peer:
    """A published recipe.

    `published` is where it is from, and what it reached there, `accuracy` on the test set.
    `batches(digits, batch_size)` are the scaled images and labels of one epoch; the schedule
    moves on after each step (`each_step`) or after each epoch. `prepare` is done before the
    time counts.
    """

    name: str
    published: str
    accuracy: float
    epochs: int
    batch_size: int
    network: Callable[[], nn.Module]
    batches: Callable[[Digits, int], Batches]
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    schedule: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]
    each_step: bool = False
    average_decay: float = 0.0
    prepare: Callable[[], object] = lambda: None


def train_peer(
    peer: Peer,
    digits: Digits,
    seed: int,
    on_epoch: Callable[[nn.Module, float], None],
    stop_after: float = float("inf"),
) -> tuple[float, int]:
    """Train for all its epochs, or until `stop_after` seconds have gone by.

    `on_epoch` gets the network (raw pixels in) and the seconds so far; what it does itself
    is not counted. Returns the seconds and the number of steps that were made.
    """
    peer.prepare()
    started, seconds, steps = time.perf_counter(), 0.0, 0
    torch.manual_seed(seed)
    network = peer.network()
    optimizer = peer.optimizer(network)
    schedule = peer.schedule(optimizer)
    average = averaged(network, peer.average_decay) if peer.average_decay else None
    result = average.module if average else network
    for _ in range(peer.epochs):
        network.train()
        for images, labels in peer.batches(digits, peer.batch_size):
            optimizer.zero_grad()
            functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
            steps += 1
            if average:
                average.update_parameters(network)
            if peer.each_step:
                schedule.step()
            if seconds + time.perf_counter() - started > stop_after:
                return seconds + time.perf_counter() - started, steps
        if not peer.each_step:
            schedule.step()
        seconds += time.perf_counter() - started
        on_epoch(Normalized(result), seconds)
        started = time.perf_counter()
    return seconds, steps


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of the network's weights."""
    rule = get_ema_multi_avg_fn(decay)
    return AveragedModel(network, multi_avg_fn=rule, use_buffers=True)


def scaled(images: Tensor) -> Tensor:
    """Pixels of 0 to 255 as the peers want them: mean 0, standard deviation 1."""
    return (images.float() / 255 - MEAN) / DEVIATION


# PyTorch's example "mnist": two convolutions, a loader over the files, 14 epochs. On a CPU
# it does not shuffle.


def example_network() -> nn.Module:
    """Two 3×3 convolutions, pool, dropout, two linear layers."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten()),
        *(nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)),
    )


@cache
def example_data() -> datasets.MNIST:
    """torchvision's data set, which keeps the images in memory, with transforms."""
    transform = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((MEAN,), (DEVIATION,))]
    )
    with tempfile.TemporaryDirectory() as folder:
        unpack_mnist(folder)
        return datasets.MNIST(folder, train=True, transform=transform)


def example_batches(_: Digits, batch_size: int) -> Batches:
    """Through a DataLoader, in the file's order."""
    yield from DataLoader(example_data(), batch_size=batch_size)


PYTORCH_EXAMPLE = Peer(
    name="PyTorch example",
    published="`mnist` among PyTorch's examples on GitHub: about 99.2% after 14 epochs",
    accuracy=0.992,
    epochs=14,
    batch_size=64,
    network=example_network,
    batches=example_batches,
    optimizer=lambda network: torch.optim.Adadelta(network.parameters(), lr=1.0),
    schedule=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.7),
    prepare=example_data,
)


# train_mnist_fast: one epoch in the file's order, one-cycle.


def speed_network() -> nn.Module:
    """A 5×5 and a 3×3 convolution, each with a pool; two linear layers."""
    return nn.Sequential(
        *(nn.Conv2d(1, 24, 5), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Conv2d(24, 32, 3), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(800, 256), nn.Linear(256, 10)),
    )


def speed_batches(digits: Digits, batch_size: int) -> Batches:
    """The whole set scaled at once, then slices of it."""
    images = scaled(digits.images)
    yield from zip(images.split(batch_size), digits.labels.split(batch_size), strict=True)


TRAIN_MNIST_FAST = Peer(
    name="train_mnist_fast",
    published="Tuomas Oikarinen, on GitHub: 99.04% on average, in 0.76 s on a GTX 1660 Ti",
    accuracy=0.9904,
    epochs=1,
    batch_size=256,
    network=speed_network,
    batches=speed_batches,
    optimizer=lambda network: torch.optim.Adam(network.parameters(), lr=0.01, betas=(0.7, 0.9)),
    schedule=lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.01, total_steps=235 + 1, cycle_momentum=False
    ),
    each_step=True,
)


# MnistSimpleCNN M3: ten convolutions at full resolution, 150 epochs.


def accuracy_network() -> nn.Module:
    """Ten 3×3 convolutions without padding, 32 to 176 channels."""
    widths = [1, *range(32, 177, 16)]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    layers += [nn.Flatten(), nn.Linear(176 * 8 * 8, 10, bias=False), nn.BatchNorm1d(10)]
    return nn.Sequential(*layers)


def accuracy_batches(digits: Digits, batch_size: int) -> Batches:
    """Shuffled, each image rotated by up to 20 degrees and shifted by up to a fifth."""
    moves = Recipe(rotation=20.0, shift=5.6)
    for batch in torch.randperm(len(digits)).split(batch_size):
        yield scaled(augment(digits.images[batch], moves)), digits.labels[batch]


M3 = Peer(
    name="MnistSimpleCNN M3",
    published='An, Lee, Park, Yang and So, "An Ensemble of Simple Convolutional Neural Network '
    'Models for MNIST Digit Recognition", 2020: 99.70% on average after the last of 150 epochs',
    accuracy=0.997,
    epochs=150,
    batch_size=120,
    network=accuracy_network,
    batches=accuracy_batches,
    optimizer=lambda network: torch.optim.Adam(network.parameters(), lr=1e-3),
    schedule=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.98),
    average_decay=0.999,
)

PEERS = {peer.name: peer for peer in (PYTORCH_EXAMPLE, TRAIN_MNIST_FAST, M3)}


def main(name: str) -> None:
    """Train a peer to its end; tell its test accuracy."""
    digits, test = load_mnist()

    def on_epoch(network: nn.Module, seconds: float) -> None:
        print(f"{seconds:.1f} s: test accuracy {evaluate(network, test).accuracy:.2%}")

    train_peer(PEERS[name], digits, 0, on_epoch)


if __name__ == "__main__":
    main(sys.argv[1])
