"""Read handwritten digits: data, recipes, training, evaluation, figures.

The names below are the library. They are imported when they are first used, so that
`import mnist_digits` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .augmentation import augment
    from .checkpoint import load, new_directory, save
    from .dataset import Digits, load_mnist, split_validation
    from .errors import (
        CheckpointError,
        DatasetError,
        MnistDigitsError,
        RecipeError,
        TrainingError,
    )
    from .evaluation import Evaluation, evaluate
    from .model import DigitNet
    from .recipe import ACCURATE, FAST, Recipe
    from .training import Epoch, Run, pick_device, train

_HOMES = {
    "ACCURATE": "recipe",
    "CheckpointError": "errors",
    "DatasetError": "errors",
    "DigitNet": "model",
    "Digits": "dataset",
    "Epoch": "training",
    "Evaluation": "evaluation",
    "FAST": "recipe",
    "MnistDigitsError": "errors",
    "Recipe": "recipe",
    "RecipeError": "errors",
    "Run": "training",
    "TrainingError": "errors",
    "augment": "augmentation",
    "evaluate": "evaluation",
    "load": "checkpoint",
    "load_mnist": "dataset",
    "new_directory": "checkpoint",
    "pick_device": "training",
    "save": "checkpoint",
    "split_validation": "dataset",
    "train": "training",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
