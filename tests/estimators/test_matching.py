"""Which components of two models are the same; models with their components in another order."""

import numpy as np
import pytest

import dem
from dem.estimators.matching import matching_of
from estimators.test_earlier import MODELS, K, clouds, counts, factors

ORDER = np.array([2, 0, 1])
WITH_COMPONENTS = {name: case for name, case in MODELS.items() if name not in ("mppca",) and "pca" not in name}
WITH_COMPONENTS = {name: case for name, case in WITH_COMPONENTS.items() if not name.startswith("fa")}
ANY = pytest.mark.parametrize(("model", "x"), WITH_COMPONENTS.values(), ids=WITH_COMPONENTS)


@ANY
def test_a_reordered_model_is_the_same_model(model, x, tmp_path):
    first = model.fit(x)
    turned = first.reordered(ORDER)
    found = turned.match(first)
    np.testing.assert_array_equal(found.order, np.argsort(ORDER))
    np.testing.assert_allclose(found.overlap, 1, atol=1e-2)
    assert found.new == found.gone == found.renumbered == ()
    loose = 1e-2 if isinstance(first, dem.BayesianGaussianMixture) else 1e-9  # its weights depend on the order
    if isinstance(first, dem.KMeans):
        np.testing.assert_array_equal(ORDER[turned.predict(x)], first.predict(x))
        np.testing.assert_array_equal(ORDER[turned.labels_], first.labels_)
    else:
        np.testing.assert_allclose(turned.predict_proba(x), first.predict_proba(x)[:, ORDER], atol=loose)
        np.testing.assert_allclose(turned.effective_counts_, first.effective_counts_[ORDER])
    np.testing.assert_allclose(turned.score(x), first.score(x), rtol=loose)
    turned.save(tmp_path / "m.zarr")
    np.testing.assert_allclose(dem.load(tmp_path / "m.zarr").score(x), turned.score(x), rtol=1e-12)
    back = turned.reordered(np.argsort(ORDER))
    np.testing.assert_allclose(back.score(x), first.score(x), rtol=1e-2 * loose)


def test_fits_of_other_rows_find_the_same_components():
    first = dem.GaussianMixture(K).fit(clouds())
    other = dem.GaussianMixture(K, random_state=5).fit(clouds(seed=7)).reordered(ORDER)
    found = other.match(first)
    np.testing.assert_allclose(other.reordered(found.order).means_, first.means_, atol=0.5)
    assert found.overlap.min() > 0.95
    assert str(found).startswith("3 of 3 components are those of the earlier model (overlap")
    km = dem.KMeans(K).fit(clouds())
    np.testing.assert_allclose(km.reordered(km.match(first).order).cluster_centers_, first.means_, atol=0.5)


def test_components_that_are_new_or_gone():
    x = clouds()
    far = np.random.default_rng(3).normal(40.0, 1.0, (400, 2))
    old = dem.GaussianMixture(K).fit(x)
    lost = old.means_[0]
    kept = x[np.linalg.norm(x - lost, axis=1) > 4]
    new = dem.GaussianMixture(K).fit(np.concatenate([kept, far]))
    found = new.match(old)
    assert (found.new, found.gone) == ((0,), (0,))
    assert "new: 0; gone: 0" in str(found)
    turned = new.reordered(found.order)
    assert turned.means_[0].min() > 30
    np.testing.assert_allclose(turned.means_[1:], old.means_[1:], atol=0.5)
    more = dem.GaussianMixture(K + 1).fit(np.concatenate([x, far])).match(old)
    assert (more.new, more.gone) == ((K,), ())
    fewer = old.match(dem.GaussianMixture(K + 1).fit(np.concatenate([x, far])))
    assert (fewer.new, len(fewer.gone)) == ((), 1)


@pytest.mark.slow
def test_rows_outside_the_support_belong_to_no_component():
    x = np.concatenate([counts(), [[3.0, 0.0]]])
    poisson, normal = dem.PoissonMixture(K).fit(x), dem.GaussianMixture(K, reg_covar=0.01).fit(x)
    assert poisson.match(normal).overlap.max() <= 1
    assert normal.match(poisson).overlap.max() <= 1
    fewer = dem.CategoricalMixture(2).fit(counts()[::3] % 3)
    more = dem.CategoricalMixture(2).fit(counts() % 5)
    assert len(more.match(fewer).order) == 2


def test_the_rows_of_many_components_are_few(monkeypatch):
    asked = []
    first = dem.GaussianMixture(K).fit(clouds())
    monkeypatch.setattr(first, "_rows_of_components", lambda n, rng: asked.append(n) or clouds(8))
    monkeypatch.setattr("dem.estimators.matching.MATCHED_BYTES", 8 * 2 * K * (2 + 2 * K) * 9)
    first.match(first)
    assert asked == [9, 9]
    monkeypatch.setattr("dem.estimators.matching.MATCHED_BYTES", 1)
    first.match(first)
    assert asked[2] == 8


def test_the_order_follows_the_fit_and_not_the_settings():
    first = dem.GaussianMixture(K, covariance_type="tied").fit(clouds())
    assert first.set_params(covariance_type="full").reordered(ORDER).covariances_.shape == (2, 2)


@pytest.mark.slow
def test_empty_components_are_neither_new_nor_gone():
    x = clouds()
    first, other = (dem.BayesianGaussianMixture(8, random_state=i).fit(x) for i in (0, 1))
    found = other.match(first)
    used = int((other.effective_counts_ >= 0.01).sum())
    assert used < 8
    assert found.new == found.gone == ()
    assert found.empty == tuple(range(used, 8))
    assert str(found).startswith(f"{used} of {used} components")
    np.testing.assert_allclose(other.reordered(found.order).score(x), other.score(x), atol=1e-3)


def test_numbers_that_do_not_exist_any_more():
    overlap = np.zeros((2, 4))
    overlap[0, 3], overlap[1, 1] = 0.9, 0.8
    found = matching_of(overlap)
    assert (found.order.tolist(), found.partner.tolist(), found.gone) == ([0, 1], [3, 1], (0, 2))
    assert found.renumbered == (0,)
    assert found.record()["renumbered"] == [0]


def test_what_cannot_be_compared_is_refused():
    first = dem.GaussianMixture(K).fit(clouds())
    with pytest.raises(TypeError, match="a PPCA has no components to compare"):
        first.match(dem.PPCA(1).fit(clouds()))
    with pytest.raises(ValueError, match="the models have 2 and 6 columns"):
        first.match(dem.GaussianMixture(K).fit(factors(lacking=0.0)))
    pandas = pytest.importorskip("pandas")
    named = [
        dem.GaussianMixture(K).fit(pandas.DataFrame(clouds(), columns=names)) for names in (["a", "b"], ["b", "a"])
    ]
    with pytest.raises(ValueError, match="the first model has the column 'a' where the second has 'b'"):
        named[0].match(named[1])
    for order in ([0, 1], [0, 1, 1], [1, 2, 3]):
        with pytest.raises(ValueError, match="each number from 0 to 2 once"):
            first.reordered(order)
