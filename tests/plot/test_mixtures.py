"""Mixtures: rows by class, ellipses, densities, sizes, probabilities."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from scipy.integrate import trapezoid  # np.trapezoid came with NumPy 2

import dem
from dem import plot
from dem.estimators.parameter_tables import parameter_tables
from dem.estimators.summary import covariances_among
from dem.plot.canvas import tidy_ticks
from dem.plot.colours import style
from dem.plot.labels import percent, short
from dem.plot.points import axis_limits, bins
from dem.plot.telling import present, telling_columns
from plot.models import fitted

RNG = np.random.default_rng(0)


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


def ellipses(ax):
    return [patch for patch in ax.patches if isinstance(patch, Ellipse)]


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_every_component_has_its_ellipses(kind):
    (ax,) = plot.mixture(mixture(kind=kind), RNG.normal(size=(200, 4)), columns=(3, 1)).axes
    assert len(ellipses(ax)) == 6
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("column 3", "column 1")
    assert {patch.get_edgecolor()[:3] for patch in ellipses(ax)} == {_rgb(k) for k in range(3)}


def _rgb(k):
    colour = style(k).colour
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


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


def test_rows_have_the_colours_of_their_classes():
    model, x = fitted("2 components")
    picture = plot.mixture(model, x)
    (drawn,) = picture.artists["rows"]
    labels = model.predict(x)
    pairs = zip(drawn.get_offsets().data, drawn.get_facecolor(), strict=True)
    shown = {tuple(at): tuple(colour[:3]) for at, colour in pairs}
    for row, label in zip(x, labels, strict=True):
        assert shown[tuple(row)] == pytest.approx(_rgb(label))
    assert "600 rows" in picture.text


def test_a_picture_on_the_users_axes():
    fig = Figure()
    ax = fig.subplots()
    picture = plot.mixture(fitted("2 components")[0], ax=ax)
    assert picture.axes == [ax]
    assert picture.figure is fig
    assert picture._repr_png_() is None  # the user's figure shows itself
    assert plot.sizes(fitted("2 components")[0])._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="has 9 panels, but ax has 1 axes"):
        plot.pairs(fitted("25 components")[0], ax=ax)
    with pytest.raises(ValueError, match="ax must be Matplotlib axes"):
        plot.mixture(fitted("2 components")[0], ax="left")


def test_many_rows_are_drawn_as_a_sample():
    x = RNG.normal(size=(20_000, 4))
    picture = plot.mixture(mixture(k=12), x)
    assert sum(len(points.get_offsets()) for points in picture.artists["rows"]) == 5000
    assert picture.text.startswith("5,000 of 20,000 rows")


def test_names_of_the_training_data_are_used():
    model = mixture(d=2, feature_names_in_=np.array(["height", "weight"], dtype=object))
    assert plot.mixture(model).axes[0].get_ylabel() == "weight"


@pytest.mark.parametrize("columns", [(0, 4), (-1, 0), (0, 1, 2)])
def test_wrong_columns_are_refused(columns):
    with pytest.raises(ValueError, match="two of the 4 columns"):
        plot.mixture(mixture(), columns=columns)


def test_rows_that_cannot_be_shown():
    x = np.full((10, 4), np.nan)
    with pytest.raises(ValueError, match="no row has a value in all of these columns"):
        plot.mixture(mixture(), x)
    x[3:] = 1.0  # a few rows, all the same
    plot.mixture(mixture(), x)
    with pytest.raises(ValueError, match=r"x must have the shape \(rows, 4\), got \(5, 3\)"):
        plot.mixture(mixture(), np.zeros((5, 3)))


def test_outliers_do_not_shrink_the_picture():
    x = RNG.normal(size=(10_000, 2))
    x[0] = 1e9
    low, high = axis_limits(x)
    assert (high - low < 10).all()


def test_a_hundred_components_of_equal_weight_are_drawn():
    model = mixture(k=150, d=2)
    model.weights_ = np.full(150, 1 / 150)
    low, high = plot.mixture(model, RNG.normal(size=(200, 2))).axes[0].get_xlim()
    assert low <= model.means_[:, 0].min()
    assert high >= model.means_[:, 0].max()


def test_a_histogram_of_extreme_spread_has_few_bins():
    assert len(bins(np.array([0, 1e-12, 2e-12, 3e-12, 1e15]), 0.0, 1e15)) == 81
    assert len(bins(np.full(50, 0.3), 0.0, 1.0)) == 11


def test_numbers_that_differ_little_have_different_marks():
    ax = Figure().subplots()
    ax.set_xlim(2_459_000, 2_459_040)
    ax.set_ylim(0, 3e6)
    tidy_ticks(ax)
    ax.figure.draw_without_rendering()
    assert len({tick.get_text() for tick in ax.get_xticklabels()}) == len(ax.get_xticks())
    assert "1 M" in [tick.get_text() for tick in ax.get_yticklabels()]


def test_a_narrow_component_is_drawn_whole(rng):
    x = np.concatenate([rng.normal(0, 1e-4, 500), rng.normal(5, 1, 500)])[:, None]
    model = dem.GaussianMixture(2, reg_covar=1e-12, n_init=1).fit(x)
    _, (curves,) = _densities(model, x)
    narrow = int(np.argmin(model.covariances_.ravel()))
    t, own = curves["components"][narrow].get_data()
    assert trapezoid(own, t) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("name", ["one column", "Poisson", "product", "Student's t", "gaps", "MixtureFactorAnalysis"])
def test_densities_are_those_of_the_mixture(name):
    model, x = fitted(name)
    for panel, curves in zip(*_densities(model, x), strict=True):
        t, total = curves["all"].get_data()
        steps = t if len(t) > 60 or t[1] - t[0] != 1 else None
        mass = total.sum() if steps is None else trapezoid(total, t)
        assert 0.85 < mass <= 1 + 1e-6, panel.get_xlabel()
        parts = sum(curve.get_ydata() for curve in curves["components"])
        np.testing.assert_allclose(parts, total, rtol=1e-9)


def _densities(model, x):
    picture = plot.densities(model, x)
    return picture.axes, picture.artists["curves"]


@pytest.mark.parametrize("name", ["multinomial", "von Mises-Fisher"])
def test_without_a_density_of_one_column_rows_are_counted(name):
    model, x = fitted(name)
    _, (first, *_) = _densities(model, x)
    t, total = first["all"].get_data()
    assert total.sum() * (t[1] - t[0]) == pytest.approx(1, abs=0.02)


def test_the_most_telling_columns_are_chosen():
    rng = np.random.default_rng(1)
    z = np.arange(400) % 2
    x = rng.normal(size=(400, 6))
    x[:, 4] += 6 * z
    x[:, 1] += 4 * z
    model = dem.GaussianMixture(2, n_init=1).fit(x)
    assert set(telling_columns(model, 2)) == {1, 4}
    assert telling_columns(model, 6) == tuple(range(6))
    assert plot.mixture(model).axes[0].get_xlabel() == "column 1"


def test_two_neighbouring_depths_are_not_both_chosen():
    model, _ = fitted("profiles")
    chosen = telling_columns(model, 2)
    assert {model.columns_[j].variable for j in chosen} == {"temperature", "salinity"}


def test_components_without_rows_are_left_out():
    model, x = fitted("Bayesian")
    shown = present(model)
    assert len(shown) < 5
    (ax,) = plot.mixture(model, x).axes
    assert len(ellipses(ax)) == 2 * len(shown)
    assert f"{len(shown)} of 5 components have rows" in ax.get_title()


def test_shares_are_never_written_as_zero():
    assert [percent(v) for v in (0, 1e-5, 0.0123, 0.5, 0.99999, 1)] == [
        "0 %",
        "<0.1 %",
        "1.2 %",
        "50 %",
        ">99.9 %",
        "100 %",
    ]
    assert short("a_very_long_name_of_a_column_in_a_table") == "a_very_long_name_o…n_a_table"


def test_sizes_tell_shares_and_rows():
    model, _ = fitted("10 components")
    picture = plot.sizes(model)
    widths = [bar.get_width() for bar in picture.artists["bars"]]
    np.testing.assert_allclose(widths, 100 * model.weights_)
    words = [text.get_text() for text in picture.axes[0].texts]
    assert words[0].startswith(percent(model.weights_[0]))
    assert "10 components" in picture.text
    with pytest.raises(ValueError, match="has no classes"):
        plot.sizes(fitted("PPCA")[0])


def test_entropy_counts_the_certain_rows():
    model, x = fitted("2 components")
    certain = (model.entropy(x) < 0.1).mean()
    assert percent(certain) in plot.entropy(model, x).axes[0].get_title()
    with pytest.raises(ValueError, match="a mixture of two or more components"):
        plot.entropy(dem.GaussianMixture(1).fit(x), x)
    with pytest.raises(ValueError, match="needs rows"):
        plot.entropy(model, None)


def test_probabilities_are_those_of_the_model():
    model, _ = fitted("Bernoulli")
    (ax,) = plot.probabilities(model, columns=(3, 1)).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["column 3", "column 1"]
    widths = [patch.get_width() for patch in ax.patches][1::2]  # every other bar is the frame
    p = model.component_parameters_["probability"]
    np.testing.assert_allclose(widths, [p[0, 3], p[1, 3], p[0, 1], p[1, 1]])
    with pytest.raises(ValueError, match="needs columns of 0 and 1"):
        plot.probabilities(fitted("2 components")[0])
    with pytest.raises(ValueError, match="column 0 has no probabilities"):
        plot.probabilities(fitted("product")[0], columns=(0,))


def test_codes_fill_their_bars():
    model, _ = fitted("categorical")
    (ax,) = plot.probabilities(model).axes
    total = {}
    for patch in ax.patches:
        total[round(patch.get_y(), 6)] = total.get(round(patch.get_y(), 6), 0) + patch.get_width()
    assert len(total) == 15
    np.testing.assert_allclose(list(total.values()), 1)


def test_students_t_has_scales():
    model, x = fitted("Student's t")
    assert "1 and 2 scales" in plot.mixture(model, x).axes[0].get_title()
    (table,) = parameter_tables(model)
    assert "scale 0" in table.header
