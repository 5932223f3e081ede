"""Draw oil_flow.png: twelve measurements of a pipeline in a plane. Run with the path of oilflow.csv."""

import sys
from pathlib import Path

import numpy as np

import dem

path = Path(sys.argv[1])
x = np.loadtxt(path, delimiter=",", skiprows=1)
regimes = np.loadtxt(path.with_name("oilflow_labels.csv"), dtype=int, skiprows=1)

model = dem.PPCA(2).fit(x)  # it does not see the regimes
picture = dem.plot.latents(model, x, classes=regimes)
picture.artists["legend"].set_title("regime")
picture.savefig("oil_flow.png", dpi=100)
