"""Parameters have one memory layout, so that a model that is saved and loaded gives the same bits."""

import numpy as np
import pytest

import dem
from crosses import cross
from dem.families import FAMILIES
from families.kinds import VALUES
from shared import ENDS_AT_MAX_ITER

K, D = 3, 4
KINDS = ("full", "tied", "diag", "spherical")
SHORT = {"n_init": 1, "max_iter": 2, "tol": 0}
MODELS = {
    **{f"gmm-{kind}": dem.GaussianMixture(K, covariance_type=kind, **SHORT) for kind in KINDS},
    **{f"bgmm-{kind}": dem.BayesianGaussianMixture(K, covariance_type=kind, **SHORT) for kind in KINDS},
    **{f"mixture-{name}": dem.Mixture(K, family=name, **SHORT) for name in sorted(FAMILIES)},
    "mixture-product": dem.Mixture(K, family=[([0, 2], "gaussian"), ([1, 3], "gamma")], **SHORT),
    "kmeans": dem.KMeans(K, **SHORT),
    "mppca": dem.MixturePPCA(K, n_factors=2, **SHORT),
    "mfa": dem.MixtureFactorAnalysis(K, n_factors=2, **SHORT),
    "ppca": dem.PPCA(2),
    "ppca-em": dem.PPCA(2, solver="em", max_iter=2),
    "fa": dem.FactorAnalysis(2, max_iter=2),
    "fa-varimax": dem.FactorAnalysis(2, rotation="varimax", max_iter=2),
    "bpca": dem.BayesianPCA(max_iter=2),
}


def rows(name, n=200):
    """Return rows that the model takes, in Fortran's order."""
    family = name.removeprefix("mixture-")
    if family in VALUES:
        return np.asfortranarray(VALUES[family](4, n))
    rng = np.random.default_rng(4)
    return np.asfortranarray(np.exp(rng.normal(size=(n, D)) / 2 + rng.integers(K, size=(n, 1))))


def arrays(value):
    """Yield the arrays of a value."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from arrays(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from arrays(item)


@ENDS_AT_MAX_ITER
@cross("name, holes", list(MODELS), [False, True])
def test_a_saved_model_gives_the_same_bits(name, holes, tmp_path):
    x = rows(name)
    if holes:
        if name.endswith("vonmisesfisher"):
            pytest.skip("takes no missing values")
        x[::9, 1] = np.nan
    model = MODELS[name]
    if holes and name == "bpca":
        model = dem.BayesianPCA(2, max_iter=2)
    model.fit(x)
    public = {key: value for key, value in vars(model).items() if key.endswith("_")}
    found = [*arrays(public), *arrays(getattr(model, "component_parameters_", {})), *arrays(model._arrays())]
    assert found
    assert all(array.flags.c_contiguous for array in found)
    model.save(tmp_path / "m.zarr")
    loaded = dem.load(tmp_path / "m.zarr")
    tell = "transform" if name == "kmeans" else "score_samples"
    before, after = (getattr(m, tell)(x) for m in (model, loaded))
    assert before.tobytes() == after.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_that_a_user_gives_in_another_layout(kind, tmp_path):
    rng = np.random.default_rng(2)
    means = np.asfortranarray(rng.normal(size=(K, D)))
    covariances = {
        "full": np.asfortranarray(np.repeat(np.eye(D)[None] + 0.1, K, axis=0)),
        "tied": np.asfortranarray(np.eye(D) + 0.1),
        "diag": np.asfortranarray(rng.uniform(1, 2, size=(K, D))),
        "spherical": np.ones(2 * K)[::2],
    }[kind]
    model = dem.GaussianMixture.from_parameters(np.full(K, 1 / K), means, covariances, kind)
    assert all(array.flags.c_contiguous for array in arrays(vars(model)))
    model.save(tmp_path / "m.zarr")
    x = rng.normal(size=(100, D))
    assert dem.load(tmp_path / "m.zarr").score_samples(x).tobytes() == model.score_samples(x).tobytes()


@ENDS_AT_MAX_ITER
def test_a_mixture_from_the_clusters_of_k_means():
    x = rows("gmm")
    model = dem.GaussianMixture.from_kmeans(dem.KMeans(K, **SHORT).fit(x), max_iter=0).fit(x)
    assert all(array.flags.c_contiguous for array in arrays(vars(model)))
