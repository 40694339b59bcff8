"""What can go wrong with what a user brings: one class per kind of input.

Every message says what is wrong and what to do about it. The command prints it
on one line and exits with status 2.
"""


class MnistDigitsError(Exception):
    """Base of the errors below: catch it to catch them all."""


class DatasetError(MnistDigitsError):
    """The MNIST files cannot be had, read or stored."""


class RecipeError(MnistDigitsError, ValueError):
    """A choice of a recipe is unknown, of the wrong type or out of range."""


class TrainingError(MnistDigitsError):
    """A run cannot start here, or its loss is no longer a number."""


class CheckpointError(MnistDigitsError):
    """A run cannot be written to disk, or a file does not hold one."""


class OutputError(MnistDigitsError):
    """A figure or a copy of a picture cannot be written."""


class UsageError(MnistDigitsError):
    """Options of the command do not go together, or one is missing."""


class PictureError(MnistDigitsError):
    """A picture cannot be opened or decoded, or is not one."""


class ServerError(MnistDigitsError):
    """The page cannot be served: a package is missing, or the address cannot be had."""


class ClusterError(MnistDigitsError):
    """Ray is missing or does not answer, or a sweep, study or reading is not as described."""
