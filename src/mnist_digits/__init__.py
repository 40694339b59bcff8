"""Read handwritten digits: data, recipes, training, evaluation, figures.

The names below are the library. They are imported when they are first used, so that
`import mnist_digits` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import plots as plots
    from . import report as report
    from .classifier import checkpoint as checkpoint
    from .classifier.augmentation import augment as augment
    from .classifier.checkpoint import load as load
    from .classifier.checkpoint import new_directory as new_directory
    from .classifier.checkpoint import save as save
    from .classifier.device import pick_device as pick_device
    from .classifier.evaluation import Evaluation as Evaluation
    from .classifier.evaluation import evaluate as evaluate
    from .classifier.examples import load_examples as load_examples
    from .classifier.loop import Epoch as Epoch
    from .classifier.loop import Run as Run
    from .classifier.loop import train as train
    from .classifier.model import DigitNet as DigitNet
    from .classifier.recipe import ACCURATE as ACCURATE
    from .classifier.recipe import BALANCED as BALANCED
    from .classifier.recipe import FAST as FAST
    from .classifier.recipe import RECORD as RECORD
    from .classifier.recipe import ROBUST as ROBUST
    from .classifier.recipe import Recipe as Recipe
    from .classifier.teaching import teach as teach
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
    from .plots import insight as insight
    from .plots import reading_plots
    from .reading.documents import read_pages as read_pages
    from .reading.reader import Reader as Reader
    from .reading.result import Digit as Digit
    from .reading.result import Number as Number
    from .reading.result import Reading as Reading
    from .reading.tables import Table as Table
    from .reading.tables import read_table as read_table

    readings = reading_plots

_HOMES = {
    "ACCURATE": "classifier.recipe",
    "BALANCED": "classifier.recipe",
    "CheckpointError": "errors",
    "Number": "reading.result",
    "OutputError": "errors",
    "UsageError": "errors",
    "ClusterError": "errors",
    "DatasetError": "errors",
    "Digit": "reading.result",
    "DigitNet": "classifier.model",
    "Digits": "data.dataset",
    "Epoch": "classifier.loop",
    "Evaluation": "classifier.evaluation",
    "FAST": "classifier.recipe",
    "MnistDigitsError": "errors",
    "PictureError": "errors",
    "RECORD": "classifier.recipe",
    "ROBUST": "classifier.recipe",
    "Reader": "reading.reader",
    "Reading": "reading.result",
    "Recipe": "classifier.recipe",
    "RecipeError": "errors",
    "Run": "classifier.loop",
    "ServerError": "errors",
    "Table": "reading.tables",
    "TrainingError": "errors",
    "augment": "classifier.augmentation",
    "evaluate": "classifier.evaluation",
    "load": "classifier.checkpoint",
    "load_examples": "classifier.examples",
    "load_mnist": "data.dataset",
    "new_directory": "classifier.checkpoint",
    "pick_device": "classifier.device",
    "read_pages": "reading.documents",
    "read_table": "reading.tables",
    "save": "classifier.checkpoint",
    "split_validation": "data.dataset",
    "teach": "classifier.teaching",
    "train": "classifier.loop",
    "unpack_mnist": "data.idx",
}
# Modules that are used by name.
_MODULES = {
    "checkpoint": "classifier.checkpoint",
    "insight": "plots.insight",
    "plots": "plots",
    "readings": "plots.reading_plots",
    "report": "report",
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
