"""The exact path of full and tied Gaussians with missing values as a small value, which the native kernel reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dem.core.block import Float
from dem.core.linalg import triangle, triangle_size, unpack
from dem.families.gaussian.base import Gaussians, matrix_map
from dem.families.gaussian.centred_map import CentredMap
from dem.families.gaussian.missing_rows import LARGEST_INFLATION, log_det_precision, variance_inflation


@dataclass(frozen=True, eq=False)
class MissingMap:
    """K Gaussians, and the matrices from which the linear systems of rows are taken.

    Attributes
    ----------
    centred : CentredMap
        The Gaussians of complete rows; the factors U are matrices.
    precisions : array of shape (K, d, d)
        P = U U'. Systems of few missing columns are taken from them.
    covariances : array of shape (K, d, d)
        S. Systems of few observed columns are taken from them.
    log_dets : array of shape (K,)
        log |P|.
    """

    centred: CentredMap
    precisions: Float
    covariances: Float
    log_dets: Float

    @classmethod
    def of(cls, theta: Gaussians) -> MissingMap | None:
        """Return the map of full or tied Gaussians; None if P would lose too many digits of U."""
        if variance_inflation(theta) > LARGEST_INFLATION:
            return None
        centred = matrix_map(theta)
        upper = centred.factors
        covariances = np.broadcast_to(theta.covariances, upper.shape)
        return cls(centred, upper @ np.swapaxes(upper, 1, 2), covariances, log_det_precision(upper)[:, 0])

    def completed(self, sums: Float) -> Float:
        """Return the family's sums from those of the native kernel.

        Parameters
        ----------
        sums : array of shape (F + d (d + 1) / 2 + 1, K)
            The family's sums without C of rows with few observed columns, then their sums of r inv(S_oo) and of r.
            Their C is S - S_.o inv(S_oo) S_o.
        """
        d = self.covariances.shape[1]
        found = sums[: -1 - triangle_size(d)].copy()
        inverses, totals = unpack(sums[len(found) : -1].T, d), sums[-1]
        if totals.any():
            row, column = triangle(d)
            spread = totals[:, None, None] * self.covariances - self.covariances @ inverses @ self.covariances
            found[1 + d : -1] += spread[:, row, column].T
        return found
