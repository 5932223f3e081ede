"""The row outputs of a mixture: labels, responsibilities, scores, entropies, the leading components.

Outputs can be computed for any rows, also for rows that the fit did not use: the frame depends on the parameters, and
the arithmetic (float64 products or the exact path) on the range of the block.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from dem.core.block import Array, Block, Float
from dem.core.coordinate_frame import Frame
from dem.em.row_output import NATS, REAL, RowOutput, RowOutputs, TopOutput, deviation, filled, output_table
from dem.families.family import Family, filling, with_missing
from dem.kernel.kernel_id import NUMPY, KernelId
from dem.models.mixture.kernel import CentredDensities, Densities, MixtureParams, Softmax, densities_of
from dem.models.mixture.native_kernel import native_densities
from dem.models.mixture.precision import Precision, double_suffices, products_size
from dem.models.row_checks import LARGEST_MAGNITUDE, NotFiniteError, check_finite, label_dtype
from dem.scan.support import first_outside
from dem.scan.values import scan_tile_rows


class HasFamily(Protocol):
    """A model whose components have a family."""

    @property
    def family(self) -> Family[Any]:
        """The family of the components."""

    @property
    def kernel_id(self) -> KernelId:
        """The implementation of the E-step, which computes outputs too."""


def mixture_outputs(k: int, d: int, dtype: np.dtype[Any] = REAL) -> RowOutputs:
    """Return the table of outputs of a mixture of k components of d columns; filled-in rows have this dtype."""
    index, top = label_dtype(k), min(3, k)
    return output_table(
        RowOutput("label", "the most probable component", index, n_labels=k),
        RowOutput("proba", "the responsibilities, the probability of each component", columns=k, axis="component"),
        RowOutput("score", "the log-likelihood (of Bayesian mixtures, scikit-learn's score), in nats", units=NATS),
        RowOutput("entropy", "the entropy of the responsibilities, in nats", units=NATS),
        RowOutput("complete", "the expected complete log-likelihood, score - entropy, in nats", units=NATS),
        TopOutput("top-index", "the most probable components", index, top, "rank", n_labels=k, most=k),
        TopOutput("top-weight", "the responsibilities of the most probable components", REAL, top, "rank", most=k),
        filled(d, dtype),
        deviation(d, dtype),
    )


def compute_mixture_output(model: HasFamily, params: MixtureParams, output: RowOutput, block: Block) -> Array:
    """Return one output of a block of shape (n, d).

    Raises
    ------
    ValueError
        If a value is infinite, or not in the support of the family.
    """
    x, family = block.x, model.family
    out = np.empty(output.shape(len(x)), output.dtype)
    if len(x) == 0:
        return out
    low, high, whole = check_finite(block)
    large = ~np.isfinite(family.squares_used(np.where(np.maximum(-low, high) > LARGEST_MAGNITUDE, np.inf, 1.0)))
    if large.any():
        row, column = np.argwhere(large & (np.abs(block.x) > LARGEST_MAGNITUDE))[0]
        wrong = ", too large to square: rescale the data"
        raise NotFiniteError(float(block.x[row, column]), wrong, block.keys.of(int(row)), int(column))
    check_support(family, block)
    if output.name in ("filled", "deviation"):
        return _filled(family, params, output, block, out, whole=whole)
    if not whole:
        family = with_missing(family)
    precision, frame = _arithmetic(family, params, low, high)
    if model.kernel_id != NUMPY:
        native = native_densities(family, params, precision, frame)
        if native is not None:
            native.output(model.kernel_id, output)(x, out)
            return _with_base(family, output, x, out)
    return _by_numpy(family, densities_of(family, params, precision, frame), output, x, out)


def responsibilities(densities: Densities, x: Array) -> tuple[Float, Float]:
    """Return the responsibilities (K, n) of rows x (n, d), and their log-likelihoods (n,) without log h."""
    softmax, n = Softmax(densities), len(x)
    score = np.empty(n)
    resp: Float | None = None
    for start in range(0, n, densities.tile):
        here = slice(start, start + densities.tile)
        joint = densities.joint(x[here])
        score[here] = softmax(joint)
        if resp is None:
            resp = np.empty((len(joint), n))
        resp[:, here] = joint
    assert resp is not None
    return resp, score


def _arithmetic(family: Family[Any], params: MixtureParams, low: Float, high: Float) -> tuple[Precision, Frame]:
    """Return float64 products for rows within [low, high] (d,) if these are accurate enough; and the frame."""
    theta = params.theta
    frame = Frame.at(params.weights @ family.centres(theta))
    precision, linear = Precision.CENTRED, family.linear
    if (
        linear is not None
        and not linear.has_shared_term
        and double_suffices(products_size(linear, theta, frame, linear.largest_magnitudes(low, high, frame)))
    ):
        precision = Precision.DOUBLE
    return precision, frame


def _with_base(family: Family[Any], output: RowOutput, x: Array, out: Array) -> Array:
    """Return log-likelihoods `out` of rows x (n, d) plus log h(x); other outputs unchanged."""
    step = scan_tile_rows(x.shape[1])
    for start in range(0, len(x) if output.name in ("score", "complete") else 0, step):
        base = family.log_base(np.asarray(x[start : start + step], dtype=np.float64).T)
        if base is None:
            break
        out[start : start + step] += base
    return out


def _by_numpy(family: Family[Any], densities: Densities, output: RowOutput, x: Array, out: Array) -> Array:
    """Return `out` with an output of the rows x (n, d)."""
    softmax = Softmax(densities)
    for start in range(0, len(x), densities.tile):
        here = slice(start, start + densities.tile)
        out[here] = _tile_output(output, densities.joint(x[here]), softmax)
    return _with_base(family, output, x, out)


def _filled(
    family: Family[Any], params: MixtureParams, output: RowOutput, block: Block, out: Array, *, whole: bool
) -> Array:
    """Return `out` with the filled-in rows or the deviations; the exact path gives the conditional moments."""
    wants_deviation = output.name == "deviation"
    if whole:
        out[...] = 0 if wants_deviation else block.x
        return out
    densities = CentredDensities(with_missing(family), params.theta, params.log_weights)
    softmax, conditional_moments = Softmax(densities), filling(family).conditional_moments
    for start in range(0, len(out), densities.tile):
        x = block.x[start : start + densities.tile]
        resp = densities.joint(x)
        softmax(resp)
        columns = np.array(x.T, dtype=np.float64)
        mean, variance = conditional_moments(params.theta, columns, densities.reuse, resp)
        missing = np.isnan(columns)
        values = np.sqrt(variance) if wants_deviation else mean
        out[start : start + len(x)] = np.where(missing, values, 0 if wants_deviation else columns).T
    return out


def _tile_output(output: RowOutput, joint: Array, softmax: Softmax) -> Array:
    """Return one output of a tile, without log h, from its joint log-densities (K, n), which it overwrites."""
    name = output.name
    if name == "label":
        return np.asarray(joint.argmax(axis=0))
    log_likelihood = softmax(joint)
    if name == "score":
        return log_likelihood
    if name == "proba":
        return np.asarray(joint.T)
    if name in ("top-index", "top-weight"):
        top = np.argsort(-joint, axis=0, kind="stable")[: output.columns]
        return np.asarray(top.T if name == "top-index" else np.take_along_axis(joint, top, axis=0).T)
    entropy = -np.einsum("kn,kn->n", joint, np.log(joint))  # the softmax keeps `joint` above 0
    if name == "entropy":
        return np.asarray(np.maximum(entropy, 0.0))
    assert name == "complete", name
    return np.asarray(log_likelihood - entropy)


def check_support(family: Family[Any], block: Block) -> None:
    """Raise an error if a block has a value that is not in the support of the family.

    Raises
    ------
    NotFiniteError
    """
    step = scan_tile_rows(block.x.shape[1])
    for start in range(0, len(block.x), step):
        x = np.asarray(block.x[start : start + step], dtype=np.float64).T
        if (found := first_outside(family, x, block.keys.after(start))) is not None:
            wrong = f", but the model accepts only {found.wants}; leave such rows out"
            raise NotFiniteError(found.value, wrong, found.row, found.column)
