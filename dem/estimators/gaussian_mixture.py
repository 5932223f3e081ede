"""Gaussian mixtures with scikit-learn's names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from sklearn.utils.validation import check_is_fitted

from dem import em, run
from dem.checkpoint import Checkpoint
from dem.engine import Engine
from dem.estimators.base import (
    Estimator,
    as_checkpoint,
    check_choice,
    check_number,
    history,
    integer_seed,
    source_record,
)
from dem.estimators.from_kmeans import from_kmeans
from dem.estimators.gaussian_init import (
    check_array,
    check_covariances,
    check_given,
    check_weights,
)
from dem.families import COVARIANCE_TYPES, Gaussian, Gaussians
from dem.model import Array, Float
from dem.models.mixture import MixtureModel, MixtureParams, check_rows
from dem.seeding import METHODS, Seeding
from dem.start import Start


class GaussianMixture(Estimator):
    """Gaussian mixture, fitted by expectation-maximisation to data of any size.

    p(x) = sum over k of w_k N(x | mu_k, C_k)   (PRML 9.7). The data may be a path or URL of a Zarr array,
    a zarr.Array, a Dask array, or anything that NumPy makes an array of. One pass over the data scans them
    and draws a sample; starts are tried on the sample in memory; then each iteration is one pass.

    Parameters
    ----------
    n_components : int, default=1
    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
    tol : float, default=1e-3
        Stop when the mean log-likelihood rises by less, in nats a row.
    reg_covar : float, default=1e-6
        Added to the diagonal of the covariances after each M-step, in the data's units squared. It is no
        prior, so the log-likelihood may fall by its doing; such a fall is never called convergence.
    max_iter : int, default=100
        Most M-steps on the whole data. One more pass scores the last one.
    n_init : int, default=10
        Starts tried on the sample; the best goes on to the whole data. scikit-learn's default is 1, because
        there each start costs full fits; here they cost no pass over the data.
    init_params : {"k-means++", "kmeans", "random", "random_from_data"}, default="k-means++"
        How responsibilities are first made on the sample, in whitened coordinates. Unlike in scikit-learn,
        "k-means++" and "random_from_data" give every row to its nearest chosen centre. Nor is the default
        scikit-learn's "kmeans": its starts are better, but more alike, and ten of them missed the best
        optimum known more often (3 of 12 simulated data sets, against none).
    weights_init : array of shape (n_components,), optional
    means_init : array of shape (n_components, n_features), optional
    precisions_init : array, optional
        Shaped as `covariances_`. With all three given, no start is made on the sample.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the sample and the starts. None is the seed 0: a fit never depends on luck.
    warm_start : bool, default=False
        Start from the last fit's parameters.
    verbose : int, default=0
        Print a line every `verbose_interval` passes. (The logger "dem" tells each pass.)
    verbose_interval : int, default=10
    sample_size : int, default=30000
        Rows in the sample (fewer where they would take more than 64 MiB).
    engine : dem.Engine, optional
        Memory limit, scheduler and number of workers; by default this machine.

    Attributes
    ----------
    weights_ : array of shape (n_components,)
    means_ : array of shape (n_components, n_features)
    covariances_, precisions_, precisions_cholesky_ : array
        (K, d, d) full, (d, d) tied, (K, d) diag, (K,) spherical.
    converged_ : bool
    stop_reason_ : str
        "converged"; "max_iter"; or "fell": the log-likelihood fell by less than `tol`, as `reg_covar` can
        make it do: the fit has settled, but not at a maximum.
    n_iter_ : int
        M-steps on the whole data.
    n_passes_ : int
        Passes over the whole data, the first scan included.
    lower_bound_ : float
        Mean log-likelihood of the reported parameters, in nats a row (scikit-learn's lags by one step).
    lower_bounds_ : list of float
        The same for each pass.
    history_ : list of dict
        For each pass: "pass", "log_likelihood", "elbo_e", "elbo_m" and "kl": the bound after the E-step and after the
        M-step, and the divergence KL(q || p(z | x, new)) that the M-step opened, from sums alone.
    n_features_in_ : int
    feature_names_in_ : array of str
        Where the data in memory had names.
    source_ : dict
        Name, shape and dtype of the training data.
    """

    _saved = ("weights_", "means_", "covariances_", "precisions_cholesky_")
    _saved_numbers = ("lower_bound_", "lower_bounds_", "_fitted_type")

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 10,
        init_params: str = "k-means++",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        sample_size: int = 30_000,
        engine: Engine | None = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.sample_size = sample_size
        self.engine = engine

    from_kmeans: ClassVar[Any] = classmethod(from_kmeans)

    @classmethod
    def from_parameters(
        cls, weights: Any, means: Any, covariances: Any, covariance_type: str = "full"
    ) -> GaussianMixture:
        """Return a mixture with these parameters, as if fitted.

        Parameters
        ----------
        weights : array of shape (K,)
            Positive or 0, summing to 1.
        means : array of shape (K, d)
        covariances : array
            Shaped as `covariance_type` has it.
        covariance_type : {"full", "tied", "diag", "spherical"}

        Raises
        ------
        ValueError
            If the shapes do not fit together, or a covariance is not positive definite.
        """
        means = np.atleast_2d(np.asarray(means, dtype=np.float64))
        k, d = means.shape
        means = check_array(means, (k, d), "means")
        model = cls(k, covariance_type=covariance_type)
        model._check_settings()
        weights = check_weights(weights, k, "weights")
        covariances = check_covariances(covariances, covariance_type, k, d, "covariances")
        model.n_features_in_ = d
        try:
            theta = model._family().from_covariances(means, covariances)
        except ValueError:
            raise ValueError("covariances should be positive definite, but a matrix is not") from None
        model._keep(MixtureParams(weights, theta))
        return model

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        callback: Callable[[em.State[MixtureParams]], object] | None = None,
        checkpoint: str | Path | Checkpoint | None = None,
    ) -> Self:
        """Fit the mixture.

        Parameters
        ----------
        X : str, Path, zarr.Array, dask.array.Array or array-like of shape (n, d)
            Real numbers of any dtype; the fit of float32 data is float64 in all that it reports.
        y : ignored
        sample_weight : array-like, Dask or Zarr array, or path, of shape (n,), optional
            Weights of the rows, finite and not negative.
        callback : callable, optional
            Called with the `dem.em.State` after each pass.
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
            check_rows(source.n_rows, self.n_components)
        k, d = self.n_components, source.n_columns
        given = check_given(self.weights_init, self.means_init, self.precisions_init, self.covariance_type, k, d)
        model = MixtureModel(k, self._family(), Seeding(self.init_params), given)
        params = model.known()
        if self.warm_start and self._fits(k, d):
            params = self._fitted()[1]
        fitted = run.fit(
            model,
            source,
            start=Start(self.n_init, self.sample_size, integer_seed(self.random_state)),
            params=params,
            tol=self.tol,
            max_iter=self.max_iter,
            engine=self.engine,
            callback=partial(self._after_pass, callback),
            checkpoint=as_checkpoint(checkpoint),
        )
        state = fitted.state
        self._keep(state.params)
        self.stop_reason_ = state.stop_reason
        self.converged_ = state.stop_reason == "converged"
        self.n_iter_, self.n_passes_ = state.n_iter, fitted.n_passes
        self.history_ = history(state)
        self.lower_bound_, self.lower_bounds_ = state.objective, [p.objective for p in state.history]
        self.source_ = source_record(source, fitted.scan.rows)
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit, and return the label of each row."""
        return self.fit(X, y, sample_weight).predict(X)

    def predict(self, X: Any) -> Any:
        """Return the most probable component of each row, of shape (n,).

        A NumPy array (int64) for data in memory, a lazy Dask array (of the smallest unsigned type)
        otherwise; so in all row-wise methods.
        """
        labels = self._rows(X, "label")
        return labels.astype(np.int64) if isinstance(labels, np.ndarray) else labels

    def predict_proba(self, X: Any) -> Any:
        """Return the responsibilities, of shape (n, n_components)   (PRML 9.13)."""
        return self._rows(X, "proba")

    def sample(self, n_samples: int = 1) -> tuple[Float, Array]:
        """Return n rows drawn from the mixture (n, d), and their components (n,).

        The same rows in each call, unless `random_state` is a generator.
        """
        check_is_fitted(self)
        check_number("n_samples", n_samples, int, 1)
        model, params = self._fitted()
        return model.draw(params, n_samples, np.random.default_rng(integer_seed(self.random_state)))

    def to_sklearn(self) -> SklearnGaussianMixture:
        """Return the fitted scikit-learn mixture with the same parameters."""
        check_is_fitted(self)
        names = set(SklearnGaussianMixture().get_params())
        model = SklearnGaussianMixture(**{k: v for k, v in self.get_params(deep=False).items() if k in names})
        fitted = (*self._saved, "precisions_", "converged_", "n_iter_", "lower_bound_", "lower_bounds_")
        for name in (*fitted, "n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                setattr(model, name, getattr(self, name))
        return model

    @property
    def precisions_(self) -> Float:
        """The inverses of the covariances, in their shape."""
        factor = self.precisions_cholesky_
        if self.covariance_type in ("full", "tied"):
            return np.asarray(factor @ np.swapaxes(factor, -1, -2))
        return np.asarray(factor**2)

    def _check_settings(self) -> None:
        """Refuse wrong settings, before anything is read."""
        check_number("n_components", self.n_components, int, 1)
        check_number("tol", self.tol, float, 0)
        check_number("reg_covar", self.reg_covar, float, 0)
        check_number("max_iter", self.max_iter, int, 1)
        check_number("n_init", self.n_init, int, 1)
        check_number("verbose_interval", self.verbose_interval, int, 1)
        check_number("sample_size", self.sample_size, int, 1)
        check_choice("covariance_type", self.covariance_type, COVARIANCE_TYPES)
        check_choice("init_params", self.init_params, METHODS)

    def _family(self) -> Gaussian:
        """Return the family of this covariance type."""
        return COVARIANCE_TYPES[self.covariance_type](float(self.reg_covar))

    def _fits(self, k: int, d: int) -> bool:
        """Whether the last fit's parameters have the shapes that this one wants."""
        kind = getattr(self, "_fitted_type", None)  # shapes alone can agree: tied (d, d) and diag (K, d)
        return kind == self.covariance_type and self.means_.shape == (k, d)

    def _keep(self, params: MixtureParams) -> None:
        """Keep the parameters as public attributes."""
        theta = params.theta
        self._fitted_type = self.covariance_type
        self.weights_, self.means_ = params.weights, theta.means
        self.covariances_, self.precisions_cholesky_ = theta.covariances, theta.precisions_cholesky

    def _fitted(self) -> tuple[MixtureModel, MixtureParams]:
        """Return the model and its parameters."""
        theta = Gaussians(self.means_, self.covariances_, self.precisions_cholesky_)
        return MixtureModel(len(self.weights_), self._family()), MixtureParams(self.weights_, theta)

    def _after_pass(
        self, callback: Callable[[em.State[MixtureParams]], object] | None, state: em.State[MixtureParams]
    ) -> None:
        """Print a line where `verbose` asks for it, and call back."""
        n = len(state.history)
        if self.verbose and (n % self.verbose_interval == 0 or state.stop_reason):
            print(f"pass {n}: mean log-likelihood {state.objective:.9g} nats a row")
        if callback is not None:
            callback(state)
