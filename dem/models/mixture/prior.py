"""Conjugate priors as pseudo-rows: MAP estimates for every family by one rule.

The conjugate prior of an exponential family has the form of the likelihood of additional rows (Diaconis and Ylvisaker
1979; for the Gaussian it is a normal-inverse-Wishart, for a probability a Dirichlet, for a rate a gamma). So a prior is
defined by pseudo-rows that each component gets in addition to its own rows. They are distributed as the whole data:

    log p(theta_k) = rows * mean over the pseudo-rows y of log p(y | theta_k) + constant

and the M-step adds their sums to those of the data. For other families it is the power prior (Ibrahim and Chen 2000).
The weights have a Dirichlet prior. The constant makes the log prior 0 at the estimate from the pseudo-rows, so that the
objective changes with the units of the data as the log-likelihood does.

In the usual parameters, with y of mean m and covariance C: a full Gaussian's mean and precision are normal-Wishart with
m_0 = m, beta_0 = rows, nu_0 = rows + d, inv(W_0) = rows C (a proper density for any rows > 0, if C is not singular); a
diagonal Gaussian has the same for each column; a rate is Gamma(1 + rows, rows m); weights are Dirichlet(1 +
weight_rows).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dem.core.block import Float
from dem.core.coordinate_frame import Frame
from dem.families.family import Family
from dem.scan.scanner import Scan

PSEUDO_ROWS = 1024
"""Number of rows of the sample that are pseudo-rows; four per column if that is more."""


@dataclass(frozen=True)
class Prior:
    """The strength of a prior.

    Attributes
    ----------
    rows : float
        The number of rows added to each component, distributed as the whole data.
    weight_rows : float
        The number of rows added to each component's weight: a Dirichlet prior with parameter 1 + weight_rows.
    """

    rows: float = 1.0
    weight_rows: float = 1.0

    def __post_init__(self) -> None:
        for name in ("rows", "weight_rows"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"a prior's {name} must be a number >= 0, got {value!r}")


WEAK = Prior()
"""The prior called "weak": one row for each component."""


@dataclass(frozen=True)
class BoundPrior:
    """A prior in the data's units.

    Attributes
    ----------
    strength : Prior
    y : array of shape (d, m)
        The pseudo-rows, as columns.
    share : array of shape (m,)
        Their weights, from the rows of the sample, with the sum 1.
    highest : float
        The mean of log p(y | theta) at the estimate from the pseudo-rows.
    """

    strength: Prior
    y: Float
    share: Float
    highest: float

    @classmethod
    def of(cls, strength: Prior, family: Family[object], scan: Scan) -> BoundPrior:
        """Return the prior for the data of a scan: its pseudo-rows are the first ones of the sample.

        A small sample is repeated, so that a family can replace the rows by others: by each of many codes.

        Raises
        ------
        ValueError
            If the family has no estimate from them.
        """
        first = np.flatnonzero(scan.sample.weight > 0)[: max(PSEUDO_ROWS, 4 * scan.n_columns)]
        first = np.tile(first, -(-PSEUDO_ROWS // len(first)))
        y = np.ascontiguousarray(family.pseudo_rows(np.asarray(scan.sample.x[first], dtype=np.float64)).T)
        share = scan.sample.weight[first] / scan.sample.weight[first].sum()
        out = np.empty((1, len(share)))
        family.log_density(family.initial(y, share[None]), y, out)
        return cls(strength, y, share, float(out[0] @ share))

    def sums(self, family: Family[object], theta: object, frame: Frame, size: int) -> Float:
        """Return the sums of the pseudo-rows (size, K), in the frame of a pass.

        Parameters
        ----------
        family : Family
        theta
            The parameters of that pass.
        frame : Frame
            The frame of its statistics.
        size : int
            F on the fast path, F' on the exact one.
        """
        k, m = len(family.centres(theta)), self.y.shape[1]
        resp = np.tile(self.strength.rows * self.share, (k, 1))
        out = np.zeros((size, k))
        linear = family.linear
        if frame.shift.ndim == 1 and linear is not None:
            features = np.empty((size, m))
            features[0] = 1
            linear.features(len(self.y), frame).write(self.y.T, features[1:])
            out += features @ resp.T
        else:
            reuse = family.log_density(theta, self.y, np.empty((k, m)))
            family.add_sums(theta, self.y, reuse, resp, out)
        return out

    def log_density(self, family: Family[object], theta: object, log_weights: Float) -> float:
        """Return the log prior density of the parameters minus its largest value, in nats."""
        k = len(log_weights)
        out = np.empty((k, self.y.shape[1]))
        family.log_density(theta, self.y, out)
        components = self.strength.rows * float((out @ self.share - self.highest).sum())
        return components + self.strength.weight_rows * float((log_weights + np.log(k)).sum())
