"""The drawings of `dem.plot` on one pair of axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.patches import Ellipse
from matplotlib.ticker import MaxNLocator
from scipy.spatial.distance import cdist

from dem.core import human
from dem.core.block import Float
from dem.estimators import summary
from dem.source.in_memory import open_memory

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A4B00", "#5D3FD3")
"""Colours that colour-blind readers can distinguish too, after Okabe and Ito."""

PIXELS = 400
MANY_ROWS = 5000
"""Most rows drawn as points; more would hide one another, so a histogram is drawn."""


def draw_ellipses(ax: Axes, model: Any, x: Float | None, columns: tuple[int, int], names: list[str]) -> None:
    """Draw rows and the components' ellipses of 1 and 2 sigma in two columns; larger weights have wider lines."""
    pair = list(columns)
    means = np.asarray(model.means_, dtype=np.float64)[:, pair]
    covariances = summary.covariances_among(model, pair)
    sds = np.sqrt(np.einsum("kii->ki", covariances))
    if x is None:
        low, high = (means - 2.5 * sds).min(axis=0), (means + 2.5 * sds).max(axis=0)
    else:
        x = finite_rows(x[:, pair])
        low, high = axis_limits(x)
        draw_rows(ax, x, low, high)
    for k in range(len(means)):
        colour, width = _style(model.weights_, k)
        values, vectors = np.linalg.eigh(covariances[k])
        angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
        for sigmas, alpha in ((1, 1.0), (2, 0.55)):
            short, long = 2 * sigmas * np.sqrt(np.maximum(values, 0))
            ellipse = Ellipse((means[k, 0], means[k, 1]), long, short, angle=angle, fill=False)
            ellipse.set(edgecolor=colour, linewidth=width, alpha=alpha)
            ax.add_patch(ellipse)
        ax.plot(*means[k], "+", color=colour, markersize=9, markeredgewidth=width)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel=names[pair[0]], ylabel=names[pair[1]])
    _legend(ax, model.weights_)


def draw_regions(ax: Axes, model: Any, x: Float | None, columns: tuple[int, int], names: list[str]) -> None:
    """Draw rows, centres, and the clusters' regions with their borders, in two columns."""
    pair = list(columns)
    centers = np.asarray(model.cluster_centers_, dtype=np.float64)
    if x is None:
        low, high = axis_limits(np.concatenate([centers[:, pair], centers[:, pair].mean(axis=0, keepdims=True)]))
        low, high = low - 0.3 * (high - low), high + 0.3 * (high - low)
    else:
        x = finite_rows(x[:, pair])
        low, high = axis_limits(x)
    across, up = np.meshgrid(*(np.linspace(a, b, PIXELS) for a, b in zip(low, high, strict=True)))
    plane = np.tile(centers.mean(axis=0), (across.size, 1))
    plane[:, pair] = np.column_stack([across.ravel(), up.ravel()])
    unit = summary.shared_units(model, centers.shape[1])  # distances are those of scaled columns
    region = cdist(plane / unit, centers / unit, "sqeuclidean").argmin(axis=1).reshape(across.shape)
    colours = [PALETTE[k % len(PALETTE)] for k in range(len(centers))]
    extent = (low[0], high[0], low[1], high[1])
    ax.imshow(region, origin="lower", extent=extent, aspect="auto", alpha=0.22, vmin=-0.5, vmax=len(centers) - 0.5,
              cmap=ListedColormap(colours), interpolation="nearest")  # fmt: skip
    if x is not None:
        draw_rows(ax, x, low, high)
    for k in np.unique(region) if region.min() < region.max() else ():
        ax.contour(across, up, region == k, levels=[0.5], colors="0.15", linewidths=0.9)
    ax.scatter(centers[:, pair[0]], centers[:, pair[1]], c=colours, s=70, edgecolors="black", linewidths=1.1, zorder=3)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel=names[pair[0]], ylabel=names[pair[1]])
    ax.set_title(f"{human.plural(len(centers), 'cluster')}: centres and borders", fontsize="medium")


def draw_densities(ax: Axes, model: Any, x: Float | None, name: str) -> None:
    """Draw the histogram of a single column, the components' densities and their sum."""
    mean, variance = model.means_[:, 0], summary.covariances_among(model, [0])[:, 0, 0]
    sd = np.sqrt(variance)
    if x is None:
        low, high = (mean - 3.5 * sd).min(), (mean + 3.5 * sd).max()
    else:
        x = finite_rows(x)
        (low,), (high,) = axis_limits(x)
        ax.hist(x[:, 0], bins=_bins(x[:, 0], low, high), density=True, color="0.85", label="data")
    t = np.linspace(low, high, 800)
    z = (t - mean[:, None]) / sd[:, None]
    densities = model.weights_[:, None] * np.exp(-0.5 * z * z) / (sd[:, None] * np.sqrt(2 * np.pi))
    for k, density in enumerate(densities):
        colour, width = _style(model.weights_, k)
        ax.plot(t, density, color=colour, linewidth=width)
    ax.plot(t, densities.sum(axis=0), color="black", linewidth=1.2, linestyle="--", label="mixture")
    ax.set(xlim=(low, high), ylim=(0, None), xlabel=name, ylabel="density")
    _legend(ax, model.weights_)


def draw_history(ax: Axes, model: Any) -> None:
    """Draw the log-likelihood after each pass (for variational models: the bound; for K-means: the inertia)."""
    passes = [entry["pass"] for entry in model.history_]
    name, unit, values = summary.objective_history(model)
    ax.plot(passes, values, "o-", color=PALETTE[0], markersize=5)
    ax.set(xlabel=summary.history_unit(model), ylabel=f"mean {name} ({unit})" if unit else name)
    ax.set_title(f"{summary.why_stopped(model)}\n{summary.iterations_and_passes(model)}", fontsize="medium")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.ticklabel_format(axis="y", useOffset=False, style="plain")
    if len(passes) == 1:
        ax.set_xlim(0, 2)
    ax.grid(color="0.92")
    ax.set_axisbelow(True)


def draw_spectrum(ax: Axes, model: Any) -> None:
    """Draw the variances along the components of a PPCA, and the noise variance of all other directions."""
    variance = np.asarray(model.explained_variance_, dtype=np.float64)
    noise = float(model.noise_variance_)
    number = np.arange(1, len(variance) + 1)
    levels = variance[variance > 0]
    if noise > 0:
        levels = np.append(levels, noise)
    if len(levels) and levels.max() > 300 * levels.min():
        ax.set_yscale("log")
    ax.plot(number, variance, "o-", color=PALETTE[0], label="components")
    if noise > 0:
        ax.axhline(noise, color=PALETTE[1], linestyle="--", label="noise variance")
    ax.set(
        xlabel="component", ylabel=f"variance along it{summary.in_scaled_units(model)}", xlim=(0.5, len(variance) + 0.5)
    )
    if len(variance) <= 12:
        ax.set_xticks(number)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    share = float(np.sum(model.explained_variance_ratio_))
    what = "1 component explains" if len(variance) == 1 else f"{len(variance)} components explain"
    ax.set_title(f"{what} {share:.1%} of the variance", fontsize="medium")
    ax.legend(frameon=False)
    ax.grid(color="0.92")
    ax.set_axisbelow(True)


def draw_loadings(ax: Axes, model: Any, names: Sequence[str]) -> None:
    """Draw the correlations between columns and factors of a factor analysis as an image."""
    loadings = summary.correlations(model)
    d, q = loadings.shape
    shown = ax.imshow(loadings, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    ax.figure.colorbar(shown, ax=ax, label="correlation")
    ax.set(xlabel="factor", ylabel="column")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if q <= 12:
        ax.set_xticks(range(q), [str(i + 1) for i in range(q)])
    if d <= 30:
        ax.set_yticks(range(d), list(names))
        ax.set_ylabel("")
    share = float((loadings**2).sum() / d)
    what = "1 factor explains" if q == 1 else f"{q} factors explain"
    ax.set_title(f"{what} {share:.1%} of the columns' variances", fontsize="medium")


def draw_latents(ax: Axes, model: Any, x: Float, columns: tuple[int, int]) -> None:
    """Draw rows in the latent space of a linear latent model."""
    rows: Any = x
    if hasattr(model, "feature_names_in_"):  # scikit-learn warns of rows without the names
        rows = replace(open_memory(np.asarray(x)), given_columns=model.columns_)
    z = np.asarray(model.transform(rows), dtype=np.float64)
    if z.shape[1] == 1:
        (low,), (high,) = axis_limits(z)
        ax.hist(z[:, 0], bins=_bins(z[:, 0], low, high), color=PALETTE[5])
        ax.set(xlabel="latent 1", ylabel="rows")
    else:
        check_columns(columns, z.shape[1], "latents")
        z = z[:, list(columns)]
        low, high = axis_limits(z)
        draw_rows(ax, z, low, high, PALETTE[0])
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        ax.set(xlabel=f"latent {columns[0] + 1}", ylabel=f"latent {columns[1] + 1}")
    ax.set_title("posterior means of the latents", fontsize="medium")


def draw_rows(ax: Axes, x: Float, low: Float, high: Float, colour: str = "0.55") -> None:
    """Draw rows as points; more than `MANY_ROWS` as a two-dimensional histogram."""
    if len(x) <= MANY_ROWS:
        alpha = float(np.clip(400 / len(x), 0.25, 0.9))
        ax.plot(x[:, 0], x[:, 1], ".", color=colour, markersize=5, alpha=alpha, markeredgewidth=0)
        return
    bins = int(np.clip(len(x) ** 0.5 / 2, 60, 160))
    counts, *edges = np.histogram2d(x[:, 0], x[:, 1], bins=bins, range=[[low[0], high[0]], [low[1], high[1]]])
    shown = np.where(counts > 0, counts, np.nan).T
    norm = LogNorm(vmin=0.3, vmax=max(3.0, float(counts.max()) * 2))  # lines stay readable on the darkest cell
    ax.pcolormesh(edges[0], edges[1], shown, cmap="Greys", norm=norm, linewidth=0, rasterized=True)


def _bins(x: Float, low: float, high: float) -> list[float]:
    """Return the edges of a histogram: 10 to 150 bins by the rule of Freedman and Diaconis."""
    inside = x[(x >= low) & (x <= high)]
    n = len(np.histogram_bin_edges(inside, "fd", (low, high))) - 1 if len(inside) < 10**6 else 150
    edges: list[float] = np.linspace(low, high, int(np.clip(n, 10, 150)) + 1).tolist()
    return edges


def finite_rows(x: Float) -> Float:
    """Return the rows without NaN and infinities."""
    finite = x[np.isfinite(x).all(axis=1)]
    if not len(finite):
        raise ValueError("There is no row to draw: all rows have NaN or infinite values.")
    return finite


def axis_limits(x: Float) -> tuple[Float, Float]:
    """Return the range to draw; from 1000 rows on it ignores 0.1 % of the rows at each end, such as outliers."""
    extremes = (0.0, 1.0) if len(x) < 1000 else (0.001, 0.999)
    low, high = np.quantile(x, extremes, axis=0)
    margin = 0.06 * (high - low)
    margin[margin == 0] = 0.5  # a constant column
    return low - margin, high + margin


def _style(weights: Float, k: int) -> tuple[str, float]:
    """Return a component's colour and line width; if there are more components than colours, all have one colour."""
    colour = PALETTE[k] if len(weights) <= len(PALETTE) else PALETTE[0]
    return colour, 0.9 + 1.3 * float(weights[k] / np.max(weights))


def _legend(ax: Axes, weights: Float) -> None:
    """Write the weights above the axes, where they hide no data."""
    if len(weights) > len(PALETTE):
        ax.set_title(f"{len(weights)} components: 1 and 2 sigma; lines by weight", fontsize="medium")
        return
    for k, weight in enumerate(weights):
        ax.plot([], [], color=PALETTE[k], linewidth=2.5, label=f"{weight:.1%}")
    ax.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=min(5, len(weights) + 2),
        frameon=False,
        handlelength=1.2,
        columnspacing=1.2,
    )


def check_columns(columns: Sequence[int], n: int, what: str) -> None:
    """Refuse anything other than two different columns that exist; the only one of a single column is (0, 0)."""
    if len(columns) != 2 or not all(0 <= c < n for c in columns) or len(set(columns)) < min(2, n):
        raise ValueError(f"columns must be two of the {n} {what}, numbered from 0, got {tuple(columns)}.")
