"""Draw staircase.png: the steps of EM from a start with two almost equal components."""

import numpy as np

import dem

rng = np.random.default_rng(0)
x = np.concatenate([rng.normal(-2, 1, (400, 2)), rng.normal(2, 1, (200, 2))])
model = dem.GaussianMixture(
    2,
    weights_init=[0.5, 0.5],
    means_init=np.add(x.mean(axis=0), [[-0.6, -0.2], [0.6, 0.2]]),
    precisions_init=np.repeat(np.linalg.inv(np.cov(x.T))[None], 2, axis=0),
    tol=1e-3,
).fit(x)
dem.plot.staircase(model).savefig("staircase.png", dpi=100)
