"""Pictures hold what they should, whatever the model."""

from types import SimpleNamespace

import numpy as np
import pytest
from dem.plot.axes import PALETTE, axis_limits
from matplotlib.patches import Ellipse
from scipy.integrate import trapezoid  # np.trapezoid came with NumPy 2

import dem
from crosses import cross
from dem import plot
from dem.estimators.summary import covariances_among

RNG = np.random.default_rng(0)
ENDED = {"stop_reason_": "converged", "n_iter_": 5, "n_passes_": 6}
HISTORY = [{"pass": i, "log_likelihood": -3 - 0.5**i, "elbo_m": None} for i in range(1, 6)]


def mixture(k=3, d=4, kind="full", **more):
    """Return something with a fitted mixture's attributes."""
    a = RNG.normal(size=(k, d, d))
    full = a @ a.transpose(0, 2, 1) + np.eye(d)
    covariances = {
        "full": full,
        "tied": full[0],
        "diag": np.einsum("kii->ki", full),
        "spherical": full[:, 0, 0],
    }[kind]
    return SimpleNamespace(
        weights_=RNG.dirichlet(np.ones(k)),
        means_=RNG.normal(size=(k, d)),
        covariances_=covariances,
        covariance_type=kind,
        **more,
    )


def ppca(q=3, d=6, **more):
    """Return something with a fitted PPCA's attributes."""
    variance = np.linspace(3, 1, q)
    return SimpleNamespace(
        explained_variance_=variance,
        explained_variance_ratio_=variance / 10,
        noise_variance_=0.5,
        mean_=np.zeros(d),
        transform=lambda x: x[:, :q],
        **more,
    )


def ellipses(ax):
    return [patch for patch in ax.patches if isinstance(patch, Ellipse)]


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_every_component_has_its_ellipses(kind, tmp_path):
    fig = plot.mixture(mixture(kind=kind), RNG.normal(size=(200, 4)), columns=(3, 1))
    (ax,) = fig.axes
    assert len(ellipses(ax)) == 6
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("column 3", "column 1")
    fig.savefig(tmp_path / "p.png", dpi=30)


def test_an_ellipse_is_the_points_at_one_sigma():
    model = mixture(k=1, d=2)
    one = ellipses(plot.mixture(model).axes[0])[0]
    # A path of curves: its vertices at the quarters lie on the ellipse.
    points = one.get_patch_transform().transform([[1, 0], [0, 1], [-1, 0], [0, -1]])
    offsets = points - model.means_[0]
    distances = np.einsum("ni,ij,nj->n", offsets, np.linalg.inv(model.covariances_[0]), offsets)
    np.testing.assert_allclose(distances, 1, rtol=1e-9)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_covariances_of_a_pair_of_columns(kind):
    model = mixture(kind=kind)
    found = covariances_among(model, [2, 0])
    assert found.shape == (3, 2, 2)
    if kind == "full":
        np.testing.assert_array_equal(found[1], model.covariances_[1][np.ix_([2, 0], [2, 0])])
    if kind == "diag":
        np.testing.assert_array_equal(found[1], np.diag(model.covariances_[1, [2, 0]]))


def test_many_rows_become_a_histogram_and_many_components_one_colour(tmp_path):
    fig = plot.mixture(mixture(k=12), RNG.normal(size=(20_000, 4)))
    (ax,) = fig.axes
    assert len(ax.collections) == 1
    assert {patch.get_edgecolor()[:3] for patch in ellipses(ax)} == {(0.0, 114 / 255, 178 / 255)}
    assert ax.get_title() == "12 components: 1 and 2 sigma; lines by weight"
    fig.savefig(tmp_path / "p.png", dpi=30)


def test_one_column_shows_densities(tmp_path):
    model = mixture(d=1)
    fig = plot.figure(model, RNG.normal(size=(500, 1)))
    (ax,) = fig.axes
    total = next(line for line in ax.lines if line.get_label() == "mixture")
    assert trapezoid(total.get_ydata(), total.get_xdata()) <= 1 + 1e-6
    alone = plot.figure(model).axes[0]
    total = next(line for line in alone.lines if line.get_label() == "mixture")
    assert trapezoid(total.get_ydata(), total.get_xdata()) == pytest.approx(1, abs=2e-3)
    fig.savefig(tmp_path / "p.png", dpi=30)


def test_the_history_is_drawn_beside_the_mixture(tmp_path):
    model = mixture(history_=HISTORY, **ENDED)
    fig = plot.figure(model, RNG.normal(size=(50, 4)), labels=["a", "b", "c", "d"])
    left, right = fig.axes
    assert left.get_xlabel() == "a"
    np.testing.assert_array_equal(right.lines[0].get_ydata(), [e["log_likelihood"] for e in HISTORY])
    assert right.get_title() == "converged\n5 iterations; data read by the first scan and 5 passes"
    fig.savefig(tmp_path / "p.png", dpi=30)
    assert len(plot.history(model).axes) == 1


def test_no_history_no_picture_of_it():
    assert len(plot.figure(mixture()).axes) == 1
    with pytest.raises(ValueError, match="no history"):
        plot.history(mixture())


def test_names_of_the_training_data_are_used():
    model = mixture(d=2, feature_names_in_=np.array(["height", "weight"], dtype=object))
    assert plot.mixture(model).axes[0].get_ylabel() == "weight"


@pytest.mark.parametrize("columns", [(0, 4), (-1, 0), (0, 1, 2)])
def test_wrong_columns_are_refused(columns):
    with pytest.raises(ValueError, match="two of the 4 columns"):
        plot.mixture(mixture(), columns=columns)


def test_rows_that_cannot_be_shown():
    x = np.full((10, 4), np.nan)
    with pytest.raises(ValueError, match="all rows have NaN"):
        plot.mixture(mixture(), x)
    x[3:] = 1.0  # a few rows, all the same
    plot.mixture(mixture(), x)


def test_outliers_do_not_shrink_the_picture():
    x = RNG.normal(size=(10_000, 2))
    x[0] = 1e9
    low, high = axis_limits(x)
    assert (high - low < 10).all()


@cross("n, q", [0, 100, 9000], [1, 3, 20])
def test_ppca(q, n, tmp_path):
    x = RNG.normal(size=(n, 25)) if n else None
    fig = plot.figure(ppca(q=q, d=25, history_=HISTORY, **ENDED), x)
    assert len(fig.axes) == (3 if n else 2)
    fig.savefig(tmp_path / "p.png", dpi=30)


def test_ppca_without_noise_and_with_a_wide_spectrum(tmp_path):
    model = ppca(history_=[])
    model.noise_variance_, model.explained_variance_ = 0.0, np.array([1e6, 10.0, 0.0])
    fig = plot.figure(model)
    assert fig.axes[0].get_yscale() == "log"
    fig.savefig(tmp_path / "p.png", dpi=30)


def test_colours_differ():
    assert len(set(PALETTE)) == len(PALETTE)


@cross("k,n", [1, 2, 12], [0, 200, 6000])
def test_kmeans_shows_every_centre_and_the_borders(k, n, tmp_path):
    history = [{"pass": i, "inertia": 3 + 0.5**i, "log_likelihood": None} for i in range(1, 6)]
    model = SimpleNamespace(cluster_centers_=RNG.normal(size=(k, 4)), history_=history, **ENDED)
    fig = plot.figure(model, RNG.normal(size=(n, 4)) if n else None, columns=(3, 1))
    fig.savefig(tmp_path / "p.png", dpi=30)
    regions, trace = fig.axes
    assert (regions.get_xlabel(), regions.get_ylabel()) == ("column 3", "column 1")
    np.testing.assert_array_equal(regions.collections[-1].get_offsets(), model.cluster_centers_[:, [3, 1]])
    assert trace.get_ylabel() == "inertia"
    shown = np.unique(regions.images[0].get_array())
    assert set(shown) <= set(range(k))


def test_kmeans_of_one_column_has_no_picture():
    with pytest.raises(ValueError, match="needs at least two columns"):
        plot.kmeans(SimpleNamespace(cluster_centers_=np.zeros((3, 1))))


def test_the_staircase_shows_what_the_history_tells(rng):
    x = rng.normal(size=(300, 2)) + 4 * (rng.random((300, 1)) < 0.5)
    model = dem.GaussianMixture(2, n_init=1, init_params="random", sample_size=20, tol=1e-6).fit(x)
    left, right = plot.staircase(model).axes
    whole = [entry for entry in model.history_ if entry["kl"] is not None]
    steps = {tuple(line.get_ydata()) for line in left.lines if len(line.get_xdata()) == 2}
    for entry in whole:
        low, high = entry["elbo_e"], entry["elbo_m"]
        assert (low, high) in steps
        assert (high, high + entry["kl"]) in steps
    gains = right.lines[1].get_ydata()
    np.testing.assert_array_equal(gains[gains > 0], [e["kl"] for e in whole if e["kl"] > 0])
    assert left.get_ylabel() == "nats a row"


@pytest.mark.parametrize(
    "model",
    [dem.KMeans(3, n_init=1, init="random", sample_size=9), dem.PPCA(1, solver="em"), dem.BayesianGaussianMixture(3)],
    ids=lambda model: type(model).__name__,
)
def test_other_models_have_a_staircase_too(model, rng):
    fig = plot.staircase(model.fit(rng.normal(size=(300, 3)) * [1, 2, 3]))
    assert "iteration" in {ax.get_xlabel() for ax in fig.axes}


def test_without_a_trace_there_is_no_staircase(rng):
    closed = dem.PPCA(1).fit(rng.normal(size=(50, 3)))
    with pytest.raises(ValueError, match="the history of this PPCA has no bound: fit it by EM"):
        plot.staircase(closed)


def test_a_mixture_of_any_family_in_one_column(rng):
    model = dem.PoissonMixture(2).fit(rng.poisson(np.where(rng.random(500) < 0.4, 2, 12))[:, None])
    (ax, _) = plot.figure(model).axes
    mixture = next(line for line in ax.lines if line.get_label() == "mixture")
    assert mixture.get_ydata().sum() == pytest.approx(1, abs=0.02)  # a bar for each count
    assert ax.get_ylabel() == "probability"


def test_a_mixture_of_any_family_in_two_columns(rng):
    x = np.c_[rng.exponential(size=400), rng.normal(size=400)]
    model = dem.Mixture(2, family={0: "exponential", 1: "gaussian"}).fit(x)
    (ax, _) = plot.figure(model, x).axes
    assert len(ax.collections[0].get_offsets()) == 400
    assert ax.get_title() == "rows, coloured by responsibilities"
    assert plot.figure(model).axes[0].get_title() == "rows drawn from the model"


def test_factor_analysis_shows_its_loadings(rng):
    model = dem.FactorAnalysis(2).fit(rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5)) + rng.normal(size=(300, 5)))
    assert "variances" in plot.figure(model).axes[0].get_title()


@pytest.mark.parametrize(("q", "d"), [(1, 3), (4, 40), (15, 200)])
def test_loadings_are_drawn_as_correlations(q, d, tmp_path):
    model = SimpleNamespace(
        components_=RNG.normal(size=(q, d)),
        noise_variance_=RNG.uniform(0, 2, d),
        heywood_=np.array([], int),
        mean_=np.zeros(d),
        history_=HISTORY,
        **ENDED,
    )
    fig = plot.figure(model)
    shown = np.asarray(fig.axes[0].images[0].get_array())
    variances = (model.components_**2).sum(axis=0) + model.noise_variance_
    np.testing.assert_allclose(shown, model.components_.T / np.sqrt(variances)[:, None])
    assert "explain" in fig.axes[0].get_title()
    fig.savefig(tmp_path / "p.png", dpi=30)


@cross(
    "model, labels",
    {
        type(model).__name__: model
        for model in (
            dem.GaussianMixture(2, n_init=1, tol=0.1),
            dem.Mixture(2, n_init=1, tol=0.1),
            dem.KMeans(2),
            dem.PPCA(1),
            dem.FactorAnalysis(1, tol=0.1),
            dem.MixturePPCA(2, n_init=1, tol=0.1),
        )
    },
    {"few": ["a", "b"], "many": ["a", "b", "c", "d"], "none": [], "word": "abc"},
)
def test_labels_name_every_column(model, labels):
    x = np.random.default_rng(1).normal(size=(60, 3)) + 5 * np.arange(60)[:, None] % 2
    model.fit(x)
    got = "the word 'abc'" if labels == "abc" else f"{len(labels)} names"
    with pytest.raises(ValueError, match=f"labels must be a list with a name for each of the 3 columns, got {got}$"):
        plot.figure(model, x, labels=labels)
    assert plot.figure(model, x, labels=["a", "b", "c"]).axes
