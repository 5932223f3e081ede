"""What the estimators with a density share: scores, criteria, rows drawn; and what all take their settings by."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from sklearn.base import DensityMixin
from sklearn.utils.validation import check_is_fitted

from dem import em, run_draw
from dem.checkpoint import Checkpoint
from dem.estimators.rowwise import RowwiseEstimator
from dem.model import Generative
from dem.scan import Scan
from dem.source import Source
from dem.source.generated import GeneratedSource

SAMPLE_CHUNK_BYTES = 16 * 2**20


class Estimator(DensityMixin, RowwiseEstimator):
    """Base of the estimators with a density."""

    @abstractmethod
    def _fitted(self) -> tuple[Generative[Any], Any]:
        """Return the model and its parameters, from the public attributes."""

    def score_samples(self, X: Any) -> Any:
        """Return log p(x) of each row, in nats, of shape (n,).

        A NumPy array for data in memory, a lazy Dask array otherwise.
        """
        return self._rows(X, "score")

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the (weighted) mean of log p(x), in nats a row, from one pass."""
        return self._mean(X, "score", sample_weight).mean

    def bic(self, X: Any) -> float:
        """Return the Bayesian information criterion, -2 log p(X) + parameters log n: lower is better."""
        found = self._mean(X, "score")
        return -2 * found.total + self.n_parameters_ * float(np.log(found.rows))

    def aic(self, X: Any) -> float:
        """Return Akaike's information criterion, -2 log p(X) + 2 parameters: lower is better."""
        return -2 * self._mean(X, "score").total + 2 * self.n_parameters_

    @property
    def n_parameters_(self) -> int:
        """Number of free parameters."""
        check_is_fitted(self)
        return self._fitted()[0].n_parameters(self.n_features_in_)

    def _draw(self, n_samples: int, chunks: Any) -> tuple[Any, Any]:
        """Return rows drawn from the model (n, d) and their latent variables: the same rows for any chunks.

        NumPy arrays; with `chunks`, a number of rows or "auto", lazy Dask arrays.
        """
        check_is_fitted(self)
        check_number("n_samples", n_samples, int, 1)
        fitted, d, seed = self._fitted(), self.n_features_in_, integer_seed(self.random_state)
        if chunks is None:
            return run_draw.draw(*fitted, d, 0, n_samples, seed)
        rows = run_draw.chunk_rows(d, np.float64, SAMPLE_CHUNK_BYTES) if chunks == "auto" else chunks
        check_number("chunks", rows, int, 1)
        return run_draw.lazy(*fitted, d, n_samples, seed, rows)

    def write_sample(
        self,
        n_samples: int,
        path: str | Path,
        *,
        dtype: DTypeLike = "float64",
        chunk_rows: int | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write rows drawn from the model as a Zarr array, chunk by chunk, of any number.

        Parameters
        ----------
        n_samples : int
        path : str or Path
            Of the array (n, d) to write.
        dtype : dtype, default="float64"
        chunk_rows : int, optional
            Rows of a chunk; by default chunks of about 16 MiB. The rows are those of `sample`, whatever the chunks.
        overwrite : bool
            Replace what stands at `path`, once the new array is whole.

        Raises
        ------
        FileExistsError
            If something stands at `path` and `overwrite` is not set.
        """
        check_is_fitted(self)
        check_number("n_samples", n_samples, int, 1)
        kind, d = np.dtype(dtype), self.n_features_in_
        rows = run_draw.chunk_rows(d, kind, SAMPLE_CHUNK_BYTES) if chunk_rows is None else chunk_rows
        check_number("chunk_rows", rows, int, 1)
        run_draw.write(
            *self._fitted(),
            GeneratedSource(n_samples, min(rows, n_samples), d, kind),
            path,
            seed=integer_seed(self.random_state),
            engine=self.engine,
            overwrite=overwrite,
        )


def as_checkpoint(checkpoint: str | Path | Checkpoint | None) -> Checkpoint | None:
    """Return the checkpoint that a path stands for."""
    return Checkpoint(checkpoint) if isinstance(checkpoint, str | Path) else checkpoint


def history(state: em.State[Any]) -> list[dict[str, Any]]:
    """Return the history as plain records, one for each pass (PRML 9.4; figures 9.11 to 9.14).

    "pass"; "objective", what EM never lets fall; "log_likelihood", the same without priors; "elbo_e" and "elbo_m", the
    evidence lower bound after the E-step (where it touches the objective) and after the M-step that followed; "kl",
    KL(q || p(z | x, theta_new)) after that M-step, by which the next E-step raises the bound. All in nats a row; None
    where there is none.
    """
    passes = state.history
    following = [*passes[1:], None]
    return [
        {
            "pass": i,
            "objective": p.objective,
            "log_likelihood": p.log_likelihood,
            "elbo_e": p.objective,
            "elbo_m": p.bound,
            "kl": None if p.bound is None or after is None else after.objective - p.bound,
        }
        for i, (p, after) in enumerate(zip(passes, following, strict=True), start=1)
    ]


def source_record(source: Source, scan: Scan) -> dict[str, Any]:
    """Return what is remembered of the training data, as JSON has it.

    "name", "shape" and "dtype"; "decoding", what entries stood for (see `dem.source.decode`), or None; "missing", how
    many values each column lacks, an empty list where none lacks any; "incomplete_rows" and "empty_rows", how many rows
    lack some value, and how many lack all, whatever their weights.
    """
    return {
        "name": source.name,
        "shape": [scan.rows, source.n_columns],
        "dtype": str(source.dtype),
        "decoding": None if source.decoding is None else source.decoding.fingerprint,
        "missing": scan.missing.tolist() if scan.missing.any() else [],
        "incomplete_rows": scan.incomplete_rows,
        "empty_rows": scan.empty_rows,
    }


def integer_seed(random_state: Any) -> int:
    """Return a seed for NumPy's generators from scikit-learn's kind of random_state; None gives 0.

    A fit should not depend on luck, so the default is a fixed seed.
    """
    if random_state is None:
        return 0
    if isinstance(random_state, int | np.integer):
        check_number("random_state", int(random_state), int, 0)
        return int(random_state)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    raise ValueError(f"random_state must be None, an integer or a NumPy generator, not {random_state!r}")


def check_number(name: str, value: Any, kind: type, low: float) -> None:
    """Refuse a setting that is not a number of this kind, or too small.

    Raises
    ------
    ValueError
    """
    kinds = (int, np.integer) if kind is int else (int, float, np.number)
    word = "an integer" if kind is int else "a number"
    number = isinstance(value, kinds) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or value < low:
        raise ValueError(f"{name} must be {word} >= {low}, got {value!r}")


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Refuse a setting that is none of these words.

    Raises
    ------
    ValueError
    """
    if value not in tuple(choices):
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
