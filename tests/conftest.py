import os
import signal

# Before NumPy comes: tests run side by side, on small arrays, where more threads only wait for each other.
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

import hypothesis  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

# Where the tests run in the background, the shell has them ignore Ctrl-C, and what they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
for profile, max_examples in {"quick": 10, "thorough": 200}.items():  # `make test-slow` asks for the second
    hypothesis.settings.register_profile(
        profile, deadline=None, derandomize=True, max_examples=max_examples, database=None
    )
hypothesis.settings.load_profile("quick")

ONE_ROUND = 10
"""Iterations that the moves of a start may make: they end after the round in which they reach it, the first one."""


@pytest.fixture
def rng():
    return np.random.default_rng(20261123)


@pytest.fixture(autouse=True, scope="module")
def few_moves(request):
    """Where slow tests are left out, let starts join and split components for one round only.

    On the small data of tests that takes most of the time of a fit. Modules with the mark `all_moves`, and all tests of
    other runs, use what users get.
    """
    with pytest.MonkeyPatch.context() as patch:
        if "not slow" in request.config.option.markexpr and request.node.get_closest_marker("all_moves") is None:
            patch.setattr("dem.em.starts.MOST_MOVES", ONE_ROUND)
            patch.setattr("dem.em.starts.MOST_ON_ALL", ONE_ROUND)
        yield
