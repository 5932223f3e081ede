"""What all estimators do (data in, row-wise outputs, disk), and those with a density: scores, criteria, samples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from dem.em import loop
from dem.em.model import Generative, Rowwise
from dem.engine.engine import Engine
from dem.models.criteria import aic, bic
from dem.run import draw_rows
from dem.run.check_load import check_load
from dem.run.rows import MISSING_TREATMENTS, Mean, compute_rows, mean_of_rows, write_rows
from dem.scan.scanner import Scan
from dem.source import Source, is_lazy, is_source, open_source
from dem.source.decode import float_dtype, given
from dem.source.generated import GeneratedSource
from dem.source.in_memory import as_numeric, open_memory
from dem.storage.atomic import save_model
from dem.storage.checkpoint import Checkpoint
from dem.storage.document import Saved

FILLING = ("filled", "deviation")
"""The row-wise outputs of the shape of the rows: what `impute` returns."""


class RowwiseEstimator(BaseEstimator):
    """Base of the estimators.

    Rows without any value (all NaN, or masked) are left out of fits, scores and criteria, and what is said of them is
    missing: labels are -1, all else is NaN.

    A subclass keeps the model's parameters in public attributes, as scikit-learn's do, and says in
    `_fitted` how a model and its parameters are made of them.
    """

    engine: Engine | None
    missing: str
    missing_value: float | None
    outputs: ClassVar[tuple[str, ...]]
    """The row-wise outputs that the command line offers."""
    objective_name: ClassVar[str] = "log_likelihood"
    """What `lower_bound_` is, priors aside: "log_likelihood", "bound" or "inertia"."""
    _saved: ClassVar[tuple[str, ...]]
    """Names of the fitted arrays that go to disk."""
    _saved_numbers: ClassVar[tuple[str, ...]]
    """Names of fitted numbers and words, beside those that all estimators have."""

    @abstractmethod
    def describe(self) -> str:
        """Return in a few words what the fitted model is."""

    @abstractmethod
    def _fitted(self) -> tuple[Rowwise[Any], Any]:
        """Return the model and its parameters, from the public attributes."""

    def _open(self, X: Any, sample_weight: Any = None, *, reset: bool = False) -> Source:
        """Return the source of rows that X is, and check its columns against the model's.

        Raises
        ------
        TypeError
            If they are a container of a lazy array (see `dem.source.containers`).
        ValueError
            If they are unusable, or their columns are not the model's.
        MemoryError
            If they must be read into memory and the engine's limit has no room for them.
        """
        if not isinstance(self.engine, Engine | None):
            raise ValueError(f"engine must be a dem.Engine or None, got {self.engine!r}")
        if self.missing not in MISSING_TREATMENTS:
            raise ValueError(f"missing must be one of {', '.join(MISSING_TREATMENTS)}, got {self.missing!r}")
        check_load(X, sample_weight, self.engine)
        if not is_lazy(X):
            if np.ma.isMaskedArray(X):
                X = as_numeric(X)  # scikit-learn would drop the mask
            X = validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite=False)
            names = tuple(self.feature_names_in_) if hasattr(self, "feature_names_in_") else None
            return replace(open_memory(X, sample_weight, missing_value=self.missing_value), columns=names)
        if (
            is_source(X)
            and self.missing_value is not None
            and X.decoding is None
            and given(self.missing_value, X.dtype)
        ):
            raise ValueError(
                f"{X.name} is open already, and was not told that {self.missing_value:g} is missing: give "
                "missing_value to dem.open_source, too"
            )
        source = open_source(X, sample_weight, missing_value=None if is_source(X) else self.missing_value)
        if reset:
            self.n_features_in_ = source.n_columns
            self.__dict__.pop("feature_names_in_", None)
        elif source.n_columns != self.n_features_in_:
            raise ValueError(
                f"{source.name} has {source.n_columns} columns, but {type(self).__name__} was fitted on "
                f"{self.n_features_in_}: give it data with the same columns in the same order"
            )
        return source

    def _rows(self, X: Any, what: str) -> Any:
        """Return a row-wise output: a NumPy array for data in memory, a lazy Dask array otherwise."""
        check_is_fitted(self)
        source = self._open(X)
        return compute_rows(*self._fitted(), source, _typed(what, source), self.engine, self.missing)

    def _mean(self, X: Any, what: str, sample_weight: Any = None) -> Mean:
        """Return the weighted mean of a row-wise output, from one pass."""
        check_is_fitted(self)
        return mean_of_rows(*self._fitted(), self._open(X, sample_weight), what, self.engine, self.missing)

    def mean_score(self, X: Any, sample_weight: Any = None) -> Mean:
        """Return the (weighted) mean of the rows' scores with its parts (rows, weights, the sum), from one pass."""
        return self._mean(X, "score", sample_weight)

    def write(self, X: Any, path: str | Path, what: str, *, overwrite: bool = False) -> None:
        """Write a row-wise output of X as a Zarr array, region by region.

        Parameters
        ----------
        X : str, Path or zarr.Array of shape (n, d)
        path : str or Path
            Of the array to write; chunked like X's rows.
        what : str
            Which output: see the class. "filled" and "deviation" are those of `impute`.
        overwrite : bool
            Replace what stands at `path`, once the new array is whole.

        Raises
        ------
        FileExistsError
            If something stands at `path` and `overwrite` is not set.
        ValueError
            If there is no such output, or X does not suit the model.
        """
        check_is_fitted(self)
        source = self._open(X)
        write_rows(
            *self._fitted(),
            source,
            _typed(what, source),
            path,
            engine=self.engine,
            overwrite=overwrite,
            missing=self.missing,
            kind=type(self).__name__,
        )

    def impute(self, X: Any, return_std: bool = False) -> Any:
        """Return the rows with their missing values filled in: E[x_missing | x_observed] under the model.

        Parameters
        ----------
        X : str, Path, zarr.Array, dask.array.Array or array-like of shape (n, d)
        return_std : bool, default=False
            Return the conditional standard deviations too.

        Returns
        -------
        array of shape (n, d), or two of them
            The rows in X's floating dtype (of integers float32 up to 16 bits, else float64), observed values bit for
            bit; and the deviations, 0 where X is observed; both NaN in rows without any value. NumPy arrays for data in
            memory, lazy Dask arrays otherwise; `write` writes them by the names "filled" and "deviation".

        Raises
        ------
        ValueError
            X does not suit the model; or values are missing and `missing` is "error".
        """
        filled = self._rows(X, "filled")
        return (filled, self._rows(X, "deviation")) if return_std else filled

    def __sklearn_tags__(self) -> Tags:
        """Return what scikit-learn is to know: NaN are taken."""
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _hand_over(self, model: Any, names: Iterable[str]) -> Any:
        """Return a scikit-learn model with these fitted attributes, and those that say of which columns it is."""
        for name in (*names, "n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                setattr(model, name, getattr(self, name))
        return model

    def _shared_settings(self, kind: type[BaseEstimator]) -> dict[str, Any]:
        """Return the settings that a class of scikit-learn's has too; None is left to its defaults."""
        names = set(kind().get_params())
        own = self.get_params(deep=False).items()
        return {name: value for name, value in own if name in names and value is not None}

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the fitted model as a Zarr group, whole or not at all; `dem.load` reads it.

        Parameters
        ----------
        path : str or Path
            A path or URL.
        overwrite : bool
            Replace a model that stands there; what is no model of dem's is never replaced.

        Raises
        ------
        FileExistsError
            If something stands at `path` and `overwrite` is not set, or `path` is inside a Zarr array.
        ValueError
            The name is that of a file of another format.
        """
        check_is_fitted(self)
        save_model(path, Saved(type(self).__name__, self._arrays(), self._attributes()), overwrite=overwrite)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that make up the fitted model."""
        return {name: np.asarray(getattr(self, name)) for name in self._saved if hasattr(self, name)}

    def _attributes(self) -> dict[str, Any]:
        """Return everything else, as JSON has it."""
        names = ("n_features_in_", "n_iter_", "n_passes_", "stop_reason_", "converged_", "history_", "source_")
        fitted = {name: getattr(self, name) for name in (*names, *self._saved_numbers) if hasattr(self, name)}
        if hasattr(self, "feature_names_in_"):
            fitted["feature_names_in_"] = [str(name) for name in self.feature_names_in_]
        return {"settings": plain_settings(self.get_params(deep=False)), "fitted": fitted}

    @classmethod
    def _restore(cls, saved: Saved) -> Self:
        """Return the estimator that `save` wrote."""
        estimator = cls(**saved.attributes["settings"])
        for name, value in {**saved.attributes["fitted"], **saved.arrays}.items():
            number = isinstance(value, np.ndarray) and value.ndim == 0
            setattr(estimator, name, value[()] if number else value)
        if hasattr(estimator, "feature_names_in_"):
            estimator.feature_names_in_ = np.asarray(estimator.feature_names_in_, dtype=object)
        return estimator


def _typed(what: str, source: Source) -> str:
    """Return the output's name, with the rows' floating dtype where it is made of them: "filled:float32"."""
    if what not in FILLING:
        return what
    dtype = float_dtype(source.dtype)
    return f"{what}:{dtype.name if dtype.itemsize <= 8 else 'float64'}"


def plain_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments that JSON can hold; arrays of first parameters are left out."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in params.items()
        if value is None or isinstance(value, bool | int | float | str | np.generic)
    }


SAMPLE_CHUNK_BYTES = 16 * 2**20


class Estimator(DensityMixin, RowwiseEstimator):
    """Base of the estimators with a density."""

    @abstractmethod
    def _fitted(self) -> tuple[Generative[Any], Any]:
        """Return the model and its parameters, from the public attributes."""

    def score_samples(self, X: Any) -> Any:
        """Return log p(x) of each row, in nats, of shape (n,); NaN for rows without any value.

        A NumPy array for data in memory, a lazy Dask array otherwise.
        """
        return self._rows(X, "score")

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the (weighted) mean of log p(x), in nats a row, from one pass."""
        return self.mean_score(X, sample_weight).mean

    def bic(self, X: Any) -> float:
        """Return the Bayesian information criterion, -2 log p(X) + parameters log n: lower is better.

        n is the number of rows with some value; of a source with weights, their sum.
        """
        found = self._mean(X, "score")
        return bic(found.total, self.n_parameters_, found.counted)

    def aic(self, X: Any) -> float:
        """Return Akaike's information criterion, -2 log p(X) + 2 parameters: lower is better."""
        return aic(self._mean(X, "score").total, self.n_parameters_)

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
        rows = draw_rows.chunk_rows(d, kind, SAMPLE_CHUNK_BYTES) if chunk_rows is None else chunk_rows
        check_number("chunk_rows", rows, int, 1)
        draw_rows.write_drawn(
            *self._fitted(),
            GeneratedSource(n_samples, min(rows, n_samples), d, kind),
            path,
            seed=integer_seed(self.random_state),
            engine=self.engine,
            overwrite=overwrite,
            kind=type(self).__name__,
        )


def as_checkpoint(checkpoint: str | Path | Checkpoint | None) -> Checkpoint | None:
    """Return the checkpoint that a path stands for."""
    return Checkpoint(checkpoint) if isinstance(checkpoint, str | Path) else checkpoint


def history(state: loop.State[Any]) -> list[dict[str, Any]]:
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
    lack some value, and how many lack all, whatever their weights. The latter are left out of all else.
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
