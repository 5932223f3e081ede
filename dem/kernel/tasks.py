"""The structs of dem/kernel/source/estep.cpp, field by field."""

from __future__ import annotations

import ctypes
from ctypes import c_int64, c_void_p


class Rows(ctypes.Structure):
    """`Rows` of estep.cpp."""

    _fields_ = (
        ("x", c_void_p),
        ("weight", c_void_p),
        ("n", c_int64),
        ("d", c_int64),
        ("k_count", c_int64),
        ("sums", c_void_p),
        ("log_likelihood", c_void_p),
        ("workspace", c_void_p),
    )


class LinearTask(ctypes.Structure):
    """`LinearTask` of estep.cpp."""

    _fields_ = (
        ("rows", Rows),
        ("shift", c_void_p),
        ("scale", c_void_p),
        ("square_column", c_int64),
        ("f_count", c_int64),
        ("first", c_void_p),
        ("second", c_void_p),
        ("eta", c_void_p),
        ("form", c_int64),
    )


class CentredTask(ctypes.Structure):
    """`CentredTask` of estep.cpp."""

    _fields_ = (("rows", Rows), ("means", c_void_p), ("factors", c_void_p), ("constants", c_void_p))


Task = LinearTask | CentredTask

GENERAL, TRIANGLE, SQUARES = 0, 1, 2
"""Forms of features: `Form` of estep.cpp."""
COUNT, BEGIN, ADD, END = 0, 1, 2, 4
"""What a function does: only return the bytes of its workspace; or begin, add rows and end, in one call or several."""
