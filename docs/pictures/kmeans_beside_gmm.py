"""Draw kmeans_beside_gmm.png: K-means' hard borders beside a mixture's participation weights."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import dem

NAMES = ["x", "y"]


def rows(seed: int = 7) -> np.ndarray:
    """Return 900 rows (900, 2): a wide round cluster, a small one close by, and a long slanted one."""
    rng = np.random.default_rng(seed)
    wide = rng.normal(size=(450, 2)) * 1.25
    small = rng.normal(size=(150, 2)) * 0.28 + [1.9, 1.3]
    turn = np.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]])
    long = rng.normal(size=(300, 2)) * [2.0, 0.25] @ turn.T + [1.2, -2.3]
    return np.concatenate([wide, small, long])


def draw(x: np.ndarray) -> Figure:
    """Return the picture: both models side by side, on the same rows."""
    km = dem.KMeans(3).fit(x)
    gm = dem.GaussianMixture.from_kmeans(km, tol=1e-6, max_iter=500).fit(x)
    fig = Figure(figsize=(11.6, 4.4), layout="constrained")
    hard, soft = fig.subplots(1, 2)
    dem.plot.kmeans(km, x, labels=NAMES, ax=hard)
    dem.plot.mixture(gm, x, labels=NAMES, ax=soft)
    hard.set_title("K-means: each row belongs to one cluster", fontsize="medium")
    soft.set_title("Gaussian mixture: rows take part in all components", fontsize="medium")
    (left, right), (bottom, top) = hard.get_xlim(), hard.get_ylim()
    grid = np.stack(np.meshgrid(np.linspace(left, right, 400), np.linspace(bottom, top, 400)), axis=-1)
    colours = np.array([to_rgb(dem.plot.style(k).colour) for k in range(3)])
    shares = gm.predict_proba(grid.reshape(-1, 2)).reshape(400, 400, 3)
    soft.imshow(shares @ colours, origin="lower", extent=(left, right, bottom, top), alpha=0.24, zorder=0)
    for ax in (hard, soft):
        ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    return fig


if __name__ == "__main__":
    draw(rows()).savefig("kmeans_beside_gmm.png", dpi=80)
