"""Read handwritten digits: data, recipes, training, evaluation, figures.

The names below are the library. They are imported when they are first used, so that
`import mnist_digits` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .command import report as report
    from .data.dataset import Digits as Digits
    from .data.dataset import load_mnist as load_mnist
    from .data.dataset import split_validation as split_validation
    from .data.idx import unpack_mnist as unpack_mnist
    from .errors import CheckpointError as CheckpointError
    from .errors import ClusterError as ClusterError
    from .errors import DatasetError as DatasetError
    from .errors import MnistDigitsError as MnistDigitsError
    from .errors import OutputError as OutputError
    from .errors import PictureError as PictureError
    from .errors import RecipeError as RecipeError
    from .errors import ServerError as ServerError
    from .errors import TrainingError as TrainingError
    from .errors import UsageError as UsageError
    from .figures import insight as insight
    from .figures import plots as plots
    from .figures import readings as readings
    from .reading.documents import read_pages as read_pages
    from .reading.reader import Reader as Reader
    from .reading.result import Digit as Digit
    from .reading.result import Number as Number
    from .reading.result import Reading as Reading
    from .reading.tables import Table as Table
    from .reading.tables import read_table as read_table
    from .training import checkpoint as checkpoint
    from .training.augmentation import augment as augment
    from .training.checkpoint import load as load
    from .training.checkpoint import new_directory as new_directory
    from .training.checkpoint import save as save
    from .training.device import pick_device as pick_device
    from .training.evaluation import Evaluation as Evaluation
    from .training.evaluation import evaluate as evaluate
    from .training.examples import load_examples as load_examples
    from .training.loop import Epoch as Epoch
    from .training.loop import Run as Run
    from .training.loop import train as train
    from .training.model import DigitNet as DigitNet
    from .training.recipe import ACCURATE as ACCURATE
    from .training.recipe import BALANCED as BALANCED
    from .training.recipe import FAST as FAST
    from .training.recipe import RECORD as RECORD
    from .training.recipe import ROBUST as ROBUST
    from .training.recipe import Recipe as Recipe
    from .training.teaching import teach as teach

_HOMES = {
    "ACCURATE": "training.recipe",
    "BALANCED": "training.recipe",
    "CheckpointError": "errors",
    "Number": "reading.result",
    "OutputError": "errors",
    "UsageError": "errors",
    "ClusterError": "errors",
    "DatasetError": "errors",
    "Digit": "reading.result",
    "DigitNet": "training.model",
    "Digits": "data.dataset",
    "Epoch": "training.loop",
    "Evaluation": "training.evaluation",
    "FAST": "training.recipe",
    "MnistDigitsError": "errors",
    "PictureError": "errors",
    "RECORD": "training.recipe",
    "ROBUST": "training.recipe",
    "Reader": "reading.reader",
    "Reading": "reading.result",
    "Recipe": "training.recipe",
    "RecipeError": "errors",
    "Run": "training.loop",
    "ServerError": "errors",
    "Table": "reading.tables",
    "TrainingError": "errors",
    "augment": "training.augmentation",
    "evaluate": "training.evaluation",
    "load": "training.checkpoint",
    "load_examples": "training.examples",
    "load_mnist": "data.dataset",
    "new_directory": "training.checkpoint",
    "pick_device": "training.device",
    "read_pages": "reading.documents",
    "read_table": "reading.tables",
    "save": "training.checkpoint",
    "split_validation": "data.dataset",
    "teach": "training.teaching",
    "train": "training.loop",
    "unpack_mnist": "data.idx",
}
# Modules that are used by name.
_MODULES = {
    "checkpoint": "training.checkpoint",
    "insight": "figures.insight",
    "plots": "figures.plots",
    "readings": "figures.readings",
    "report": "command.report",
}
__all__ = [*_HOMES, *_MODULES]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
