"""The text for what the last bits of results depend on; and limits of threads."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import sklearn.cluster  # noqa: F401  (its OpenMP is what is looked at)
from threadpoolctl import threadpool_info, threadpool_limits

from dem.core import blas
from dem.core.blas import machine_kind, single_threaded_openmp
from other_kernel import other_kernel


def told(**env):
    """Return the kind of machine of another process."""
    code = "from dem.core.blas import machine_kind, single_threaded_openmp; print(machine_kind())"
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=True).stdout.strip()


def test_processes_with_the_same_environment_have_the_same_kind():
    assert told() == machine_kind()


@pytest.mark.skipif(other_kernel() is None, reason="no other BLAS kernel")
def test_another_blas_kernel_is_another_kind():
    assert told(OPENBLAS_CORETYPE=other_kernel()) != machine_kind()
    assert told(OPENBLAS_NUM_THREADS="2") == machine_kind()


class Loaded:
    def __init__(self, *libraries):
        self.libraries = libraries

    def info(self):
        keys = ("user_api", "internal_api", "version", "architecture", "filepath")
        return [dict(zip(keys, library, strict=False)) for library in self.libraries]


def test_libraries_of_other_packages_are_left_out(monkeypatch):
    ours = ("blas", "openblas", "0.3.30", "Zen", "/lib/python/numpy.libs/libscipy_openblas64_.so")
    others = ("blas", "openblas", "0.3.21", "Zen", "/lib/python/opencv_python.libs/libopenblas.so")
    openmp = ("openmp", "openmp", None, None, "/lib/python/scikit_learn.libs/libgomp.so")
    monkeypatch.setattr(blas, "processor", lambda: "Abacus")
    for libraries, kind in [
        ([ours, others, openmp], "Abacus (openblas 0.3.30 Zen)"),
        ([(*ours[:3], None, "/opt/conda/lib/libopenblas.so"), openmp], "Abacus (openblas 0.3.30)"),
        ([openmp], "Abacus"),
    ]:
        monkeypatch.setattr(blas, "_controller", lambda libraries=libraries: Loaded(*libraries))
        assert machine_kind.__wrapped__() == kind


def test_a_thread_s_openmp_regions_have_one_thread():
    """scikit-learn's K-means adds in the order in which its threads end, so several threads would change the bits."""

    def regions():
        return max(info["num_threads"] for info in threadpool_info() if info["user_api"] == "openmp")

    with threadpool_limits(2, user_api="openmp"), ThreadPoolExecutor(1, initializer=single_threaded_openmp) as pool:
        assert regions() == 2
        assert pool.submit(regions).result() == 1
