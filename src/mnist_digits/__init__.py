"""Read handwritten digits: data, recipes, training, evaluation, figures.

The names below are the library. They are imported when they are first used, so that
`import mnist_digits` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .augmentation import augment as augment
    from .checkpoint import load as load
    from .checkpoint import new_directory as new_directory
    from .checkpoint import save as save
    from .dataset import Digits as Digits
    from .dataset import load_mnist as load_mnist
    from .dataset import split_validation as split_validation
    from .documents import read_pages as read_pages
    from .errors import CheckpointError as CheckpointError
    from .errors import ClusterError as ClusterError
    from .errors import DatasetError as DatasetError
    from .errors import MnistDigitsError as MnistDigitsError
    from .errors import PictureError as PictureError
    from .errors import RecipeError as RecipeError
    from .errors import ServerError as ServerError
    from .errors import TrainingError as TrainingError
    from .evaluation import Evaluation as Evaluation
    from .evaluation import evaluate as evaluate
    from .model import DigitNet as DigitNet
    from .reader import Digit as Digit
    from .reader import Reader as Reader
    from .reader import Reading as Reading
    from .recipe import ACCURATE as ACCURATE
    from .recipe import BALANCED as BALANCED
    from .recipe import ENSEMBLE as ENSEMBLE
    from .recipe import FAST as FAST
    from .recipe import ROBUST as ROBUST
    from .recipe import Recipe as Recipe
    from .training import Epoch as Epoch
    from .training import Run as Run
    from .training import pick_device as pick_device
    from .training import train as train

_HOMES = {
    "ACCURATE": "recipe",
    "BALANCED": "recipe",
    "CheckpointError": "errors",
    "ClusterError": "errors",
    "DatasetError": "errors",
    "Digit": "reader",
    "DigitNet": "model",
    "Digits": "dataset",
    "ENSEMBLE": "recipe",
    "Epoch": "training",
    "Evaluation": "evaluation",
    "FAST": "recipe",
    "MnistDigitsError": "errors",
    "PictureError": "errors",
    "ROBUST": "recipe",
    "Reader": "reader",
    "Reading": "reader",
    "Recipe": "recipe",
    "RecipeError": "errors",
    "Run": "training",
    "ServerError": "errors",
    "TrainingError": "errors",
    "augment": "augmentation",
    "evaluate": "evaluation",
    "load": "checkpoint",
    "load_mnist": "dataset",
    "new_directory": "checkpoint",
    "pick_device": "training",
    "read_pages": "documents",
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
