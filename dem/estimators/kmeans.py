"""K-means with scikit-learn's names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.utils.validation import check_is_fitted

from dem.core.block import Array, Float
from dem.core.human import plural
from dem.core.layout import c_ordered
from dem.engine.engine import Engine
from dem.estimators.base import RowwiseEstimator
from dem.estimators.checks import check_choice, check_number
from dem.estimators.docstrings import documented
from dem.estimators.earlier import EarlierModel
from dem.estimators.gaussian_init import check_array
from dem.estimators.matching import Matchable, Order
from dem.estimators.scaling import POSITION, ColumnUnit, refuse_scaled
from dem.kernel.choice import with_chosen_kernel
from dem.models.kmeans.kernel import KMeansStats
from dem.models.kmeans.kmeans import KMeansModel, KMeansParams, kmeans_outputs
from dem.models.row_checks import check_enough_rows
from dem.run.fit import Fit, fit_model
from dem.run.fit_settings import FitSettings
from dem.run.rows import compute_rows
from dem.source import Source

INITS = ("k-means++", "random")
AUTO_STARTS = 10


@documented
class KMeans(Matchable, ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, RowwiseEstimator):
    """K-means by Lloyd's algorithm, for data of any size   (PRML 9.1).

    The hard-assignment case of a Gaussian mixture: each row belongs to the cluster with the nearest centre. The first
    pass scans the data and draws a sample; scikit-learn's K-means runs on the sample in memory; then each iteration is
    one pass, which reads each chunk once.

    Parameters
    ----------
    n_clusters : int, default=8
    init : {"k-means++", "random"} or array of shape (n_clusters, n_features), default="k-means++"
        How K-means on the sample chooses its first centres; or an array of first centres for the whole data.
    n_init : int or "auto", default="auto"
        Number of starts on the sample; the best one continues on the whole data. They need no pass over the data.
        "auto" means 10. Not used if `init` is an array.
    max_iter : int, default=300
        The largest number of iterations on the whole data. One more pass scores the result; with 0 it scores the start.
    tol : float, default=1e-4
        As in scikit-learn, stop when the squared shift of all centres together is at most `tol` times the mean of the
        (weighted) variances of the columns. The shifted centres are the result, and one more pass scores them. For any
        `tol`, the fit also stops at a pass in which no row changes its cluster, or in which the inertia does not fall.
    {verbose}
    {random_state}
    {sample_size}
    {scale}
    missing : {"marginalize", "error"}, default="marginalize"
        How missing values are handled in fits and outputs: distances use the observed columns of a row (see the notes),
        or missing values are an error.
    {missing_value}
    {engine}

    Attributes
    ----------
    cluster_centers_ : array of shape (n_clusters, n_features)
    inertia_ : float
        Weighted sum of the squared distances of the rows to `cluster_centers_`. With `scale` this and all other
        distances are those of the scaled columns; the centres are in the data's units.
    labels_ : array of shape (n,)
        The cluster of each training row, computed on first use: a NumPy array (int32) for data in memory, a lazy Dask
        array otherwise. It needs the training data, and is not saved or pickled.
    cluster_counts_, cluster_inertias_ : array of shape (n_clusters,)
        Weight of each cluster's rows, and its share of the inertia.
    converged_ : bool
    stop_reason_ : str
        "converged" or "max_iter".
    n_iter_ : int
        Iterations on the whole data, counted as in scikit-learn: an iteration that changes no label counts too.
    n_passes_ : int
        Passes over the whole data, the first scan included.
    lower_bound_ : float
        Minus `inertia_`, divided by the weight of all rows: the mean of what `fit` maximises.
    lower_bounds_ : list of float
        The same for each pass.
    history_ : list of dict
        For each pass "inertia" and "objective", which is minus the inertia per row. "elbo_e" equals the objective, and
        "elbo_m" is the objective of the new centres with the old labels. Neither step lowers the objective.
    {scaled}
    {training_data}

    Notes
    -----
    As in scikit-learn, empty clusters get the rows that are farthest from their centres. Rows of weight 0 are ignored.

    The distance of a row with missing values is scikit-learn's `nan_euclidean_distances`: the distance over its
    observed columns, scaled to all columns. A row without any value is left out; its label is -1, its distances are
    NaN. `impute` takes missing values from the centre of the row's cluster; they have no standard deviation.
    """

    outputs = kmeans_outputs(1, 1)
    objective_name = "inertia"
    _saved = ("cluster_centers_", "cluster_counts_", "cluster_inertias_")
    _saved_numbers = ("inertia_",)
    _start_settings = ("n_clusters",)
    _first_parameters = ("init",)
    _by_component = _saved
    _axes = (
        ("cluster_centers_", "component column"),
        ("cluster_counts_", "component"),
        ("cluster_inertias_", "component"),
    )

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
        scale: str | None = None,
        missing: str = "marginalize",
        missing_value: float | None = None,
        engine: Engine | None = None,
    ) -> None:
        super().__init__(
            max_iter=max_iter,
            tol=tol,
            verbose=verbose,
            verbose_interval=verbose_interval,
            random_state=random_state,
            sample_size=sample_size,
            missing=missing,
            missing_value=missing_value,
            engine=engine,
        )
        self.scale = scale
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init

    @property
    def _n_starts(self) -> int:
        """The number of starts on the sample."""
        return AUTO_STARTS if self.n_init == "auto" else int(self.n_init)

    @property
    def _depends_on_units(self) -> bool:
        """Yes: distances are sums over the columns."""
        return True

    def _scans_scatter(self, d: int) -> bool:
        """No: K-means needs no scatter."""
        return False

    def _check_parameters(self, d: int) -> None:
        """Raise ValueError for wrong centres."""
        if not isinstance(self.init, str):
            check_array(self.init, (self.n_clusters, d), "init")

    def _column_units(self) -> dict[str, ColumnUnit]:
        """Return the units of the centres."""
        return {"cluster_centers_": POSITION, "init": POSITION}

    def _check_size(self, n: int, d: int) -> None:
        """Raise ValueError if there are fewer rows than clusters."""
        check_enough_rows(n, self.n_clusters, "n_clusters")

    def _fit_source(
        self, source: Source, settings: FitSettings, begun: EarlierModel | None = None
    ) -> Fit[KMeansParams, KMeansStats]:
        """Run Lloyd's algorithm, from the centres of the user or of an earlier model, or from starts on the sample."""
        given = not isinstance(self.init, str)
        params, guess = None, None
        if given:
            params = KMeansParams.at(check_array(self.init, (self.n_clusters, source.n_columns), "init"))
        model = with_chosen_kernel(KMeansModel(self.n_clusters, "given" if given else self.init, float(self.tol)))
        if begun is not None:
            params = begun.own._fitted()[1]
            guess = begun.guess(model, params, source)
        settings = replace(settings, tol=0.0)  # the model tests convergence itself
        return fit_model(model, source, settings, params=params, guess=guess)

    def _likely_rows(self, n: int, rng: np.random.Generator) -> Float:
        """Return random rows around the centres, about n in all, as far away as the rows of the clusters are."""
        k, d = self.cluster_centers_.shape
        spread = np.sqrt(self.cluster_inertias_ / (np.maximum(self.cluster_counts_, 1e-300) * d))
        labels = np.arange(max(n, 2 * k)) % k
        noise: Float = rng.standard_normal((len(labels), d)) * spread[labels, None]
        return self.cluster_centers_[labels] + noise

    def _rows_of_components(self, n: int, rng: np.random.Generator) -> Float:
        """Return random rows, about n of each cluster."""
        rows: Float = self._own._likely_rows(n * len(self.cluster_centers_), rng)
        return rows if self._own is self else rows * self.scale_ + self.shift_

    def _take_order(self, order: Order) -> None:
        """Put the clusters into this order, and the labels of rows in memory."""
        super()._take_order(order)
        labels = self.__dict__.get("_labels")
        if labels is not None:
            number = np.append(np.argsort(order), -1)  # the label -1 stays
            self.__dict__["_labels"] = number[labels].astype(labels.dtype)

    def _keep_fit(self, fitted: Fit[KMeansParams, KMeansStats], source: Source) -> None:
        """Store the centres, and the weight and inertia of each cluster."""
        state = fitted.state
        stats = state.stats
        self.cluster_centers_ = c_ordered(state.params.centers)
        self.cluster_counts_, self.cluster_inertias_ = stats.counts, stats.inertia
        self.inertia_ = float(stats.inertia.sum())
        self.n_iter_ = state.n_iter + (self.converged_ and not state.params.settled)
        self.history_ = [{**entry, "inertia": -entry["objective"] * stats.weight} for entry in self.history_]
        self._training: Source | None = source
        self._labels: Array | None = None

    @property
    def labels_(self) -> Any:
        """The cluster of each training row."""
        if self._own is not self:
            return self._own.labels_
        if self.__dict__.get("_labels") is not None:
            return self._labels
        source = self.__dict__.get("_training")
        if source is None:
            raise AttributeError(
                "labels_ is available only after fit() and is not saved: use predict(X) on the same data"
            )
        labels = self._as_int32(compute_rows(self._request(source, "label"), self.engine))
        if isinstance(labels, np.ndarray):
            self._labels, self._training = labels, None  # the training data are not needed any more
        return labels

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Find the clusters, and return `labels_`."""
        return self.fit(X, y, sample_weight).labels_

    def predict(self, X: Any) -> Any:
        """Return the cluster with the nearest centre for each row, of shape (n,); of equally near ones, the first.

        -1 for rows without any value. A NumPy array (int32) for data in memory, a lazy Dask array (of the smallest
        signed type) otherwise.
        """
        return self._as_int32(self._rows(X, "label"))

    def transform(self, X: Any) -> Any:
        """Return the distances of each row to all centres, of shape (n, n_clusters); with `scale` of scaled rows.

        A NumPy array for data in memory, a lazy Dask array otherwise.
        """
        return self._rows(X, "distance")

    def impute(self, X: Any, return_std: bool = False) -> Any:
        """Return the rows, each missing value filled in from the centre of the row's cluster: see `dem.Mixture.impute`.

        Raises
        ------
        ValueError
            X does not suit the model; or `return_std` is set.
        """
        if return_std:
            raise ValueError(
                "K-means gives no standard deviation for the values that it fills in: leave out return_std, or use a "
                "Gaussian mixture"
            )
        return super().impute(X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return minus the (weighted) inertia of X, with `scale` of scaled rows, from one pass."""
        return self.mean_score(X, sample_weight).total

    def to_sklearn(self) -> SklearnKMeans:
        """Return the fitted scikit-learn K-means with the same centres; with `labels_` if they are in memory."""
        check_is_fitted(self)
        refuse_scaled(self, "its distances are those of scaled columns; fit scikit-learn's on (X - shift_) / scale_")
        model = SklearnKMeans(**self._shared_settings(SklearnKMeans))
        self._copy_fitted_to(model, ("cluster_centers_", "inertia_", "n_iter_"))
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
        """Raise ValueError for wrong settings, before any data are read."""
        check_number("n_clusters", self.n_clusters, int, 1)
        if self.n_init != "auto":
            check_number("n_init", self.n_init, int, 1)
        if isinstance(self.init, str):
            check_choice("init", self.init, INITS)
        elif callable(self.init):
            raise ValueError(
                "init must be 'k-means++', 'random' or an array of centres; callables are not supported: pass their "
                "result"
            )

    def describe(self) -> str:
        """Return a short description of the fitted model."""
        k, d = self.cluster_centers_.shape
        return f"K-means, {plural(k, 'cluster')}, {plural(d, 'column')}"

    def _fitted(self) -> tuple[KMeansModel, KMeansParams]:
        """Return the model and its parameters."""
        return KMeansModel(len(self.cluster_centers_)), KMeansParams.at(self.cluster_centers_)

    @staticmethod
    def _as_int32(labels: Any) -> Any:
        """Return labels in memory as int32, as in scikit-learn."""
        return labels.astype(np.int32) if isinstance(labels, np.ndarray) else labels
