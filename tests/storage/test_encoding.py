"""Decoded values equal the encoded values bit for bit, and a file never decides which code runs."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dem.core.block import Block
from dem.em import loop
from dem.models.mixture.precision import Precision
from dem.scan.fill_sample import completed_scan
from dem.scan.scanner import Scanner
from dem.storage.encoding import decode, digest, encode
from laws import MODELS, begin


def there_and_back(value, modules=()):
    arrays, document = encode(value)
    return decode(arrays, json.loads(json.dumps(document, allow_nan=False)), modules)


def same(a, b):
    """Whether two values are the same to the last bit, in types and memory layout too."""
    if isinstance(a, np.ndarray):
        layout = (a.flags.c_contiguous, a.flags.f_contiguous) == (b.flags.c_contiguous, b.flags.f_contiguous)
        return a.dtype == b.dtype and a.shape == b.shape and layout and np.array_equal(bits(a), bits(b))
    if isinstance(a, float):
        return type(a) is type(b) and bits(np.asarray(a)).tolist() == bits(np.asarray(b)).tolist()
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(same(getattr(a, f), getattr(b, f)) for f in a.__dataclass_fields__)
    if isinstance(a, dict):
        return type(a) is type(b) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def bits(array):
    """Return the bytes of the values. A long double uses 10 of its 16 bytes."""
    array = np.ascontiguousarray(array)
    raw = array.reshape(-1).view(np.uint8).reshape(array.size, array.itemsize)
    return raw[:, :10] if array.dtype == np.longdouble else raw


numbers = st.floats(allow_nan=False) | st.integers() | st.none() | st.booleans() | st.text()
arrays = hnp.arrays(
    st.sampled_from(["f8", "f4", "f2", "i8", "u8", "i2", "?"]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)
)
values = st.recursive(
    numbers | arrays, lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner), max_leaves=8
)


@given(values)
def test_values_come_back_bit_for_bit(value):
    assert same(there_and_back(value), value)
    assert digest(there_and_back(value)) == digest(value)


@pytest.mark.parametrize(
    "value",
    [
        np.asfortranarray(np.random.default_rng(0).normal(size=(3, 4))),
        np.array([1, 1 / 3, 1e300, -0.0], np.longdouble) / np.longdouble(3),
        np.float64(1 / 3),
        np.float32(1 / 3),
        float("inf"),
        -0.0,
        Precision.CENTRED,
        {"a": (1, [2.5, None])},
    ],
    ids=str,
)
def test_values_that_json_cannot_represent(value):
    assert same(there_and_back(value), value)


@pytest.mark.parametrize("case", MODELS.values(), ids=lambda case: case.name)
def test_the_states_and_scans_of_all_models(case):
    block = Block(case.x)
    scan = Scanner(block.x.shape[1], case.model.needs_scatter, 200, 0, len(block.x))()(block)
    model = case.model.bind(completed_scan(scan))
    params = begin(model, case.x)
    state = loop.fit(model, params, loop.OneBlock(block), tol=0, max_iter=4)
    assert same(there_and_back(scan), scan)
    assert same(there_and_back(state), state)
    assert digest(state) != digest(loop.first_state(model, params, max_iter=4))


@dataclass(frozen=True)
class Mine:
    x: float


def test_classes_of_other_modules_are_loaded_only_if_the_module_is_given():
    assert there_and_back(Mine(1.0), [__name__]) == Mine(1.0)
    with pytest.raises(ValueError, match="which is not part of dem"):
        there_and_back(Mine(1.0))
    with pytest.raises(ValueError, match="not a class of values"):
        decode({}, {"class": "dem.em.loop:fit", "fields": {}})
    with pytest.raises(TypeError, match="Cannot save"):
        encode(object())


@given(arrays, st.data())
def test_a_digest_changes_with_any_bit(array, draw):
    if array.size:
        flat = array.copy().reshape(-1)
        raw = flat.view(np.uint8)
        raw[draw.draw(st.integers(0, len(raw) - 1))] ^= 1
        if array.dtype != bool:
            assert digest(flat.reshape(array.shape)) != digest(array)
    assert digest(array) != digest(array[None])
