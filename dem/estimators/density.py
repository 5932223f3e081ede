"""Estimators with a density: scores, criteria, samples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from sklearn.base import DensityMixin
from sklearn.utils.validation import check_is_fitted

from dem.core.block import Float
from dem.em.model import Generative
from dem.estimators.base import RowwiseEstimator
from dem.estimators.checks import check_number, integer_seed
from dem.estimators.criteria import with_criteria
from dem.models.scaled import DensityInDataUnits
from dem.run import draw_rows
from dem.source.generated import GeneratedSource

SAMPLE_CHUNK_BYTES = 16 * 2**20
"""The default size of the chunks of drawn rows."""


@with_criteria("score")
class DensityEstimator(DensityMixin, RowwiseEstimator):
    """Base of the estimators with a density."""

    _in_data_units = DensityInDataUnits
    bic: Callable[[Any], float]
    aic: Callable[[Any], float]
    hqic: Callable[[Any], float]

    @abstractmethod
    def _fitted(self) -> tuple[Generative[Any], Any]:
        """Return the model and its parameters, from the public attributes."""

    def _likely_rows(self, n: int, rng: np.random.Generator) -> Float:
        """Return n random rows of the model, which is not one of scaled rows."""
        model, params = self._fitted()
        return model.draw(params, n, rng)[0]

    def score_samples(self, X: Any) -> Any:
        """Return log p(x) of each row, in nats, of shape (n,); NaN for rows without any value.

        A NumPy array for data in memory, a lazy Dask array otherwise.
        """
        return self._rows(X, "score")

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the (weighted) mean of log p(x), in nats a row, from one pass."""
        return self.mean_score(X, sample_weight).mean

    @property
    def n_parameters_(self) -> int:
        """Number of free parameters."""
        check_is_fitted(self)
        return self._model_of_rows()[0].n_parameters(self.n_features_in_)

    def _draw(self, n_samples: int, chunks: Any) -> tuple[Any, Any]:
        """Return rows drawn from the model (n, d) and their latent variables: the same rows for any chunks.

        NumPy arrays; with `chunks`, a number of rows or "auto", lazy Dask arrays.
        """
        check_is_fitted(self)
        check_number("n_samples", n_samples, int, 1)
        fitted, d, seed = self._model_of_rows(), self.n_features_in_, integer_seed(self.random_state)
        if chunks is None:
            return draw_rows.draw(*fitted, d, 0, n_samples, seed)
        rows = draw_rows.chunk_rows(d, np.float64, SAMPLE_CHUNK_BYTES) if chunks == "auto" else chunks
        check_number("chunks", rows, int, 1)
        return draw_rows.draw_lazy(*fitted, d, n_samples, seed, rows)

    def write_sample(
        self,
        n_samples: int,
        path: str | Path,
        *,
        dtype: DTypeLike = "float64",
        chunk_rows: int | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write any number of rows drawn from the model as a Zarr array, chunk by chunk.

        Parameters
        ----------
        n_samples : int
        path : str or Path
            Of the array (n, d) to write.
        dtype : dtype, default="float64"
        chunk_rows : int, optional
            Rows per chunk; by default chunks have about 16 MiB. The rows are those of `sample`, for any chunks.
        overwrite : bool
            Replace an existing array at `path` when the new one is complete.

        Raises
        ------
        FileExistsError
            If `path` exists and `overwrite` is not set.
        """
        check_is_fitted(self)
        check_number("n_samples", n_samples, int, 1)
        kind, d = np.dtype(dtype), self.n_features_in_
        rows = draw_rows.chunk_rows(d, kind, SAMPLE_CHUNK_BYTES) if chunk_rows is None else chunk_rows
        check_number("chunk_rows", rows, int, 1)
        draw_rows.write_drawn(
            *self._model_of_rows(),
            GeneratedSource(n_samples, min(rows, n_samples), d, kind),
            path,
            seed=integer_seed(self.random_state),
            engine=self.engine,
            overwrite=overwrite,
            kind=type(self).__name__,
        )
