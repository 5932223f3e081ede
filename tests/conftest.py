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


def pytest_addoption(parser):
    parser.addoption(
        "--no-moves",
        action="store_true",
        help="starts do not join and split components, which takes most of the time of a fit to small data",
    )


@pytest.fixture
def rng():
    return np.random.default_rng(20261123)


@pytest.fixture(autouse=True, scope="module")
def moves(request):
    """Starts join and split components as for users; with `--no-moves` only in modules with the mark `moves`."""
    with pytest.MonkeyPatch.context() as patch:
        if request.config.getoption("--no-moves", default=False) and request.node.get_closest_marker("moves") is None:
            patch.setattr("dem.em.starts.MOST_MOVES", 0)
            patch.setattr("dem.em.starts.MOST_ON_ALL", 0)
        yield
