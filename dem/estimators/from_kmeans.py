"""Start a Gaussian mixture from a fitted K-means."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from dem.core.block import Float
from dem.core.error_state import default_error_state
from dem.estimators.gaussian_init import covariance_shape
from dem.estimators.kmeans import KMeans
from dem.estimators.summary import shared_units

M = TypeVar("M")


@default_error_state()
def from_kmeans(cls: type[M], km: KMeans, *, covariance_type: str = "full", **settings: Any) -> M:
    """Return a mixture, not yet fitted, whose EM starts from the clusters of a fitted K-means.

    The first weights are the clusters' shares of the rows, and the first means are the centres. The first covariances
    are spherical: the variance is the mean squared distance of a cluster's rows to its centre, per column (for the tied
    type: of all rows). K-means already has these sums, so no pass over the data is needed; the first M-step gives the
    covariances their shapes. K-means is the EM of this mixture in the limit of equal variances that go to 0 (PRML
    9.3.2). The settings `scale`, `missing` and `missing_value` are taken from the K-means.

    Parameters
    ----------
    km : KMeans
        Fitted.
    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
    **settings
        Other settings of the mixture.

    Raises
    ------
    ValueError
        If all rows lie on their centres, so that there is no variance to start with; or for spherical covariances, if
        `scale` is not that of the K-means.
    """
    check_is_fitted(km)
    variances = cluster_variances(km)
    k, d = km.cluster_centers_.shape
    weights = np.maximum(km.cluster_counts_, np.finfo(float).tiny)
    shares = np.atleast_1d(1 / (weights @ variances / weights.sum()) if covariance_type == "tied" else 1 / variances)
    shape, settings = covariance_shape(covariance_type, k, d), {"scale": km.scale, **settings}
    by_column = shares[:, None] / shared_units(km, d) ** 2
    if covariance_type in ("full", "tied"):
        precisions = np.reshape(by_column[:, None] * np.eye(d), shape)
    elif covariance_type == "diag":
        precisions = by_column
    elif settings["scale"] == km.scale:
        precisions = shares
    else:
        raise ValueError(f"spherical covariances need the scale of the K-means, {km.scale!r}: leave out scale")
    return cls(
        k,  # type: ignore[call-arg]
        covariance_type=covariance_type,
        weights_init=weights / weights.sum(),
        means_init=km.cluster_centers_,
        precisions_init=precisions,
        **{"missing": km.missing, "missing_value": km.missing_value, **settings},
    )


def cluster_variances(km: KMeans) -> Float:
    """Return the variance per column of each cluster (K,); a cluster without variance gets that of all rows."""
    counts, d = km.cluster_counts_, km.cluster_centers_.shape[1]
    common = km.inertia_ / (counts.sum() * d)
    if not common > 0:
        raise ValueError("all rows lie on their centres, so that the clusters have no variance: use fewer clusters")
    variances = km.cluster_inertias_ / (np.where(counts > 0, counts, 1.0) * d)
    return np.where(variances > 1e-6 * common, variances, common)
