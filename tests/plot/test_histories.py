"""The history of a fit, and the staircase of E-steps and M-steps."""

from types import SimpleNamespace

import numpy as np
import pytest

import dem
from dem import plot
from dem.plot.histories import has_gains
from plot.looks import problems

ENDED = {"stop_reason_": "converged", "n_iter_": 5, "n_passes_": 6, "weights_": np.ones(2) / 2, "tol": 1e-3}
HISTORY = [{"pass": i, "log_likelihood": -3 - 0.5**i, "elbo_m": None} for i in range(1, 6)]


def test_history_shows_the_gain_of_each_pass():
    (ax,) = plot.history(SimpleNamespace(history_=HISTORY, **ENDED)).axes
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.5 ** (i + 1) for i in range(1, 5)])
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [2, 3, 4, 5])
    assert ax.get_yscale() == "log"
    assert "converged; 5 iterations; data read by the first scan and 5 passes" in ax.get_title().replace("\n", " ")
    assert "at the end: -3.0312 nats a row" in ax.get_xlabel().replace("\n", " ")


def test_history_begins_on_the_sample_where_the_model_knows_it():
    starts = [
        {"objective": -4.0, "course": [-9.0, -5.0, -4.0]},
        {"objective": -3.6, "course": [-8.0, -4.0, -3.7, -3.6]},
    ]
    picture = plot.history(SimpleNamespace(history_=HISTORY, starts_=starts, **ENDED))
    np.testing.assert_allclose(picture.artists["sample"][0].get_ydata(), [4, 0.3, 0.1])
    assert "best of 2 starts on the sample" in picture.text


def test_history_tells_how_far_other_starts_ended_below_the_best():
    records = [
        {"objective": v, "rows": rows, "optimum": optimum, "moves": 0}
        for v, rows, optimum in ((-3.5, 900, 1), (-3.52, 900, 2), (-3.9, 900, 3), (-3.501, 900, 1), (-2.0, 90, None))
    ]
    failed, moved = {"objective": None, "rows": 900, "moves": 0}, {"objective": -3.4, "rows": 900, "moves": 3}
    picture = plot.history(SimpleNamespace(history_=HISTORY, starts_=[*records, failed, moved], **ENDED))
    np.testing.assert_allclose(picture.artists["sample"][0].get_ydata(), [0.4, 0.02])
    assert "best of 6 starts on the sample, reached by 2" in picture.text
    assert problems(picture.figure) == []


def test_a_fall_is_hollow_and_rounding_is_no_gain():
    falling = [{"pass": i, "log_likelihood": v} for i, v in enumerate((-3, -2, -2.1, -2), start=1)]
    drawn = plot.history(SimpleNamespace(history_=falling, **ENDED)).artists["passes"]
    np.testing.assert_allclose(drawn[1].get_ydata(), [0.1])
    still = [{"pass": i, "log_likelihood": v} for i, v in enumerate((-3, -3 + 1e-12), start=1)]
    model = SimpleNamespace(history_=still, **ENDED)
    (ax,) = plot.history(model).axes
    assert "nothing was gained" in ax.texts[0].get_text()
    assert not has_gains(model)


def test_kmeans_history_is_the_fall_of_the_inertia():
    history = [{"pass": i, "inertia": v, "log_likelihood": None} for i, v in enumerate((4.0, 3.0, 2.5), start=1)]
    (ax,) = plot.history(SimpleNamespace(history_=history, **ENDED)).axes
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.4, 0.2])
    assert ax.get_ylabel() == "fall of the inertia (share)"


def test_no_history_no_picture_of_it():
    with pytest.raises(ValueError, match="no history"):
        plot.history(SimpleNamespace(**ENDED))


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
    drawn = plot.staircase(model.fit(rng.normal(size=(300, 3)) * [1, 2, 3]))
    assert "iteration" in {ax.get_xlabel() for ax in drawn.axes}


def test_without_a_trace_there_is_no_staircase(rng):
    closed = dem.PPCA(1).fit(rng.normal(size=(50, 3)))
    with pytest.raises(ValueError, match="the history of this PPCA has no bound: fit it by EM"):
        plot.staircase(closed)
