"""What the first pass found and a fit cannot use is named for what it is."""

import dask.array as da
import numpy as np
import pytest

import dem

X = np.random.default_rng(0).normal(size=(400, 2))
MODELS = [dem.GaussianMixture(1), dem.KMeans(1), dem.PPCA(1), dem.FactorAnalysis(1), dem.BayesianGaussianMixture(2)]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("weight", [1e306, 1.7e308])
def test_weights_that_are_too_large_are_called_so(model, weight):
    weights = np.full(len(X), weight)
    for data in (X, da.from_array(X, chunks=(100, 2))):
        with pytest.raises(
            ValueError, match=r"^the weights of .*array are too large .their sum is .*divide them all by the same"
        ):
            model.fit(data, sample_weight=weights)


def test_values_that_are_too_large_are_called_so():
    for weights in (None, np.full(len(X), 1e-300)):
        with pytest.raises(ValueError, match="has values too large to square in column 1: rescale this column"):
            dem.KMeans(1).fit(X * [1, 1e200], sample_weight=weights)
    with pytest.raises(ValueError, match="has values too large to square in columns 0, 1: rescale these columns"):
        dem.GaussianMixture(1).fit(X * 1e151)  # whose squares 400 rows can just be summed of


def test_large_weights_that_can_be_summed_are_weights():
    found = dem.GaussianMixture(1, tol=1e-9).fit(X, sample_weight=np.full(len(X), 1e300))
    np.testing.assert_allclose(found.means_[0], X.mean(0), rtol=1e-10)


@pytest.mark.parametrize("model", [dem.KMeans(2), dem.PPCA(1), dem.MixturePPCA(1), dem.MixturePPCA(1, scale="robust")])
def test_spreads_that_models_compare_are_told_if_they_are_very_different(model, recwarn):
    constant = np.full((len(X), 1), 1e9)
    for factor, said in ((900, False), (1100, True)):
        x = np.hstack([X / X.std(axis=0) * [1, factor], constant])
        model.fit(x)
        told = [str(warning.message) for warning in recwarn if "differ in spread" in str(warning.message)]
        assert len(told) == (said and model.scale is None)
    for text in told:
        assert "by a factor of 1e+03 (from 1 in column 0 to 1100 in column 1)" in text
