"""A family of one's own, outside the package: Rayleigh, the length of a vector with two normal components.

log p(x) = log x - 2 log scale - x^2 / (2 scale^2)
"""

import numpy as np

from dem.families import ExponentialFamily


class Rayleigh(ExponentialFamily):
    wants = "numbers > 0"

    def statistics(self, x):
        return (x**2,)

    def natural_parameters(self, theta):
        return -2 * np.log(theta["scale"]), -0.5 / theta["scale"] ** 2

    def from_means(self, *means):
        return {"scale": np.sqrt(np.maximum(means[0], 1e-300) / 2)}

    def sample(self, theta, n, rng):
        return rng.rayleigh(theta["scale"], size=(n, len(theta["scale"])))

    def log_base(self, x):
        return np.log(x).sum(axis=0)

    def outside(self, x):
        return x <= 0
