"""The structs of dem/kernel/source/block.h, columns.h, tasks.h, kmeans.cpp and scan.cpp, field by field."""

from __future__ import annotations

import ctypes
from ctypes import c_int64, c_void_p
from typing import TypeVar

import numpy as np

ITEM = np.dtype(
    [
        ("kind", np.int64),
        ("source", np.int64),
        ("masked", np.int64),
        ("both", np.int64),
        ("to", np.int64, 2),
        ("argument", np.float64),
        ("shift", np.float64, 2),
        ("scale", np.float64, 2),
    ]
)
"""`Item`: one or two columns of features."""
NUMBER, LOGARITHM, ANGLE, EQUALS, OBSERVED, SQUARES_SUM = range(6)
"""`Kind`: what an item computes."""
IN_FRAME, BY_ITEMS, STORED, OBSERVED_IN_FRAME = range(4)
"""`Source`: from where columns come."""
LABEL, PROBA, SCORE, ENTROPY, COMPLETE, TOP_INDEX, TOP_WEIGHT, DISTANCE = range(8)
"""`OutputKind`: what is computed for each row."""


class Output(ctypes.Structure):
    """`Output`."""

    _fields_ = (("kind", c_int64), ("columns", c_int64), ("item_bytes", c_int64), ("to", c_void_p))


class Rows(ctypes.Structure):
    """`Rows`."""

    _fields_ = (
        ("x", c_void_p),
        ("weight", c_void_p),
        ("n", c_int64),
        ("d", c_int64),
        ("k_count", c_int64),
        ("row_step", c_int64),
        ("column_step", c_int64),
        ("first", c_int64),
        ("sums", c_void_p),
        ("log_likelihood", c_void_p),
        ("output", c_void_p),
        ("workspace", c_void_p),
    )


class LinearTask(ctypes.Structure):
    """`LinearTask`."""

    _fields_ = (
        ("rows", Rows),
        ("source", c_int64),
        ("shift", c_void_p),
        ("scale", c_void_p),
        ("items", c_void_p),
        ("item_count", c_int64),
        ("column_count", c_int64),
        ("f_count", c_int64),
        ("first", c_void_p),
        ("second", c_void_p),
        ("eta", c_void_p),
        ("form", c_int64),
    )


class CentredTask(ctypes.Structure):
    """`CentredTask`."""

    _fields_ = (("rows", Rows), ("means", c_void_p), ("factors", c_void_p), ("constants", c_void_p))


class StudentTask(ctypes.Structure):
    """`StudentTask`."""

    _fields_ = (*CentredTask._fields_, ("degrees_of_freedom", c_void_p))


class PatternTask(ctypes.Structure):
    """`PatternTask`."""

    _fields_ = (
        *CentredTask._fields_,
        ("precisions", c_void_p),
        ("covariances", c_void_p),
        ("log_dets", c_void_p),
    )


class KMeansTask(ctypes.Structure):
    """`KMeansTask`."""

    _fields_ = (
        ("rows", Rows),
        ("shift", c_void_p),
        ("scale", c_void_p),
        ("eta", c_void_p),
        ("centers", c_void_p),
        ("counts", c_void_p),
        ("inertia", c_void_p),
        ("far_count", c_void_p),
        ("far_square", c_void_p),
        ("far_row", c_void_p),
        ("far_label", c_void_p),
    )


class ScanTask(ctypes.Structure):
    """`ScanTask`."""

    _fields_ = (
        ("rows", Rows),
        ("scatter", c_int64),
        ("unit", c_int64),
        ("shift", c_void_p),
        ("left_out", c_void_p),
        ("total", c_void_p),
        ("low", c_void_p),
        ("high", c_void_p),
        ("first", c_void_p),
        ("second", c_void_p),
    )


Task = LinearTask | CentredTask | StudentTask | PatternTask | KMeansTask | ScanTask
AnyTask = TypeVar("AnyTask", bound=Task, covariant=True)

GENERAL, TRIANGLE, SQUARES = 0, 1, 2
"""`Form`: which features there are."""
COUNT, BEGIN, ADD, END = 0, 1, 2, 4
"""`Phase`: what a call does. It only returns the bytes of its workspace; or it begins, adds rows and ends."""
