import threading

import numpy as np
import pytest

from dem.core.error_state import default_error_state


def test_the_error_state_of_the_caller_has_no_effect_and_is_restored():
    @default_error_state()
    def far_out():
        return np.exp(np.array(-1000.0))

    with np.errstate(all="raise"):
        before = np.geterr()
        assert far_out() == far_out() == 0
        with default_error_state(), pytest.warns(RuntimeWarning, match="divide by zero"):
            np.log(np.zeros(1))
        assert np.geterr() == before
        with pytest.raises(FloatingPointError):
            np.exp(np.array(-1000.0))


def test_threads_at_once():
    found = []

    def look():
        with np.errstate(under="raise"), default_error_state():
            found.append(np.geterr()["under"])

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["ignore"] * 4
