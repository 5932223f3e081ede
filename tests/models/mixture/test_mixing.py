"""Distributions of mixing proportions, against SciPy's densities integrated or drawn from."""

import numpy as np
import pytest
from scipy import integrate, stats

from dem.models.mixture.mixing import Dirichlet, StickBreaking

COUNTS = np.array([3.0, 0.0, 7.5])


def beta_mean(a, b, function):
    """Return E[function(v)] under Beta(a, b), by quadrature."""
    density = stats.beta(a, b)
    return integrate.quad(lambda v: density.pdf(v) * function(v), 0, 1)[0]


@pytest.mark.parametrize(("a", "b"), [((2.5, 4.0), (1.0, 1.5)), ((30.0, 1.2), (1.5, 1.5))])
def test_a_dirichlet_of_two_is_a_beta(a, b):
    q, p = Dirichlet(np.array(a)), Dirichlet(np.array(b))
    expected = beta_mean(*a, lambda v: stats.beta.logpdf(v, *a) - stats.beta.logpdf(v, *b))
    assert abs(q.divergence(p) - expected) < 1e-7
    logs = [beta_mean(*a, np.log), beta_mean(*a, lambda v: np.log1p(-v))]
    np.testing.assert_allclose(q.log_mean, logs, rtol=1e-7)


def test_dirichlet_against_draws(rng):
    prior = Dirichlet.prior(3, 0.7)
    q = prior.posterior(COUNTS)
    np.testing.assert_allclose(q.mean, stats.dirichlet(0.7 + COUNTS).mean())
    pi = stats.dirichlet(0.7 + COUNTS).rvs(200_000, random_state=rng)
    pi = np.maximum(pi, 1e-300) / np.maximum(pi, 1e-300).sum(axis=1, keepdims=True)
    log = np.log(pi)
    assert (np.abs(log.mean(axis=0) - q.log_mean) < 5 * log.std(axis=0) / np.sqrt(len(pi))).all()
    ratio = stats.dirichlet(0.7 + COUNTS).logpdf(pi.T) - stats.dirichlet(np.full(3, 0.7)).logpdf(pi.T)
    assert abs(ratio.mean() - q.divergence(prior)) < 5 * ratio.std() / np.sqrt(len(pi))


def test_stick_breaking_against_its_pieces():
    prior = StickBreaking.prior(3, 0.5)
    q = prior.posterior(COUNTS)
    a, b = [4.0, 1.0, 8.5], [8.0, 8.0, 0.5]  # 1 + N_k, and 0.5 + the rows of later pieces
    np.testing.assert_allclose(q.concentration, [a, b])
    here = [beta_mean(*ab, np.log) for ab in zip(a, b, strict=True)]
    rest = [beta_mean(*ab, lambda v: np.log1p(-v)) for ab in zip(a, b, strict=True)]
    np.testing.assert_allclose(q.log_mean, [here[0], here[1] + rest[0], here[2] + rest[0] + rest[1]], rtol=1e-6)
    expected = sum(
        beta_mean(*ab, lambda v, ab=ab: stats.beta.logpdf(v, *ab) - stats.beta.logpdf(v, 1, 0.5))
        for ab in zip(a, b, strict=True)
    )
    assert abs(q.divergence(prior) - expected) < 1e-6
    pieces = np.array([4 / 12, 8 / 12 / 9, 8 / 12 * 8 / 9 * 8.5 / 9])
    np.testing.assert_allclose(q.mean, pieces / pieces.sum())


@pytest.mark.parametrize("kind", [Dirichlet, StickBreaking])
def test_no_rows_change_nothing(kind):
    prior = kind.prior(4, 1e-3)
    assert prior.posterior(np.zeros(4)).divergence(prior) == 0
    assert np.isfinite(prior.log_mean).all()


def test_the_best_order_of_a_stick_has_the_empty_pieces_last():
    prior, counts = StickBreaking.prior(4, 0.25), np.array([0.0, 40.0, 0.0, 90.0])

    def bound(counts):
        q = prior.posterior(counts)
        return counts @ q.log_mean - q.divergence(prior)

    ordered = counts[prior.best_order(counts)]
    np.testing.assert_array_equal(ordered, [90.0, 40.0, 0.0, 0.0])
    assert bound(ordered) > bound(counts) + 1
    np.testing.assert_array_equal(Dirichlet.prior(4, 0.25).best_order(counts), np.arange(4))
