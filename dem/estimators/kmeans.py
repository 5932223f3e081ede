"""K-means with scikit-learn's names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.utils.validation import check_is_fitted

from dem.core.block import Array
from dem.core.error_state import own_errors
from dem.core.human import plural
from dem.core.layout import c_ordered
from dem.em import loop
from dem.em.starts import Start
from dem.engine.engine import Engine
from dem.estimators.base import (
    RowwiseEstimator,
    as_checkpoint,
    check_choice,
    check_number,
    history,
    integer_seed,
    source_record,
)
from dem.estimators.gaussian_init import check_array
from dem.estimators.iterations import check_iterations, engine_with_progress, warn_at_max_iter
from dem.models.kmeans.kmeans import KMeansModel, KMeansParams
from dem.models.row_checks import check_enough_rows
from dem.run.fit import fit_model
from dem.run.rows import compute_rows
from dem.source import Source
from dem.storage.checkpoint import Checkpoint

INITS = ("k-means++", "random")
STARTS = 10


class KMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, RowwiseEstimator):
    """K-means by Lloyd's algorithm, for data of any size   (PRML 9.1).

    The hard-assignment case of a Gaussian mixture: each row belongs to the cluster whose centre is nearest. One pass
    over the data scans them and draws a sample; scikit-learn's K-means runs on the sample in memory; then each
    iteration is one pass, which reads each chunk once.

    Parameters
    ----------
    n_clusters : int, default=8
    init : {"k-means++", "random"} or array of shape (n_clusters, n_features), default="k-means++"
        How the first centres are chosen on the sample, for K-means there; or the first centres on the whole data.
    n_init : int or "auto", default="auto"
        Starts on the sample, the best of which goes on to the whole data; they cost no pass over it. "auto" means 10.
        With an array of first centres there are none.
    max_iter : int, default=300
        Most iterations on the whole data. One more pass scores the last one; with 0 it scores the start.
    tol : float, default=1e-4
        Stop once the squared shift of all centres together is at most `tol` times the mean of the columns' (weighted)
        variances; the centres shifted last are the reported ones, and one more pass scores them. As in scikit-learn.
        A pass in which no row changes its cluster is the last one whatever `tol`, and so is one in which the inertia
        does not fall.
    verbose : int, default=0
        1 or more prints a line for the first scan, the start, every `verbose_interval`-th pass and the last one.
    verbose_interval : int, default=1
    random_state : int, RandomState, Generator or None, default=None
        Seed of the sample and the starts. None is the seed 0: a fit never depends on luck.
    sample_size : int, default=30000
        Rows in the sample (fewer where they would take more than 64 MiB).
    missing : {"marginalize", "error"}, default="marginalize"
        What becomes of missing values, in a fit and in all that is told of rows: distances are over the columns that a
        row has (see the notes), or they are refused.
    missing_value : number, optional
        Entries equal to it are missing, besides NaN and masked ones, in place of what a store's CF attributes say: see
        `dem.open_source`. A source that is open already has been told.
    engine : dem.Engine, optional
        Memory limit, scheduler and number of workers; by default this machine.

    Attributes
    ----------
    cluster_centers_ : array of shape (n_clusters, n_features)
    inertia_ : float
        Weighted sum of the squared distances of the rows to `cluster_centers_`.
    labels_ : array of shape (n,)
        The cluster of each training row, computed when asked for: a NumPy array (int32) for data in memory, a lazy
        Dask array otherwise. The training data must still be there; it is not saved, nor pickled.
    cluster_counts_, cluster_inertias_ : array of shape (n_clusters,)
        Weight of each cluster's rows, and its share of the inertia.
    n_iter_ : int
        Iterations on the whole data, counted as in scikit-learn: one that changes no label counts.
    n_passes_ : int
        Passes over the whole data, the first scan included.
    converged_ : bool
    stop_reason_ : str
        "converged" or "max_iter".
    history_ : list of dict
        For each pass "inertia", and "objective", minus the inertia a row: "elbo_e" is the same, and "elbo_m" that of
        the new centres with the old labels, so that both steps can be seen to ascend.
    n_features_in_ : int
    feature_names_in_ : array of str
        Where the data in memory had names.
    source_ : dict
        What is remembered of the training data: see `dem.estimators.base.source_record`.

    Notes
    -----
    Empty clusters are given the rows farthest from their centres, as in scikit-learn; rows of weight 0 never count.

    The distance of a row with missing values is scikit-learn's `nan_euclidean_distances`: over the columns that it has,
    scaled to all of them. A row without any value is left out; its label is -1, its distances are NaN. `impute` fills
    in from the centre of a row's cluster; it has no standard deviation.
    """

    outputs = ("label", "distance", "score", "filled")
    objective_name = "inertia"
    _saved = ("cluster_centers_", "cluster_counts_", "cluster_inertias_")
    _saved_numbers = ("inertia_",)

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "k-means++",
        n_init: int | str = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: int = 0,
        verbose_interval: int = 1,
        random_state: Any = None,
        sample_size: int = 30_000,
        missing: str = "marginalize",
        missing_value: float | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.random_state = random_state
        self.sample_size = sample_size
        self.missing = missing
        self.missing_value = missing_value
        self.engine = engine

    @own_errors()
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        callback: Callable[[loop.State[KMeansParams]], object] | None = None,
        checkpoint: str | Path | Checkpoint | None = None,
    ) -> Self:
        """Find the clusters.

        Parameters
        ----------
        X : str, Path, zarr.Array, dask.array.Array or array-like of shape (n, d)
            Real numbers of any dtype; the fit of float32 data is float64 in all that it reports.
        y : ignored
        sample_weight : array-like, Dask or Zarr array, or path, of shape (n,), optional
            Weights of the rows, finite and not negative.
        callback : callable, optional
            Called with the `dem.em.loop.State` after each pass.
        checkpoint : str, Path or dem.Checkpoint, optional
            Where to keep the fit after every pass. One that is there is gone on from, with the same bits.

        Raises
        ------
        dem.Stopped
            The checkpoint's limits are reached: the same call goes on.
        ValueError
            Wrong settings or unusable data: one sentence says what, where and what to do.
        OSError
            A chunk cannot be read.
        MemoryError
            The plan does not fit in the engine's memory.
        """
        self._check_settings()
        source = self._open(X, sample_weight, reset=True)
        if source.n_rows is not None:
            check_enough_rows(source.n_rows, self.n_clusters, "n_clusters")
        given = not isinstance(self.init, str)
        params = None
        if given:
            params = KMeansParams.at(check_array(self.init, (self.n_clusters, source.n_columns), "init"))
        n_init = STARTS if self.n_init == "auto" else int(self.n_init)
        fitted = fit_model(
            KMeansModel(self.n_clusters, "given" if given else self.init, float(self.tol)),
            source,
            start=Start(n_init, self.sample_size, integer_seed(self.random_state)),
            params=params,
            tol=0.0,  # the model has its own measure
            max_iter=self.max_iter,
            engine=engine_with_progress(self),
            callback=callback,
            checkpoint=as_checkpoint(checkpoint),
            missing=self.missing,
        )
        state = fitted.state
        stats = state.stats
        self.cluster_centers_ = c_ordered(state.params.centers)
        self.cluster_counts_, self.cluster_inertias_ = stats.counts, stats.inertia
        self.inertia_ = float(stats.inertia.sum())
        self.stop_reason_, self.converged_ = state.stop_reason, state.stop_reason == "converged"
        self.n_iter_ = state.n_iter + (self.converged_ and not state.params.settled)
        self.n_passes_ = fitted.n_passes
        self.history_ = [{**entry, "inertia": -entry["objective"] * stats.weight} for entry in history(state)]
        self.source_ = source_record(source, fitted.scan)
        self._training: Source | None = source
        self._labels: Array | None = None
        warn_at_max_iter(self)
        return self

    @property
    def labels_(self) -> Any:
        """The cluster of each training row."""
        if self.__dict__.get("_labels") is not None:
            return self._labels
        source = self.__dict__.get("_training")
        if source is None:
            raise AttributeError("labels_ are there after fit alone, and not saved: use predict(X) on the same data")
        labels = self._plain(compute_rows(*self._fitted(), source, "label", self.engine, self.missing))
        if isinstance(labels, np.ndarray):
            self._labels, self._training = labels, None  # the data need not be held any longer
        return labels

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Find the clusters, and return `labels_`."""
        return self.fit(X, y, sample_weight).labels_

    def predict(self, X: Any) -> Any:
        """Return the cluster of each row, whose centre is nearest, of shape (n,); of several, the first.

        -1 for rows without any value. A NumPy array (int32) for data in memory, a lazy Dask array (of the smallest
        signed type) otherwise.
        """
        return self._plain(self._rows(X, "label"))

    def transform(self, X: Any) -> Any:
        """Return the distances of each row to all centres, of shape (n, n_clusters).

        A NumPy array for data in memory, a lazy Dask array otherwise.
        """
        return self._rows(X, "distance")

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return minus the (weighted) inertia of X, from one pass."""
        return self.mean_score(X, sample_weight).total

    def to_sklearn(self) -> SklearnKMeans:
        """Return the fitted scikit-learn K-means with the same centres; with `labels_` if they are in memory."""
        check_is_fitted(self)
        model = SklearnKMeans(**self._shared_settings(SklearnKMeans))
        self._hand_over(model, ("cluster_centers_", "inertia_", "n_iter_"))
        labels = getattr(self, "labels_", None)
        if isinstance(labels, np.ndarray):
            model.labels_ = labels
        model._n_features_out, model._n_threads = self._n_features_out, 1
        return model

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the training data."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_training"}

    @property
    def _n_features_out(self) -> int:
        """Number of columns that `transform` gives, for scikit-learn's names of them."""
        return len(self.cluster_centers_)

    def _check_settings(self) -> None:
        """Refuse wrong settings, before anything is read."""
        check_number("n_clusters", self.n_clusters, int, 1)
        check_iterations(self)
        if self.n_init != "auto":
            check_number("n_init", self.n_init, int, 1)
        if isinstance(self.init, str):
            check_choice("init", self.init, INITS)
        elif callable(self.init):
            raise ValueError("init must be 'k-means++', 'random' or an array of centres: call your function first")

    def describe(self) -> str:
        """Return in a few words what the fitted model is."""
        k, d = self.cluster_centers_.shape
        return f"K-means, {plural(k, 'cluster')}, {plural(d, 'column')}"

    def _fitted(self) -> tuple[KMeansModel, KMeansParams]:
        """Return the model and its parameters."""
        return KMeansModel(len(self.cluster_centers_)), KMeansParams.at(self.cluster_centers_)

    @staticmethod
    def _plain(labels: Any) -> Any:
        """Return labels in memory as int32, as scikit-learn has them."""
        return labels.astype(np.int32) if isinstance(labels, np.ndarray) else labels
