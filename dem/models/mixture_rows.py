"""What a mixture says of each row: labels, responsibilities, scores, entropies, the leading components.

Every output works on any rows, seen in the fit or not: the frame comes from the parameters, and the arithmetic
(float64 products or the exact path) from the block's own range.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from dem.families.family import Family
from dem.frame import Frame
from dem.measure import first_outside
from dem.model import Array, Block, Float
from dem.models.mixture_kernel import Densities, MixtureParams, Precision, Softmax, double_suffices
from dem.models.rowwise import NotFiniteError, check_finite, named
from dem.scan import tile_rows

LARGEST = 1e150
"""Values beyond have squares and densities that are no numbers."""


class Mixture(Protocol):
    """What is asked of a mixture here."""

    @property
    def n_components(self) -> int:
        """K."""

    @property
    def family(self) -> Family[Any]:
        """Its components' family."""

    def size(self, theta: Any, frame: Frame, features: Float) -> float:
        """See `dem.models.mixture.MixtureModel`."""

    def densities(self, params: MixtureParams, precision: Precision, frame: Frame | None) -> Densities:
        """See `dem.models.mixture.MixtureModel`."""


def output(k: int, what: str, others: Iterable[str] = ()) -> tuple[np.dtype[Any], int | None]:
    """Return dtype and columns of an output of a mixture of k components; `others` are named where there is none.

    "label": the most probable component; "proba" (n, k): the responsibilities; "score": log p(x), in nats; "entropy":
    that of the responsibilities, in nats; "complete": the expected complete log-likelihood, score - entropy, in nats;
    "top-index:m" and "top-weight:m" (n, m): the m most probable components and their responsibilities.

    Raises
    ------
    ValueError
        If there is no such output.
    """
    index, real = np.min_scalar_type(k - 1), np.dtype(np.float64)
    outputs: dict[str, tuple[np.dtype[Any], int | None]] = {
        "label": (index, None),
        "proba": (real, k),
        "score": (real, None),
        "entropy": (real, None),
        "complete": (real, None),
    }
    kind, _, number = what.partition(":")
    if kind in ("top-index", "top-weight"):
        if not number.isdigit() or not 1 <= int(number) <= k:
            raise ValueError(f"{what!r}: say how many of the {k} components, 1 to {k}, as in {kind}:{min(3, k)}")
        return index if kind == "top-index" else real, int(number)
    choices = {**outputs, "top-index:3": outputs["label"], "top-weight:3": outputs["score"]}
    return named(choices | dict.fromkeys(others, outputs["score"]), what)


def rows(model: Mixture, params: MixtureParams, what: str, block: Block) -> Array:
    """Return one output of a block of shape (n, d).

    Raises
    ------
    ValueError
        If a value is missing, infinite, or none that the family takes.
    """
    x = block.x
    dtype, columns = output(model.n_components, what)
    out = np.empty(len(x) if columns is None else (len(x), columns), dtype)
    if len(x) == 0:
        return out
    low, high = check_finite(block)
    if max(-low.min(), high.max()) > LARGEST:
        row, column = np.argwhere(np.abs(block.x) > LARGEST)[0]
        words = f"row {block.first + row} holds {block.x[row, column]:g} in column {column}, too large to square"
        raise NotFiniteError(f"{words}: rescale the data", block.first + int(row), int(column))
    check_support(model.family, block)
    densities = _densities(model, params, low, high)
    softmax = Softmax(densities)
    for start in range(0, len(x), densities.tile):
        here = slice(start, start + densities.tile)
        out[here] = _of_tile(model.family, what, densities.joint(x[here]), softmax, x[here])
    return out


def _densities(model: Mixture, params: MixtureParams, low: Float, high: Float) -> Densities:
    """Return the densities for rows within [low, high] (d,), in float64 products where these are good enough."""
    family, theta = model.family, params.theta
    frame = Frame.at(params.weights @ family.centres(theta))
    precision = Precision.CENTRED
    if (
        family.linear
        and family.complete
        and double_suffices(model.size(theta, frame, family.largest(low, high, frame)))
    ):
        precision = Precision.DOUBLE
    return model.densities(params, precision, frame)


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
            raise NotFiniteError(f"row {found.row} {found}; leave such rows out", found.row, found.column)
