"""Directions in d dimensions: log p(x) = kappa mu . x - log(area Z_d(kappa))   (Banerjee et al. 2005)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import vonmises_fisher

from dem.families.directions import concentration, log_area, log_partition
from dem.families.exponential_family import TINY, ExponentialFamily, Theta
from dem.frame import Frame
from dem.model import Array, Float

MOST_COLUMNS = 2000
"""Beyond, Bessel functions of such orders are not to be had in float64."""


class VonMisesFisher(ExponentialFamily):
    """Rows on the unit sphere: "mean_direction" (K, d) and "concentration" (K,)."""

    wants: ClassVar[str] = "rows of length 1"

    def check_columns(self, d: int) -> None:
        """Refuse one column, and too many."""
        if not 2 <= d <= MOST_COLUMNS:
            raise ValueError(f"von Mises-Fisher takes 2 to {MOST_COLUMNS:,} columns, got {d}")

    def with_missing(self) -> Any:
        """Return the family itself, which refuses such rows: other parts of a product may lack values."""
        return WholeVonMisesFisher()

    def statistics(self, x: Array) -> tuple[Array, ...]:
        """Return x."""
        return (x,)

    def natural_parameters(self, theta: Theta) -> tuple[Float, ...]:
        """Return the normaliser and kappa mu."""
        mu, kappa = theta["mean_direction"], theta["concentration"]
        d = mu.shape[1]
        return -log_area(d) - log_partition(d, kappa), kappa[:, None] * mu

    def from_means(self, *means: Float) -> Theta:
        """Return the direction of the mean vector, and the concentration at its length."""
        d = means[0].shape[1]
        length = np.sqrt((means[0] ** 2).sum(axis=1))
        anywhere = np.full(d, d**-0.5)  # where the directions cancel
        mu = np.where(length[:, None] > TINY, means[0] / np.maximum(length, TINY)[:, None], anywhere)
        return {"mean_direction": mu, "concentration": concentration(d, length)}

    def sample(self, theta: Theta, n: int, rng: np.random.Generator) -> Float:
        """Return directions, by SciPy's rejection sampling."""
        mu, kappa = theta["mean_direction"], float(theta["concentration"])
        if n == 0:
            return np.empty((0, len(mu)))
        drawn = vonmises_fisher(mu / np.linalg.norm(mu), max(kappa, 1e-12)).rvs(n, random_state=rng)
        return np.asarray(drawn, dtype=np.float64).reshape(n, len(mu))

    def outside(self, x: Float) -> NDArray[np.bool_]:
        """Return the rows whose length is not 1, up to the rounding of float32, or of float16 if it is exact in it."""
        off = np.abs(np.einsum("ij,ij->j", x, x) - 1)
        bad = off > 1e-6
        if bad.any():
            with np.errstate(over="ignore"):
                bad &= (off > 2e-3) | (x != x.astype(np.float16)).any(axis=0)
        return np.broadcast_to(bad, x.shape)


class WholeVonMisesFisher(VonMisesFisher):
    """The same where values may be missing, but not of these columns: the marginal has no closed form."""

    def features(self, rows: Array, frame: Frame, out: Array) -> None:
        """Write x.

        Raises
        ------
        ValueError
            If a value is missing.
        """
        super().features(rows, frame, out)
        check_whole(out)

    def log_density(self, theta: Theta, x: Float, out: Float) -> Float:
        """Write the log-densities of directions that are whole."""
        check_whole(x)
        return super().log_density(theta, x, out)

    def fill(self, theta: Theta, x: Float, reuse: Float, resp: Float) -> tuple[Float, Float]:
        """Return x: nothing is missing."""
        return x, np.zeros_like(x)


def check_whole(x: Array) -> None:
    """Refuse directions (d, n) of which a column is missing.

    Raises
    ------
    ValueError
    """
    if np.isnan(x).any():
        raise ValueError(
            "a direction of which a column is missing has no density in closed form: remove such rows, fill "
            "them in, or take another family than von Mises-Fisher"
        )
