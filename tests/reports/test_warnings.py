"""The statistician's warnings: each one is given where it should be, and not for a fit that is well."""

import numpy as np
import pytest

import dem
from dem.families.gaussian.diag import DiagonalGaussian
from dem.families.gaussian.tied import TiedGaussian
from dem.reports import warnings as checks
from dem.reports.warnings import warnings_of

RNG = np.random.default_rng(0)
TWO = np.concatenate([RNG.normal(0, 1, (300, 2)), RNG.normal(8, 1, (300, 2))])
KINDS = {
    "mixture": lambda: dem.GaussianMixture(2, n_init=2, random_state=0).fit(TWO),
    "kmeans": lambda: dem.KMeans(2, random_state=0).fit(TWO),
    "bernoulli": lambda: dem.BernoulliMixture(2, random_state=0).fit((TWO > 4).astype(float)),
    "ppca": lambda: dem.PPCA(1).fit(np.column_stack([TWO, TWO.sum(axis=1) + RNG.normal(size=600)])),
}


@pytest.mark.parametrize("kind", KINDS)
def test_good_fits_have_none_but_of_their_starts(kind):
    model = KINDS[kind]()
    model.starts_ = []
    assert warnings_of(model) == []


def test_a_fit_that_has_not_converged():
    with pytest.warns(match="max_iter"):
        model = dem.GaussianMixture(3, tol=0, max_iter=1, n_init=1, random_state=0).fit(TWO)
    assert "stopped at max_iter after 1 iteration." in checks.not_converged(model)


def test_a_tiny_component():
    x = np.concatenate([TWO, RNG.normal(100, 0.1, (4, 2))])
    model = dem.GaussianMixture(3, n_init=2, random_state=0).fit(x)
    k = int(model.predict(x)[-1])
    said = checks.tiny_components(model)
    assert said.startswith(f"Tiny component: {k} (4 rows, 0.7 %). A component needs about 10 rows")
    few = dem.KMeans(3, random_state=0).fit(TWO[:12])
    assert "no cluster has 10 rows" in checks.tiny_components(few)


@pytest.mark.parametrize("kind", ["full", "tied", "diag"])
def test_a_nearly_singular_covariance(kind):
    x = np.column_stack([TWO, TWO[:, 0] if kind != "diag" else np.where(TWO[:, 0] > 4, 5.0, RNG.normal(size=600))])
    model = dem.GaussianMixture(2, covariance_type=kind, reg_covar=1e-12, n_init=2, random_state=0).fit(x)
    said = checks.near_singular(model)
    assert f"nearly singular: {'all components' if kind == 'tied' else 'component'}" in said
    assert ("columns 0, 2" if kind != "diag" else "column 2") in said
    assert checks.near_singular(dem.GaussianMixture(2, covariance_type=kind, n_init=2).fit(TWO)) is None


def test_a_heywood_case():
    z = RNG.normal(size=(600, 1))
    model = dem.FactorAnalysis(1).fit(z + RNG.normal(size=(600, 4)))
    assert checks.heywood_case(model) is None
    model.noise_variance_ = np.array([1.0, 1e-9, 1.0, 1.0])
    assert "A Heywood case: the factors explain all of the variance of column 1." in checks.heywood_case(model)


def starts(*optima):
    return [{"start": i, "optimum": at, "moves": 0} for i, at in enumerate(optima)]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (starts(1), "only one start"),
        (starts(1, 2, 3), "Only one of 3 starts"),
        (starts(2, 3, 2), "None of 3 starts"),
        (starts(1, None, 1), None),
        (starts(1, None), None),
        ([], None),
    ],
)
def test_an_optimum_that_one_start_found(found, said):
    model = KINDS["kmeans"]()
    model.starts_ = found
    given = checks.found_once(model)
    assert given is None if said is None else said in given


def test_what_a_selection_said():
    model = KINDS["kmeans"]()
    model.selection_ = {"sentences": ["The best n_clusters, 2, is the largest that was tried: try values beyond it."]}
    assert checks.number_of_components(model) == model.selection_["sentences"][0]


def test_columns_of_unlike_scales():
    wide = TWO * [1, 1e6]
    spreads = [f"{spread:.3g}" for spread in wide.std(axis=0)]
    with pytest.warns(match="differ in spread"):
        model = dem.KMeans(2, random_state=0).fit(wide)
    assert f"{spreads[0]} in column 0 and {spreads[1]} in column 1" in checks.unlike_scales(model)
    assert checks.unlike_scales(dem.KMeans(2, scale="standard", random_state=0).fit(wide)) is None
    assert checks.unlike_scales(dem.GaussianMixture(2, n_init=1, random_state=0).fit(wide)) is None


def test_columns_that_are_mostly_missing():
    x = TWO.copy()
    x[:400, 1] = np.nan
    model = dem.GaussianMixture(2, n_init=1, random_state=0).fit(x)
    assert "missing in column 1" in checks.much_missing(model)


def test_a_fit_whose_likelihood_fell():
    model = KINDS["mixture"]()
    model.stop_reason_ = "fell"
    said = checks.not_converged(model)
    assert "fell by less than tol" in said
    assert "try a smaller one" in said
    assert "larger max_iter" not in said


@pytest.mark.parametrize("weight", [1e-3, 50.0])
def test_weights_are_no_rows(weight):
    x = np.concatenate([TWO, RNG.normal(100, 0.1, (4, 2))])
    model = dem.KMeans(3, random_state=0).fit(x, sample_weight=np.full(len(x), weight))
    said = checks.tiny_components(model)
    assert said.startswith("Tiny cluster: ")
    assert "(the weight of 4 rows, 0.7 %)" in said
    (ax,) = dem.plot.sizes(model).axes
    assert ax.get_title() == "size of each cluster (weight)"
    assert ax.get_xlabel() == "share of the weight (%)"


def test_components_that_are_not_in_use_are_not_tiny():
    model = dem.BayesianGaussianMixture(8, random_state=0).fit(TWO)
    assert model.n_components_used_ < 8
    assert checks.tiny_components(model) is None


@pytest.mark.parametrize("family", [DiagonalGaussian(1e-14), TiedGaussian(1e-14)])
def test_a_flat_component_of_any_family(family):
    x = np.column_stack([TWO, np.where(TWO[:, 0] > 4, 5.0, 7.0) + 1e-7 * RNG.normal(size=600)])
    model = dem.Mixture(2, family=family, n_init=2, random_state=0).fit(x)
    assert "in column 2" in checks.near_singular(model)
