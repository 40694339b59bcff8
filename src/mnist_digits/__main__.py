"""`python -m mnist_digits`: the command, where its name is not on the path."""

import sys

from .command.cli import main

sys.exit(main())
