"""Does the variational mixture count right? 20 components on ten data sets of 6 clusters, beside scikit-learn's."""

from __future__ import annotations

import sys
import warnings

import numpy as np
from sklearn.mixture import BayesianGaussianMixture as Sklearn

import dem
from benchmarks.common import Row, send

SETS, ROWS, COMPONENTS, CLUSTERS, COLUMNS = 10, 100_000, 20, 6, 4
LEAST_RIGHT = 9
LEAST_WEIGHT, LEAST_DISTANCE = 0.03, 4.0
"""Every cluster has at least this share of the rows; the means are at least this far apart, in deviations."""
PEERS = 2
"""The sets that scikit-learn fits too: each takes it one to three minutes."""
POSTERIOR = ("weights_", "means_", "covariances_", "precisions_cholesky_", "mean_precision_", "degrees_of_freedom_")


def clusters(seed: int, kind: str = "full", n: int = ROWS, holes: float = 0.0) -> np.ndarray:
    """Return n rows of clusters of unequal weights, with covariances of this type; a share of the values is missing."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(CLUSTERS, 2.0))
    while weights.min() < LEAST_WEIGHT:
        weights = rng.dirichlet(np.full(CLUSTERS, 2.0))
    factors = np.array(_factors(rng, kind))
    means = rng.normal(scale=4.0, size=(CLUSTERS, COLUMNS))
    while _distance(means, factors) < LEAST_DISTANCE:
        means = rng.normal(scale=4.0, size=(CLUSTERS, COLUMNS))
    labels = rng.choice(CLUSTERS, size=n, p=weights)
    x = means[labels] + np.einsum("nij,nj->ni", factors[labels], rng.standard_normal((n, COLUMNS)))
    if holes:
        gone = rng.random(x.shape) < holes
        gone[gone.all(axis=1), 0] = False
        x[gone] = np.nan
    return x


def _factors(rng: np.random.Generator, kind: str) -> list[np.ndarray]:
    """Return a factor of the covariance of each cluster, of different sizes and shapes if the type has these."""
    if kind == "tied":
        return [np.eye(COLUMNS) + 0.4 * rng.normal(size=(COLUMNS, COLUMNS))] * CLUSTERS
    sizes = np.exp(rng.uniform(-0.7, 0.7, size=CLUSTERS))
    if kind == "spherical":
        return [size * np.eye(COLUMNS) for size in sizes]
    if kind == "diag":
        return [np.diag(np.exp(rng.uniform(-0.7, 0.7, size=COLUMNS))) for _ in sizes]
    return [size * (np.eye(COLUMNS) + 0.4 * rng.normal(size=(COLUMNS, COLUMNS))) for size in sizes]


def _distance(means: np.ndarray, factors: np.ndarray) -> float:
    """Return the least distance of two means, in deviations of the two clusters together."""
    found = []
    for i in range(CLUSTERS):
        for j in range(i):
            both = (factors[i] @ factors[i].T + factors[j] @ factors[j].T) / 2
            offset = means[i] - means[j]
            found.append(offset @ np.linalg.solve(both, offset))
    return float(np.sqrt(min(found)))


def fitted(x: np.ndarray, kind: str, mixing: str, **settings: object) -> dem.BayesianGaussianMixture:
    """Return the fit with default settings."""
    model = dem.BayesianGaussianMixture(
        COMPONENTS, covariance_type=kind, weight_concentration_prior_type=mixing, **settings
    )
    return model.fit(x)


def bound_of_sklearn(ours: dem.BayesianGaussianMixture, x: np.ndarray) -> tuple[float, int]:
    """Return the bound of scikit-learn's posterior, with dem's constants, in nats a row, and its iterations."""
    kind, mixing = ours.covariance_type, ours.weight_concentration_prior_type
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = Sklearn(
            n_components=COMPONENTS,
            covariance_type=kind,
            weight_concentration_prior_type=mixing,
            max_iter=100,
            random_state=0,
        ).fit(x)
        for name in POSTERIOR:
            setattr(ours, name, np.asarray(getattr(peer, name)))
        ours._concentration = np.array(peer.weight_concentration_)
        ours.set_params(warm_start=True, max_iter=1).fit(x)
    return ours.lower_bounds_[0], peer.n_iter_


def counting_row(kind: str, mixing: str, holes: float = 0.0) -> Row:
    """Return the row of the ten sets: in how many of them the count is right."""
    counts, passes = [], []
    for seed in range(SETS):
        ours = fitted(clusters(seed, kind, holes=holes), kind, mixing)
        counts.append(ours.n_components_used_)
        passes.append(ours.n_passes_)
        print(f"{kind}, {mixing}, set {seed}: {counts[-1]} in {passes[-1]} passes", file=sys.stderr)
    case = f"variational, {kind}, {mixing.removeprefix('dirichlet_')}{', 10 % missing' if holes else ''}: right counts"
    note = f"of {SETS} sets of {CLUSTERS} clusters, {COMPONENTS} components; counts {counts}, passes {passes}"
    return Row(case, "the truth", float(counts.count(CLUSTERS)), LEAST_RIGHT, True, note)


def bound_row(kind: str, mixing: str) -> Row:
    """Return the row of the bound beside scikit-learn's."""
    differences, iterations = [], []
    for seed in range(PEERS):
        x = clusters(seed, kind)
        ours = fitted(x, kind, mixing)
        reached = ours.lower_bound_
        theirs, n_iter = bound_of_sklearn(ours, x)
        differences.append(reached - theirs)
        iterations.append(n_iter)
        print(f"{kind}, {mixing}, set {seed}: bound {differences[-1]:+.2e} a row", file=sys.stderr)
    name = f"variational, {kind}, {mixing.removeprefix('dirichlet_')}: bound less the peer's, nats a row"
    note = f"the least of {PEERS} sets; {', '.join(f'{value:+.1e}' for value in differences)}; iterations {iterations}"
    return Row(name, "scikit-learn", min(differences), 0.0, True, note)


if __name__ == "__main__":
    rows = [
        counting_row(kind, mixing)
        for kind in ("full", "diag", "tied", "spherical")
        for mixing in ("dirichlet_process", "dirichlet_distribution")
    ]
    rows.append(counting_row("full", "dirichlet_process", holes=0.1))
    rows += [bound_row("full", mixing) for mixing in ("dirichlet_process", "dirichlet_distribution")]
    send(rows)
