"""`python -m mnist_digits`: the command, where its name is not on the path."""

import sys

from .cli.main import main

sys.exit(main())
