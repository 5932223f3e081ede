"""What a mixture says of each row: labels, responsibilities, scores, entropies, the leading components.

Every output works on any rows, seen in the fit or not: the frame comes from the parameters, and the arithmetic
(float64 products or the exact path) from the block's own range.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from dem.core.block import Array, Block, Float
from dem.core.coordinate_frame import Frame
from dem.families.family import Family, filling, with_missing
from dem.models.mixture.kernel import CentredDensities, Densities, MixtureParams, Softmax, densities_of
from dem.models.mixture.precision import Precision, double_suffices, products_size
from dem.models.row_checks import LARGEST, NotFiniteError, check_finite, filled_dtype, label_dtype, named
from dem.scan.scanner import tile_rows
from dem.scan.support import first_outside


class Mixture(Protocol):
    """What is asked of a mixture here."""

    @property
    def n_components(self) -> int:
        """K."""

    @property
    def family(self) -> Family[Any]:
        """Its components' family."""


def output(k: int, d: int, what: str, others: Iterable[str] = ()) -> tuple[np.dtype[Any], int | None]:
    """Return dtype and columns of an output of a mixture of k components of d columns; `others` are named too.

    "label": the most probable component; "proba" (n, k): the responsibilities; "score": log p(x), in nats; "entropy":
    that of the responsibilities, in nats; "complete": the expected complete log-likelihood, score - entropy, in nats;
    "top-index:m" and "top-weight:m" (n, m): the m most probable components and their responsibilities;
    "filled:float32" (n, d): the rows with their missing values filled in, E[x_missing | x_observed];
    "deviation:float32" (n, d): the standard deviation of what is filled in, 0 where observed; in any float dtype.

    Raises
    ------
    ValueError
        If there is no such output.
    """
    index, real = label_dtype(k), np.dtype(np.float64)
    outputs: dict[str, tuple[np.dtype[Any], int | None]] = {
        "label": (index, None),
        "proba": (real, k),
        "score": (real, None),
        "entropy": (real, None),
        "complete": (real, None),
    }
    if (dtype := filled_dtype(what)) is not None:
        return dtype, d
    kind, _, number = what.partition(":")
    if kind in ("top-index", "top-weight"):
        if not number.isdigit() or not 1 <= int(number) <= k:
            raise ValueError(f"{what!r}: say how many of the {k} components, 1 to {k}, as in {kind}:{min(3, k)}")
        return index if kind == "top-index" else real, int(number)
    more = ("top-index:3", "top-weight:3", "filled:float64", "deviation:float64", *others)
    return named(outputs | dict.fromkeys(more, outputs["score"]), what)


def rows(model: Mixture, params: MixtureParams, what: str, block: Block) -> Array:
    """Return one output of a block of shape (n, d).

    Raises
    ------
    ValueError
        If a value is infinite, or none that the family takes.
    """
    x, family = block.x, model.family
    dtype, columns = output(model.n_components, x.shape[1], what)
    out = np.empty(len(x) if columns is None else (len(x), columns), dtype)
    if len(x) == 0:
        return out
    low, high, whole = check_finite(block)
    large = ~np.isfinite(family.squared(np.where(np.maximum(-low, high) > LARGEST, np.inf, 1.0)))
    if large.any():
        row, column = np.argwhere(large & (np.abs(block.x) > LARGEST))[0]
        words = f"holds {block.x[row, column]:g} in column {column}, too large to square"
        raise NotFiniteError(f"{words}: rescale the data", block.first + int(row), int(column))
    check_support(family, block)
    if filled_dtype(what) is not None:
        return _filled(family, params, what, block, out, whole=whole)
    if not whole:
        family = with_missing(family)
    densities = _densities(family, params, low, high)
    softmax = Softmax(densities)
    for start in range(0, len(x), densities.tile):
        here = slice(start, start + densities.tile)
        out[here] = _of_tile(family, what, densities.joint(x[here]), softmax, x[here])
    return out


def _densities(family: Family[Any], params: MixtureParams, low: Float, high: Float) -> Densities:
    """Return the densities for rows within [low, high] (d,), in float64 products where these are good enough."""
    theta = params.theta
    frame = Frame.at(params.weights @ family.centres(theta))
    precision, linear = Precision.CENTRED, family.linear
    if (
        linear is not None
        and linear.complete
        and double_suffices(products_size(linear, theta, frame, linear.largest(low, high, frame)))
    ):
        precision = Precision.DOUBLE
    return densities_of(family, params, precision, frame)


def _filled(family: Family[Any], params: MixtureParams, what: str, block: Block, out: Array, *, whole: bool) -> Array:
    """Fill in the rows, or say by what deviation: the exact path, whose conditional moments are at hand."""
    deviation = what.startswith("deviation")
    if whole:
        out[...] = 0 if deviation else block.x
        return out
    densities = CentredDensities(with_missing(family), params.theta, params.log_weights)
    softmax, fill = Softmax(densities), filling(family).fill
    for start in range(0, len(out), densities.tile):
        x = block.x[start : start + densities.tile]
        resp = densities.joint(x)
        softmax(resp)
        columns = np.array(x.T, dtype=np.float64)
        mean, variance = fill(params.theta, columns, densities.reuse, resp)
        missing = np.isnan(columns)
        values = np.sqrt(variance) if deviation else mean
        out[start : start + len(x)] = np.where(missing, values, 0 if deviation else columns).T
    return out


def _of_tile(family: Family[Any], what: str, joint: Array, softmax: Softmax, x: Array) -> Array:
    """Return one output of a tile x (n, d) from its joint log-densities (K, n), which are overwritten."""
    kind, _, number = what.partition(":")
    if kind == "label":
        return np.asarray(joint.argmax(axis=0))
    log_likelihood = softmax(joint)
    if kind == "proba":
        return np.asarray(joint.T)
    if kind.startswith("top"):
        top = np.argsort(-joint, axis=0, kind="stable")[: int(number)]
        return np.asarray(top.T if kind == "top-index" else np.take_along_axis(joint, top, axis=0).T)
    entropy = -np.einsum("kn,kn->n", joint, np.log(joint))  # kept above 0 by the softmax
    if kind == "entropy":
        return np.asarray(np.maximum(entropy, 0.0))
    base = family.log_base(np.asarray(x, dtype=np.float64).T)
    score = log_likelihood if base is None else log_likelihood + base
    return np.asarray(score if kind == "score" else score - entropy)


def check_support(family: Family[Any], block: Block) -> None:
    """Refuse a block with a value that the family does not take.

    Raises
    ------
    NotFiniteError
    """
    step = tile_rows(block.x.shape[1])
    for start in range(0, len(block.x), step):
        x = np.asarray(block.x[start : start + step], dtype=np.float64).T
        if (found := first_outside(family, x, block.first + start)) is not None:
            raise NotFiniteError(f"{found}; leave such rows out", found.row, found.column)
