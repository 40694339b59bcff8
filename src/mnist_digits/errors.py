"""What can go wrong with what a user brings: one class per kind of input.

Every message says what is wrong and what to do about it. The command prints it
on one line and exits with status 2.
"""

import re

# Control characters, ends of lines, what turns the direction of writing, and the halves of
# characters that Python has for bytes that cannot be decoded.
UNSEEN = re.compile(r"[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def on_one_line(text: object) -> str:
    """The text with what a terminal would not show, but do, written like \\n: names of files."""
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


class MnistDigitsError(Exception):
    """Base of the errors below: catch it to catch them all."""


class DatasetError(MnistDigitsError):
    """A file of MNIST, or of a data set like it, is missing, damaged or cannot be written."""


class RecipeError(MnistDigitsError, ValueError):
    """A choice of a recipe is unknown, of the wrong type or out of range."""


class TrainingError(MnistDigitsError):
    """A run cannot start here, or its loss is no longer a number."""


class CheckpointError(MnistDigitsError):
    """A run cannot be written to disk, or a file does not hold one."""


class OutputError(MnistDigitsError):
    """A figure or a copy of a picture cannot be written."""


class UsageError(MnistDigitsError):
    """Options do not go together, one is missing, or a script lacks its main guard."""


class PictureError(MnistDigitsError):
    """A picture cannot be opened or decoded, or is not one."""


class ServerError(MnistDigitsError):
    """The page cannot be served: a package is missing, or the address cannot be had."""


class ClusterError(MnistDigitsError):
    """Ray is missing or does not answer, or a sweep, study or reading is not as described."""
