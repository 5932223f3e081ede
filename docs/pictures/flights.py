"""Draw flights.png: delay, distance and hour of flights, a family for each. Run with the path of flights.zarr."""

import sys

import numpy as np
import xarray as xr

import dem
from dem.families import Gamma, StudentT, VonMises

ds = xr.open_zarr(sys.argv[1])
ds["departure"] = ds.departure_hour * (np.pi / 12)  # an angle: midnight is near 11 p.m.
model = dem.Mixture(4, family={0: StudentT(), 1: Gamma(), 2: VonMises()}, random_state=0)
model.fit(ds, sample_dims="flight", variables=["delay", "distance", "departure"])

picture = dem.plot.densities(model, dem.plot.rows(model, ds))
picture.axes[0].set_xlim(-60, 180)
picture.axes[2].set(xlabel="departure (hour)", xticks=np.arange(0, 25, 6) * np.pi / 12, xticklabels=range(0, 25, 6))
picture.savefig("flights.png", dpi=100)
