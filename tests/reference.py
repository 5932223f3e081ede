"""Gaussian mixtures in long double (x86: 64 bits of mantissa), straight from the textbook.

Nothing of dem is used here. Covariances are dense, (K, d, d), whatever the family.
"""

import numpy as np

LONG = np.longdouble
PI = LONG("3.14159265358979323846264338327950288")
LOG_2PI = np.log(2 * PI)


def cholesky(matrix):
    """Return L with `matrix` = L L'."""
    a = np.asarray(matrix, LONG)
    lower = np.zeros_like(a)
    for j in range(len(a)):
        pivot = a[j, j] - (lower[j, :j] ** 2).sum()
        if not pivot > 0:
            raise np.linalg.LinAlgError("not positive definite")
        lower[j, j] = np.sqrt(pivot)
        lower[j + 1 :, j] = (a[j + 1 :, j] - lower[j + 1 :, :j] @ lower[j, :j]) / lower[j, j]
    return lower


def solve_lower(lower, b):
    """Return inv(L) b by forward substitution."""
    z = np.zeros(b.shape, LONG)
    for i in range(len(lower)):
        z[i] = (b[i] - lower[i, :i] @ z[:i]) / lower[i, i]
    return z


def dense(covariances, covariance_type, k, d):
    """Return the covariances as (K, d, d)."""
    c = np.asarray(covariances, LONG)
    eye = np.eye(d, dtype=LONG)
    return {
        "full": lambda: c,
        "tied": lambda: np.repeat(c[None], k, axis=0),
        "diag": lambda: c[:, :, None] * eye,
        "spherical": lambda: c[:, None, None] * eye,
    }[covariance_type]()


def log_densities(x, means, covariances):
    """Return log N(x | mu_k, C_k), of shape (K, n)."""
    rows = np.asarray(x).astype(LONG)
    out = []
    for mean, covariance in zip(np.asarray(means, LONG), covariances, strict=True):
        lower = cholesky(covariance)
        z = solve_lower(lower, (rows - mean).T)
        out.append(-(z**2).sum(axis=0) / 2 - np.log(np.diag(lower)).sum() - len(mean) * LOG_2PI / 2)
    return np.array(out)


def e_step(x, weights, means, covariances):
    """Return each row's log-likelihood (n,) and the responsibilities (K, n)."""
    with np.errstate(divide="ignore"):
        joint = log_densities(x, means, covariances) + np.log(np.asarray(weights, LONG))[:, None]
    largest = joint.max(axis=0)
    total = largest + np.log(np.exp(joint - largest).sum(axis=0))
    return total, np.exp(joint - total)


def m_step(x, resp, covariance_type, row_weights=None):
    """Return the weights, means and covariances (in the shape of their type) that follow."""
    rows = np.asarray(x).astype(LONG)
    r = resp if row_weights is None else resp * np.asarray(row_weights, LONG)
    counts = r.sum(axis=1)
    # About float64 centres near the means, so that no difference is rounded, whatever the offset.
    centres = (r @ rows / counts[:, None]).astype(np.float64).astype(LONG)
    offsets = np.array([rk @ (rows - c) for c, rk in zip(centres, r, strict=True)]) / counts[:, None]
    centred = [rows - c - o for c, o in zip(centres, offsets, strict=True)]
    scatters = np.array([(y * rk[:, None]).T @ y for y, rk in zip(centred, r, strict=True)])
    means = centres + offsets
    full = scatters / counts[:, None, None]
    diagonal = np.einsum("kii->ki", full)
    covariances = {
        "full": lambda: full,
        "tied": lambda: scatters.sum(axis=0) / counts.sum(),
        "diag": lambda: diagonal,
        "spherical": lambda: diagonal.mean(axis=1),
    }[covariance_type]()
    return counts / counts.sum(), means, covariances


def relative_error(found, expected):
    """Return the largest error relative to max(1, |expected|), entry by entry."""
    expected = np.asarray(expected, LONG)
    return float((np.abs(np.asarray(found, LONG) - expected) / np.maximum(1, np.abs(expected))).max())


def conditional(row, mean, covariance):
    """Return of a row with missing values (NaN) log N(x_o | mu_o, S_oo), the residual filled in, and cov[x_m | x_o].

    The covariance is (d, d), 0 outside the missing columns.
    """
    x, mean, covariance = (np.asarray(a, LONG) for a in (row, mean, covariance))
    missing = np.isnan(x)
    o, m = np.flatnonzero(~missing), np.flatnonzero(missing)
    lower = cholesky(covariance[np.ix_(o, o)])
    residual, spread = np.zeros(len(x), LONG), np.zeros(covariance.shape, LONG)
    residual[o] = x[o] - mean[o]
    z = solve_lower(lower, residual[o])
    across = solve_lower(lower, covariance[np.ix_(o, m)])
    residual[m] = across.T @ z
    spread[np.ix_(m, m)] = covariance[np.ix_(m, m)] - across.T @ across
    log_density = -(z**2).sum() / 2 - np.log(np.diag(lower)).sum() - len(o) * LOG_2PI / 2
    return log_density, residual, spread


def conditionals(x, means, covariances):
    """Return the same of all rows (n, d) and components: (K, n), (K, n, d) and (K, n, d, d)."""
    found = [[conditional(row, m, c) for row in x] for m, c in zip(means, covariances, strict=True)]
    return tuple(np.array([[one[i] for one in rows] for rows in found]) for i in range(3))


def completed_sums(resp, log_densities, residuals, spreads):
    """Return sums (F, K) of completed rows about the means, and of r times the entropy of what is missing.

    The entropy of a Gaussian is told by the covariance alone.
    """
    d = residuals.shape[2]
    row, column = np.triu_indices(d)
    products = residuals[..., row] * residuals[..., column] + spreads[..., row, column]
    entropies = np.zeros(resp.shape, LONG)
    for k, n in np.ndindex(resp.shape):
        m = np.flatnonzero(np.diag(spreads[k, n]) > 0)
        lower = cholesky(spreads[k, n][np.ix_(m, m)])
        entropies[k, n] = len(m) * (1 + LOG_2PI) / 2 + np.log(np.diag(lower)).sum()
    terms = [np.ones((*resp.shape, 1), LONG), residuals, products, entropies[..., None]]
    return np.einsum("kn,knf->fk", resp, np.concatenate(terms, axis=2))
