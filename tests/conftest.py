import hypothesis
import numpy as np
import pytest

hypothesis.settings.register_profile("seeded", deadline=None, derandomize=True, max_examples=50, database=None)
hypothesis.settings.load_profile("seeded")


@pytest.fixture
def rng():
    return np.random.default_rng(20261123)
