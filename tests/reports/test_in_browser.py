"""Pages of all kinds of models in headless Chromium: readable on a phone, on a desk, and by those who cannot see."""

from itertools import pairwise

import numpy as np
import pytest

import dem
from reports.browser import browser, seen

xr = pytest.importorskip("xarray")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser() is None, reason="no Chromium: `apt-get install chromium` gives one"),
]

RNG = np.random.default_rng(0)
X = np.concatenate([RNG.normal(0, 1, (400, 4)), RNG.normal(6, 2, (400, 4))])
HOLES = np.where(RNG.random(X.shape) < 0.1, np.nan, X)
MANY = RNG.normal(size=(3000, 3)) + 6 * RNG.integers(0, 25, (3000, 1))


def profiles():
    depth = np.arange(5.0, 100, 5)
    kind = RNG.integers(0, 2, 500)
    t = 15 + 8 * kind[:, None] * np.exp(-depth / 30) + RNG.normal(0, 0.5, (500, len(depth)))
    place = {"latitude": ("cast", RNG.uniform(-60, 60, 500)), "longitude": ("cast", RNG.uniform(-180, 180, 500))}
    return xr.Dataset(
        {"temperature_of_the_water_column": (("cast", "depth"), t, {"units": "degree_Celsius"})},
        {"depth": ("depth", depth, {"units": "m"}), **place},
    )


CASES = {
    "mixture": lambda: (dem.GaussianMixture(2, n_init=2, random_state=0).fit(X), X),
    "alone": lambda: (dem.GaussianMixture(2, n_init=2, random_state=0).fit(X), None),
    "holes": lambda: (dem.GaussianMixture(2, n_init=2, random_state=0).fit(HOLES), HOLES),
    "many": lambda: (dem.KMeans(25, random_state=0).fit(MANY), MANY),
    "profiles": lambda: (dem.GaussianMixture(2, random_state=0).fit(data := profiles(), sample_dims="cast"), data),
    "bernoulli": lambda: (dem.BernoulliMixture(3, random_state=0).fit(b := (RNG.random((500, 40)) < 0.4) * 1.0), b),
    "ppca": lambda: (dem.PPCA(2).fit(X), X),
    "fa": lambda: (dem.FactorAnalysis(1).fit(X), X),
    "bayesian": lambda: (dem.BayesianGaussianMixture(4, random_state=0).fit(X), X),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("case", CASES)
def test_a_page_is_readable(case, tmp_path):
    page = dem.report(*CASES[case]()).html
    for width in (375, 1280):
        found, console = seen(page, width, tmp_path)
        assert found["width"] == width
        assert (found["overflow"], found["wide"]) == (0, [])
        assert console == []
        assert found["scripts"] == found["outside"] == 0
        assert found["contrast"] >= 4.5
        assert found["small"] >= 12
        levels = found["headings"]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert all(natural > 300 and shown > 200 and len(alt) > 20 for natural, shown, alt in found["images"])
        assert len({alt for _, _, alt in found["images"]}) == len(found["images"])
