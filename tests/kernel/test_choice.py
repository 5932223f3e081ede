import pytest

from dem.kernel import choice
from dem.kernel.choice import chosen_kernel
from dem.kernel.kernel_id import KernelId
from dem.kernel.library import Library

DIGEST = "0123456789abcdef"


@pytest.fixture(params=[True, False], ids=["native", "numpy"])
def is_there(request, monkeypatch, tmp_path):
    """Whether there is a native kernel."""
    found = Library("AVX2", tmp_path, DIGEST, None) if request.param else None
    monkeypatch.setattr(choice, "library", lambda: found)
    monkeypatch.setattr(choice, "reason", lambda: "" if request.param else "It was not built.")
    monkeypatch.delenv("DEM_KERNEL", raising=False)
    return request.param


@pytest.mark.parametrize("word", [None, ""])
def test_without_a_word_the_native_kernel_is_used_where_there_is_one(is_there, word, monkeypatch):
    if word is not None:
        monkeypatch.setenv("DEM_KERNEL", word)
    assert chosen_kernel() == (KernelId("native", DIGEST) if is_there else KernelId("numpy"))


def test_numpy_can_be_chosen(is_there, monkeypatch):
    monkeypatch.setenv("DEM_KERNEL", "numpy")
    assert chosen_kernel() == KernelId("numpy", "")


def test_the_native_kernel_can_be_demanded(is_there, monkeypatch):
    monkeypatch.setenv("DEM_KERNEL", "native")
    if is_there:
        assert chosen_kernel() == KernelId("native", DIGEST)
    else:
        expected = r"^DEM_KERNEL is 'native', but it was not built\.$"
        with pytest.raises(ValueError, match=expected):
            chosen_kernel()


def test_other_words_are_refused(is_there, monkeypatch):
    monkeypatch.setenv("DEM_KERNEL", "Native")
    with pytest.raises(
        ValueError, match=r"^DEM_KERNEL is 'Native': set it to 'native' or 'numpy', or leave it empty\.$"
    ):
        chosen_kernel()


def test_names_of_kernels():
    assert str(KernelId("native", DIGEST)) == f"native kernel {DIGEST}"
    assert str(KernelId("numpy")) == "NumPy"
