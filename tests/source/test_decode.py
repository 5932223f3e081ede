"""Decoding of missing values and packed entries: masks, missing_value, the CF attributes of Zarr arrays.

The stores are written by hand as xarray 2025 writes them for either version of Zarr (`xarray.backends.zarr`,
`xarray.coding.variables`).
"""

import base64
import pickle
import struct

import dask.array as da
import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

from dem.engine.sweep.serial import SerialSweep
from dem.run import resume
from dem.scan.scanner import Scanner
from dem.source import evaluate, open_source
from dem.source.decode import PIECE, Decoding

X = np.array([[1, -999, 3], [4, 5, -999], [-999, -999, -999], [10, 11, 12], [13, -1, 15]])
HOLES = np.where(X == -999, np.nan, X.astype(float))


def store(x, version=3, fill_value=0, **attributes):
    """Return a Zarr array with attributes, two rows a chunk."""
    settings = {"shape": x.shape, "chunks": (2, 2), "dtype": x.dtype, "fill_value": fill_value}
    z = zarr.create_array(MemoryStore(), zarr_format=version, attributes=attributes, **settings)
    z[:] = x
    return z


def encoded(value):
    """Return a float as xarray writes it in the attributes of Zarr v3: base64 of a little-endian double."""
    return base64.b64encode(struct.pack("<d", value)).decode()


def blocks_of(source):
    return [block.x for partition in source.partitions for block in evaluate(partition).blocks()]


def rows_of(source):
    blocks = blocks_of(source)
    assert {block.dtype for block in blocks} == {source.dtype}
    return np.concatenate(blocks)


FORMS = {
    "memory": lambda x: x,
    "zarr": store,
    "dask": lambda x: da.from_array(x, chunks=(2, 2)),
}
ANY = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@ANY
@pytest.mark.parametrize(
    ("dtype", "decoded"),
    [("i2", "f4"), ("i4", "f8"), ("i8", "f8"), (">i4", "f8"), ("f2", "f4"), ("f4", "f4"), ("f8", "f8"), (">f8", ">f8")],
)
def test_entries_equal_to_the_missing_value_are_nan(form, dtype, decoded):
    x = X.astype(dtype)
    source = open_source(form(x), missing_value=-999)
    assert source.dtype == np.dtype(decoded)
    np.testing.assert_array_equal(rows_of(source), HOLES.astype(dtype if dtype == "f2" else "f8"))
    np.testing.assert_array_equal(x, X)  # the user's own array is left as it is


@ANY
@pytest.mark.parametrize(
    ("x", "value"),
    [
        (X.astype("u1"), -999),
        (X.astype("i4"), 0.5),
        (X.astype("i4"), 1e12),
        (X.astype("i4"), np.nan),
        (X.astype("f4"), np.nan),
        (X.astype("f2"), 1e9),
        (X > 0, 2),
    ],
)
def test_a_missing_value_that_no_entry_can_equal_changes_nothing(form, x, value):
    source = open_source(form(x), missing_value=value)
    assert source.decoding is None
    assert source.dtype == x.dtype
    np.testing.assert_array_equal(rows_of(source), x)


def test_rows_without_missing_values_are_not_copied():
    x = np.arange(6.0).reshape(3, 2)
    source = open_source(x, missing_value=-999)
    assert np.shares_memory(source.partitions[0].x, x)
    assert open_source(x).decoding is None


def test_each_entry_is_compared_once(monkeypatch):
    compared, missing = [], Decoding._missing
    monkeypatch.setattr(Decoding, "_missing", lambda self, x: compared.append(x.size) or missing(self, x))
    x = np.arange(5.0 * PIECE).reshape(-1, 2)
    holed = x.copy()
    holed[3 * PIECE // 2 + 5, 1] = -1
    decoding = Decoding(x.dtype, (("missing_value", -1),))
    for rows in (x, holed):
        compared.clear()
        np.testing.assert_array_equal(decoding(rows), np.where(rows == -1, np.nan, rows))
        assert sum(compared) == x.size
    assert decoding(x) is x
    assert not np.isnan(holed).any()


@ANY
def test_nan_stays_missing_beside_the_missing_value(form):
    x = np.array([[1, np.nan], [-9999, 4]])
    np.testing.assert_array_equal(rows_of(open_source(form(x), missing_value=-9999)), [[1, np.nan], [np.nan, 4]])


def test_a_missing_value_is_compared_in_the_precision_of_the_data():
    x = np.array([[0.1, 2]], np.float32)
    assert np.isnan(rows_of(open_source(x, missing_value=0.1))[0, 0])
    big = np.array([[2**63 - 1, 1]])
    np.testing.assert_array_equal(rows_of(open_source(big, missing_value=2**63 - 1)), [[np.nan, 1]])


@pytest.mark.parametrize("value", ["-999", np.inf, True, [1]])
def test_an_invalid_missing_value_is_refused(value):
    with pytest.raises(ValueError, match="missing_value must be a finite number, NaN or None"):
        open_source(np.ones((2, 2)), missing_value=value)


def test_missing_value_cannot_be_changed_for_an_open_source():
    source = open_source(np.ones((2, 2)), missing_value=1)
    assert open_source(source) is source
    with pytest.raises(ValueError, match="missing_value cannot be changed for an open source"):
        open_source(source, missing_value=1)


NONE = np.nan
CF = {
    "_FillValue": (X.astype("i2"), {"_FillValue": -999}, "f4", HOLES),
    "missing_value": (X.astype("i4"), {"missing_value": -999}, "f8", HOLES),
    "both": (X, {"_FillValue": -999, "missing_value": [-1, 10]}, "f8", np.where(np.isin(X, [-1, 10]), NONE, HOLES)),
    "float by base64": (X.astype("f4"), {"_FillValue": encoded(-999)}, "f4", HOLES),
    "float by number": (X.astype("f8"), {"_FillValue": -999.0}, "f8", HOLES),
    "float NaN and missing_value": (X.astype("f8"), {"_FillValue": encoded(NONE), "missing_value": -999}, "f8", HOLES),
    "packed": (
        X.astype("i2"),
        {"_FillValue": -999, "scale_factor": 0.01, "add_offset": 273.15},
        "f8",
        HOLES * 0.01 + 273.15,
    ),
    "packed, all there": (X.astype("i2"), {"scale_factor": 0.5}, "f8", X * 0.5),
    "shifted floats": (X.astype("f4"), {"add_offset": [10]}, "f8", X + 10.0),
    "a number of names": (X.astype("i4"), {"_FillValue": "-999"}, "f8", HOLES),
    "some of the missing values null": (X, {"_FillValue": None, "missing_value": [None, -999]}, "f8", HOLES),
    "null factors": (X.astype("f4"), {"scale_factor": None, "add_offset": None, "_FillValue": -999}, "f4", HOLES),
    "one of two factors null": (X, {"scale_factor": 0.5, "add_offset": None}, "f8", X * 0.5),
    "valid_range": (X, {"valid_range": [1, 12]}, "f8", np.where((X >= 1) & (X <= 12), X, NONE)),
    "valid_min": (X.astype("f4"), {"valid_min": [1]}, "f4", np.where(X >= 1, X, NONE)),
    "valid_max": (X.astype("i2"), {"valid_max": 10, "valid_min": None}, "f4", np.where(X <= 10, X, NONE)),
    "valid_max as a float": (X.astype("i2"), {"valid_max": 10.5}, "f4", np.where(X <= 10, X, NONE)),
    "the narrower bounds": (X, {"valid_range": [None, 13], "valid_max": 12, "valid_min": -1}, "f8",
                            np.where((X >= -1) & (X <= 12), X, NONE)),
    "a fill value in the range": (X, {"_FillValue": 5, "valid_range": [1, 20]}, "f8",
                                  np.where((X >= 1) & (X != 5), X, NONE)),
    "packed, range as packed": (X.astype("i2"), {"scale_factor": 0.1, "valid_range": [1, 12]}, "f8",
                                np.where((X >= 1) & (X <= 12), X * 0.1, NONE)),
    "packed, range as unpacked": (X.astype("i2"), {"scale_factor": 0.1, "add_offset": 1, "valid_range": [1.1, 2.2]},
                                  "f8", np.where((X >= 1) & (X <= 12), X * 0.1 + 1, NONE)),
    "packed, range as unpacked, in float32": (X, {"scale_factor": 0.1, "valid_max": float(np.float32(1.2))}, "f8",
                                              np.where(X <= 12, X * 0.1, NONE)),
    "scaled by less than 0, range as unpacked": (X.astype("i2"), {"scale_factor": -0.5, "valid_max": 0.5}, "f8",
                                                 np.where(X >= -1, X * -0.5, NONE)),
    "packed floats": (X.astype("f8"), {"scale_factor": 2, "valid_range": [1.0, 12.0]}, "f8",
                      np.where((X >= 1) & (X <= 12), X * 2, NONE)),
}  # fmt: skip


@pytest.mark.parametrize(("x", "attributes", "dtype", "expected"), CF.values(), ids=CF)
def test_cf_attributes(x, attributes, dtype, expected):
    source = open_source(store(x, **attributes))
    assert source.dtype == dtype
    np.testing.assert_array_equal(rows_of(source), expected)


PLAIN = {
    "float NaN": (X.astype("f4"), {"_FillValue": encoded(NONE)}),
    "float NaN by name": (X.astype("f4"), {"_FillValue": "NaN", "missing_value": NONE}),
    "units": (X, {"units": "K", "actual_range": [0, 10]}),
    "nothing said": (X, dict.fromkeys(["scale_factor", "add_offset", "_FillValue", "valid_range", "_Unsigned"])),
    "all are valid": (X.astype("i2"), {"valid_range": [-(2**15), 2**15], "valid_max": NONE}),
    "all floats are valid": (X.astype("f4"), {"valid_range": [-1e300, 1e300]}),
    "signed anyway": (X.astype("i2"), {"_Unsigned": "false"}),
    "floats have a sign": (X.astype("f8"), {"_Unsigned": "true"}),
    "scaled by 1": (X, {"scale_factor": 1.0, "add_offset": 0}),
    "out of range": (X.astype("u1"), {"_FillValue": -999}),
}


@pytest.mark.parametrize(("x", "attributes"), PLAIN.values(), ids=PLAIN)
def test_attributes_that_change_nothing(x, attributes):
    plain, source = open_source(store(x)), open_source(store(x, **attributes))
    assert source.decoding is None
    assert source.dtype == x.dtype
    assert (source.block_bytes, source.read_bytes) == (plain.block_bytes, plain.read_bytes)
    assert source.fingerprint == plain.fingerprint
    np.testing.assert_array_equal(rows_of(source), x)


BYTES = np.array([[0, 127, 128], [200, 254, 255]], "u1")
UNSIGNED = {
    "true": (BYTES.view("i1"), {"_Unsigned": "true"}, "u1", BYTES),
    "false": (BYTES, {"_Unsigned": "false"}, "i1", BYTES.view("i1")),
    "True": (BYTES.view("i1"), {"_Unsigned": "True"}, "u1", BYTES),
    "true, not as a word": (BYTES.view("i1"), {"_Unsigned": True}, "u1", BYTES),
    "16 bits": (BYTES.astype("u2")[:, :2] * 257, {"_Unsigned": "false"}, "i2", [[0, 32639], [-14136, -258]]),
    "big-endian": ((BYTES.astype(int) - 256).astype(">i2"), {"_Unsigned": "true"}, ">u2", BYTES.astype(int) + 65280),
    "_FillValue as stored": (BYTES.view("i1"), {"_Unsigned": "true", "_FillValue": -1}, "f4",
                             np.where(BYTES == 255, NONE, BYTES)),
    "_FillValue as taken": (BYTES.view("i1"), {"_Unsigned": "true", "_FillValue": 255}, "f4",
                            np.where(BYTES == 255, NONE, BYTES)),
    "missing_value": (BYTES.view("i1"), {"_Unsigned": "true", "missing_value": [-1, 127]}, "f4",
                      np.where(np.isin(BYTES, [255, 127]), NONE, BYTES)),
    "_FillValue of a signed one": (BYTES, {"_Unsigned": "false", "_FillValue": 255}, "f4",
                                   np.where(BYTES == 255, NONE, BYTES.view("i1"))),
    "packed": (BYTES.view("i1"), {"_Unsigned": "true", "_FillValue": -1, "scale_factor": 0.5, "add_offset": 10}, "f8",
               np.where(BYTES == 255, NONE, BYTES * 0.5 + 10)),
    "valid_range": (BYTES.view("i1"), {"_Unsigned": "true", "valid_range": [0, -56]}, "f4",
                    np.where(BYTES > 200, NONE, BYTES)),
    "unpacked range": (BYTES.view("i1"), {"_Unsigned": "true", "scale_factor": 0.1, "valid_range": [12.8, 20.0]}, "f8",
                                np.where((BYTES >= 128) & (BYTES <= 200), BYTES * 0.1, NONE)),
}  # fmt: skip


@pytest.mark.parametrize(("x", "attributes", "dtype", "expected"), UNSIGNED.values(), ids=UNSIGNED)
def test_the_attribute_unsigned_gives_the_sign_of_integers(x, attributes, dtype, expected):
    source = open_source(store(x, **attributes))
    assert source.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(rows_of(source), np.asarray(expected))
    assert source.fingerprint != open_source(store(x)).fingerprint


def test_values_that_are_exactly_at_a_bound_are_valid():
    """Bounds are compared in the precision of the data; bounds of 64-bit integers exactly."""
    x = np.array([[0.1, 0.2], [0.3, 0.4]], "f4")
    np.testing.assert_array_equal(np.isnan(rows_of(open_source(store(x, valid_range=[0.2, 0.3])))), [[1, 0], [0, 1]])
    big = np.array([[2**62 - 1, 2**62], [2**62 + 1, 2**62 + 2]])
    found = rows_of(open_source(store(big, valid_range=[2**62, 2**62 + 1])))
    np.testing.assert_array_equal(np.isnan(found), [[1, 0], [0, 1]])


def test_values_out_of_range_are_missing_even_if_infinite():
    x = np.array([[np.inf, 1], [-np.inf, 2], [NONE, 3]])
    np.testing.assert_array_equal(rows_of(open_source(store(x, valid_range=[0, 2.5])))[:, 0], [NONE] * 3)
    np.testing.assert_array_equal(rows_of(open_source(store(x, valid_range=[0, 2.5])))[:, 1], [1, 2, NONE])


@pytest.mark.parametrize("value", [10, NONE])
def test_missing_value_replaces_the_range_of_valid_values(value):
    z = store(X, valid_range=[1, 2], scale_factor=2)
    np.testing.assert_array_equal(
        rows_of(open_source(z, missing_value=value)), np.where(np.isin(X, value), NONE, X * 2.0)
    )
    z = store(BYTES.view("i1"), _Unsigned="true", _FillValue=0)
    for written in (200, -56):
        np.testing.assert_array_equal(
            rows_of(open_source(z, missing_value=written)), np.where(BYTES == 200, NONE, BYTES)
        )


def test_missing_value_replaces_the_attributes_but_packed_data_are_unpacked():
    z = store(X, _FillValue=10, scale_factor=0.1)
    np.testing.assert_array_equal(rows_of(open_source(z, missing_value=-999)), HOLES * 0.1)


@pytest.mark.parametrize(
    ("version", "attributes", "masked"),
    [(2, {"_ARRAY_DIMENSIONS": ["time", "x"]}, True), (2, {}, False), (3, {"_ARRAY_DIMENSIONS": ["time", "x"]}, False)],
)
def test_the_fill_value_of_zarr_v2_is_used_as_in_xarray(version, attributes, masked):
    source = open_source(store(X, version, -999, **attributes))
    np.testing.assert_array_equal(rows_of(source), HOLES if masked else X)


def test_no_fill_value_in_zarr_v2():
    assert open_source(store(X, 2, None, _ARRAY_DIMENSIONS=["time", "x"])).decoding is None


def test_absent_chunks_of_a_packed_array_are_missing():
    """They have the fill value, which means missing in v2 arrays written by xarray."""
    z = zarr.create_array(
        MemoryStore(),
        shape=(4, 2),
        chunks=(2, 2),
        dtype="i2",
        zarr_format=2,
        fill_value=-9,
        attributes={"_ARRAY_DIMENSIONS": ["t", "x"]},
    )
    z[:2] = [[1, 2], [3, -9]]
    np.testing.assert_array_equal(rows_of(open_source(z)), [[1, 2], [3, NONE], [NONE, NONE], [NONE, NONE]])


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"_FillValue": "none"}, "_FillValue of .* must be a number, got 'none': correct it, or give missing_value"),
        ({"missing_value": {"a": 1}}, "missing_value of .* must be a number"),
        ({"scale_factor": "0.1"}, "scale_factor of .* is '0.1'"),
        ({"scale_factor": 0}, "scale_factor of .* is 0"),
        ({"add_offset": [1, 2]}, "add_offset of"),
        ({"_Unsigned": "yes"}, "_Unsigned of .* must be 'true' or 'false', got 'yes'"),
        ({"valid_range": 3}, "valid_range of .* must be a pair of numbers, got 3: correct it, or give missing_value"),
        ({"valid_range": [0, "a"]}, "valid_range of .* must be a number, got 'a': correct it, or give missing_value"),
        ({"valid_max": [1, 2]}, r"valid_max of .* must be a number, got \[1, 2\]"),
        ({"valid_min": 4, "valid_max": 3}, "leave no valid value: correct them, or give missing_value"),
        ({"valid_range": [1.2, 1.7]}, "leave no valid value"),
    ],
)
def test_invalid_attributes_are_refused(attributes, message):
    with pytest.raises(ValueError, match=message):
        open_source(store(X, **attributes))


def test_masked_arrays():
    mask = X == -999
    for dtype, decoded in [("i2", "f4"), ("i8", "f8"), ("f4", "f4")]:
        data = np.ma.array(X.astype(dtype), mask=mask)
        lazy = da.from_array(data, chunks=(2, 2))
        for source in (
            open_source(data),
            open_source(lazy),
            open_source(da.ma.masked_equal(da.asarray(X.astype(dtype)), -999)),
        ):
            assert source.dtype == decoded
            np.testing.assert_array_equal(rows_of(source), HOLES)
    assert open_source(np.ma.array(X, mask=False)).dtype == X.dtype  # nothing is masked


def test_a_missing_value_beside_a_mask():
    data = np.ma.array(X, mask=X == 5)
    for form in (data, da.from_array(data, chunks=2)):
        np.testing.assert_array_equal(rows_of(open_source(form, missing_value=-999)), np.where(X == 5, NONE, HOLES))


def test_a_masked_block_although_the_meta_is_not_masked():
    lazy = da.from_array(X, chunks=5).map_blocks(np.ma.masked_equal, -999, meta=np.empty((0, 0), X.dtype))
    with pytest.raises(ValueError, match="although the array's meta is not"):
        rows_of(open_source(lazy))


def test_the_decoded_copy_is_counted_and_partitions_stay():
    x = np.zeros((4096, 8), "i2")
    z = zarr.create_array(MemoryStore(), data=x, chunks=(512, 8), attributes={"_FillValue": -1})
    plain = open_source(zarr.create_array(MemoryStore(), data=x, chunks=(512, 8)), partition_bytes=20_000)
    source = open_source(z, partition_bytes=20_000)
    assert source.row_chunks == plain.row_chunks
    assert source.block_bytes == 2 * plain.block_bytes  # float32 for int16
    assert source.read_bytes >= plain.read_bytes + source.block_bytes


def test_fingerprints_contain_the_missing_values():
    prints = [
        str(open_source(form(X.astype(float)), missing_value=value).fingerprint)
        for form in (FORMS["memory"], FORMS["zarr"])
        for value in (None, -999, -1)
    ]
    assert len(set(prints)) == 6
    lazy = da.from_array(X.astype(float), chunks=2)
    one, other = (open_source(lazy, missing_value=value) for value in (-999, -1))
    assert one.fingerprint != other.fingerprint
    assert one.x.name != other.x.name
    assert one.x.name == open_source(lazy, missing_value=-999).x.name


def test_a_decoding_can_be_pickled():
    decoding = Decoding(np.dtype("f4"), (("_FillValue", -999),), 0.5, 1.0)
    assert pickle.loads(pickle.dumps(decoding)) == decoding


@ANY
def test_rows_that_are_read_again_before_a_fit_goes_on_are_decoded(form):
    source = open_source(form(X), missing_value=-999)
    np.testing.assert_array_equal(source.rows_at(range(len(X))), HOLES)
    found = SerialSweep(source)(Scanner(3, False, 5, 0, len(X)))
    resume.check_sampled_rows(found, source, 0)
    np.testing.assert_array_equal(found.missing, [1, 2, 2])
    np.testing.assert_array_equal(found.low, [1, -1, 3])
    with pytest.raises(ValueError, match="has changed since"):
        resume.check_sampled_rows(found, open_source(form(X), missing_value=-1), 0)


def test_weights_are_unpacked():
    """But zero stays a weight, and `missing_value` is for the data alone."""
    weights = np.array([1.0, 0, 2, 1, 3])
    stored = zarr.create_array(
        MemoryStore(), data=weights, chunks=(2,), attributes={"_FillValue": 0.0, "scale_factor": 9}
    )
    source = open_source(store(X), stored, missing_value=1)
    found = [block.weight for partition in source.partitions for block in evaluate(partition).blocks()]
    np.testing.assert_array_equal(np.concatenate(found), 9 * weights)
