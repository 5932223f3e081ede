import signal

import hypothesis
import numpy as np
import pytest

# Where the tests run in the background, the shell has them ignore Ctrl-C, and what they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
hypothesis.settings.register_profile("seeded", deadline=None, derandomize=True, max_examples=50, database=None)
hypothesis.settings.load_profile("seeded")


@pytest.fixture
def rng():
    return np.random.default_rng(20261123)
