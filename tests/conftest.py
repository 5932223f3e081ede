import os
import signal
from importlib.util import find_spec

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

collect_ignore = []
if find_spec("xarray") is None:  # all tests of these files make their data with it
    collect_ignore += [
        "estimators/test_named_data.py", "reports/test_in_browser.py", "source/test_cf_times.py",
        "source/test_keys_of_tasks.py", "source/test_weights_of_rows.py", "source/test_xarray_data.py",
        "source/test_xarray_values.py", "test_dataset_laws.py",
    ]  # fmt: skip
if find_spec("pandas") is None:
    collect_ignore += ["estimators/test_telling.py"]


@pytest.fixture
def rng():
    return np.random.default_rng(20261123)
