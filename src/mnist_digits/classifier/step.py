"""One step of training: answers, their loss, its gradient, new weights.

On a GPU the step is recorded as a CUDA graph, which runs its hundred small operations in one go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from .device import uses_bfloat16
from .recipe import Recipe

# Steps that a GPU takes one operation at a time before one is recorded. In these, libraries choose
# algorithms and the optimizer makes its state, which must not be part of the recording.
WARM_UP = 3


class Step:
    """A step of training by the recipe, to be called with each batch in turn.

    Takes images (N + M, 1, 28, 28), of which the last M are negatives, and the labels (N,) of
    the others. Gives the loss and the right answers, each summed over the digits, (2,); they stay
    on the device.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, recipe: Recipe) -> None:
        self.model, self.optimizer, self.recipe = model, optimizer, recipe
        device = next(model.parameters()).device
        self.bfloat16 = uses_bfloat16(recipe.precision, device)
        self.take = Recorded(self._take, device) if device.type == "cuda" else self._take

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.take(images, labels)

    def _take(self, images: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits = self.model(images).float()
        loss = _loss(logits, labels, self.recipe)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        right = (logits[: len(labels)].argmax(dim=1) == labels).float().mean()
        return torch.stack([loss.detach(), right]) * len(labels)


def _loss(logits: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    """Cross-entropy of logits (M, 10): the first N against their labels.

    The rest (negatives) are compared with ten equal probabilities, at the recipe's weight.
    """
    digits, others = logits[: len(labels)], logits[len(labels) :]
    loss = functional.cross_entropy(digits, labels, label_smoothing=recipe.label_smoothing)
    if len(others):
        loss = loss - recipe.negatives * others.log_softmax(dim=1).mean()
    return loss


Shapes = tuple[torch.Size, ...]


class Recorded:
    """A function of tensors on a GPU, recorded as a CUDA graph for each shape of its arguments.

    Launching operations one by one takes a CPU 2.9 ms for a step of `fast` (NVIDIA H200),
    replaying them 0.5 ms (H100). The function must not wait for the device.
    """

    def __init__(self, function: Callable[..., Tensor], device: torch.device) -> None:
        self.function = function
        # A stream of its own: recording needs one, and cannot record work of another stream.
        self.stream = torch.cuda.Stream(device)
        self.calls: Counter[Shapes] = Counter()
        self.graphs: dict[Shapes, tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], Tensor]] = {}

    def __call__(self, *arguments: Tensor) -> Tensor:
        shapes = tuple(argument.shape for argument in arguments)
        self.calls[shapes] += 1
        if self.calls[shapes] <= WARM_UP:
            return self._beside(arguments)
        if shapes not in self.graphs:
            self.graphs[shapes] = self._record(arguments)
        graph, inputs, output = self.graphs[shapes]
        for place, argument in zip(inputs, arguments, strict=True):
            place.copy_(argument)
        graph.replay()
        return output.clone()

    def _beside(self, arguments: tuple[Tensor, ...]) -> Tensor:
        """The function's result, computed on this object's own stream."""
        current = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            result = self.function(*arguments)
        current.wait_stream(self.stream)
        return result

    def _record(
        self, arguments: tuple[Tensor, ...]
    ) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], Tensor]:
        """The graph, where it reads its arguments, and where it leaves its result."""
        inputs = tuple(argument.clone() for argument in arguments)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            output = self.function(*inputs)
        return graph, inputs, output
