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


@pytest.fixture
def rng():
    return np.random.default_rng(20261123)
