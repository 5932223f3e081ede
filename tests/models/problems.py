"""Mixtures that are hard on arithmetic, and rows drawn from them."""

from dataclasses import dataclass

import numpy as np

from dem.families import COVARIANCE_TYPES
from dem.models.mixture.mixture import MixtureModel, MixtureParams

K, D = 3, 4


@dataclass(frozen=True)
class Hardship:
    """What is hard: in units of the largest standard deviation."""

    offset: float = 0.0
    spread: float = 5.0
    condition: float = 10.0
    columns: float = 1.0  # column scales run from 1 / columns to columns


HARDSHIPS = {
    "plain": Hardship(),
    "offset-1e4": Hardship(offset=1e4),
    "offset-1e8": Hardship(offset=1e8),
    "columns-1e-8-to-1e8": Hardship(columns=1e8),
    "condition-1e10": Hardship(condition=1e10),
    "spread-1": Hardship(spread=1.0),
    "spread-1e3": Hardship(spread=1e3),
    "spread-1e5": Hardship(spread=1e5),
    "spread-1e7": Hardship(spread=1e7),
    "offset-and-columns": Hardship(offset=1e8, columns=1e8),
    "offset-and-condition": Hardship(offset=1e8, condition=1e10),
    "spread-and-condition": Hardship(spread=1e7, condition=1e10),
    "condition-and-columns": Hardship(condition=1e10, columns=1e8),
    "all": Hardship(offset=1e8, spread=1e4, condition=1e6, columns=1e8),
}


@dataclass(frozen=True)
class Problem:
    kind: str
    x: np.ndarray
    between: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    @property
    def model(self):
        return MixtureModel(K, COVARIANCE_TYPES[self.kind]())

    @property
    def params(self):
        return MixtureParams(self.weights, self.model.family.from_covariances(self.means, self.covariances))


def problem(kind, hard, rng, n=60):
    """Return a mixture, n rows of each component, and rows half-way between the means."""
    columns = np.geomspace(1 / hard.columns, hard.columns, D)
    variances = np.geomspace(1, 1 / hard.condition, D)
    turns = np.linalg.qr(rng.normal(size=(K, D, D)))[0]
    means = (hard.offset + hard.spread * rng.normal(size=(K, D))) * columns
    noise = rng.normal(size=(K, n, D))
    if kind in ("full", "tied"):
        if kind == "tied":
            turns[:] = turns[0]
        roots = turns * np.sqrt(variances)  # C = root root'
        noise = np.einsum("kij,knj->kni", roots, noise) * columns
        covariances = roots @ np.swapaxes(roots, 1, 2) * columns[:, None] * columns
        covariances = (covariances + np.swapaxes(covariances, 1, 2)) / 2
        covariances = covariances[0] if kind == "tied" else covariances
    elif kind == "diag":
        covariances = np.array([rng.permutation(variances) for _ in range(K)]) * columns**2
        noise = noise * np.sqrt(covariances)[:, None]
    else:
        covariances = np.array([1.0, 0.5, 2.0])
        noise = noise * np.sqrt(covariances)[:, None, None]
    x = (means[:, None] + noise).reshape(-1, D)
    between = np.array([(means[i] + means[j]) / 2 for i in range(K) for j in range(i)])
    return Problem(kind, rng.permutation(x), between, np.array([0.2, 0.3, 0.5]), means, covariances)
