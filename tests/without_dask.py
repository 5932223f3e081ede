"""A pytest plugin that skips tests of Dask, Zarr and the command where they are not installed (nox -s without_dask)."""

import sys

import pytest

ABSENT = {"click", "dask", "distributed", "zarr"}


class Skip:
    """A finder of modules that skips the test (or file of tests) that imports an absent package."""

    def find_spec(self, name, path=None, target=None):
        if name in ABSENT:
            pytest.skip(f"needs {name}", allow_module_level=True)


def pytest_configure():
    sys.meta_path.append(Skip())  # the last: what is installed is found before
