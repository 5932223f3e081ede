"""The plugin of pytest with which `make test-sanitize` works: the tests' native kernel checks all that it does.

At the first access beyond an array and at the first undefined operation it ends the process with a report.
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from dem.kernel import library
from dem.kernel.build import Compiler, build, missing

COMPILER = Compiler("g++", ("g++",), ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"))


def pytest_configure(config):
    os.environ.pop("LD_PRELOAD", None)  # the compiler does not need the sanitizers that this process has
    folder = TemporaryDirectory()
    config.add_cleanup(folder.cleanup)
    library.FOLDER = Path(folder.name)
    failures = build([COMPILER], library.FOLDER)
    if missing(library.FOLDER):
        raise pytest.UsageError("; ".join(failures) or "this platform has no native kernel")
