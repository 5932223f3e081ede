"""Checks and conversions of the parameters of Gaussian mixtures that users set or read."""

from __future__ import annotations

from typing import Any

import numpy as np

from dem.core.block import Float
from dem.core.linalg import factor_precision
from dem.estimators.checks import check_number
from dem.families.family import Given


def check_initial_parameters(weights: Any, means: Any, precisions: Any, covariance_type: str, k: int, d: int) -> Given:
    """Return the first parameters that the user has set, after checks, with factors of the precisions.

    Parameters
    ----------
    weights : array of shape (k,) or None
    means : array of shape (k, d) or None
    precisions : array or None
        In the shape of `covariance_type`.
    covariance_type : str
    k, d : int

    Raises
    ------
    ValueError
        If a shape or a value is wrong.
    """
    return Given(
        None if weights is None else check_weights(weights, k, "weights_init"),
        None if means is None else check_array(means, (k, d), "means_init"),
        None if precisions is None else check_precisions(precisions, covariance_type, k, d, "precisions_init"),
    )


def check_array(values: Any, shape: tuple[int, ...], name: str) -> Float:
    """Return the values as a float64 array, after a check that they have this shape and are finite.

    Raises
    ------
    ValueError
    """
    array = np.array(values, dtype=np.float64, order="C")
    if array.shape != shape:
        raise ValueError(f"{name} should have the shape {shape}, but got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has values that are not finite: give finite numbers")
    return array


def check_weights(weights: Any, k: int, name: str) -> Float:
    """Return mixing proportions, after a check that they are between 0 and 1 and sum to 1.

    Raises
    ------
    ValueError
    """
    array = check_array(weights, (k,), name)
    if (array < 0).any() or (array > 1).any():
        raise ValueError(f"{name} should be between 0 and 1, but got {array.min():.5g} to {array.max():.5g}")
    if abs(array.sum() - 1) > 1e-6:
        raise ValueError(f"{name} should sum to 1, but got the sum {array.sum():.8g}")
    return array / array.sum()


def covariance_shape(covariance_type: str, k: int, d: int) -> tuple[int, ...]:
    """Return the shape of covariances and precisions."""
    shapes = {"full": (k, d, d), "tied": (d, d), "diag": (k, d), "spherical": (k,)}
    return shapes[covariance_type]


def check_covariances(covariances: Any, covariance_type: str, k: int, d: int, name: str) -> Float:
    """Return covariances, after a check of their shape, and that matrices are symmetric and variances positive.

    Raises
    ------
    ValueError
    """
    array = check_array(covariances, covariance_shape(covariance_type, k, d), name)
    if covariance_type in ("full", "tied"):
        size = np.sqrt(np.einsum("...ii->...i", np.abs(array)))
        if (np.abs(array - np.swapaxes(array, -1, -2)) > 1e-8 * size[..., :, None] * size[..., None, :]).any():
            raise ValueError(f"{name} should be symmetric, with a positive definite matrix for each component")
    elif (array <= 0).any():
        raise ValueError(f"{name} should be positive, but the smallest is {array.min():.5g}")
    return array


def check_precisions(precisions: Any, covariance_type: str, k: int, d: int, name: str) -> Float:
    """Return the Cholesky factors U of the precisions, P = U U'.

    Raises
    ------
    ValueError
    """
    array = check_covariances(precisions, covariance_type, k, d, name)
    if covariance_type in ("diag", "spherical"):
        return np.asarray(np.sqrt(array))
    try:
        factors = [factor_precision(precision) for precision in array.reshape(-1, d, d)]
    except np.linalg.LinAlgError:
        raise ValueError(f"{name} should be symmetric and positive definite, but a matrix is not") from None
    return np.reshape(factors, array.shape)


def precisions_of(factor: Float, covariance_type: str) -> Float:
    """Return the precisions U U', given their factors in the shape of a covariance type."""
    if covariance_type in ("full", "tied"):
        return np.asarray(factor @ np.swapaxes(factor, -1, -2))
    return np.asarray(factor**2)


def check_reg_covar(reg_covar: Any) -> float | None:
    """Return the setting as a float, or None, which means that it is computed from the data.

    Raises
    ------
    ValueError
        If it is not a number, or negative.
    """
    if reg_covar is None:
        return None
    check_number("reg_covar", reg_covar, float, 0)
    return float(reg_covar)
