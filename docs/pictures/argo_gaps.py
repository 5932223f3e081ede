"""Draw argo_gaps.png: the hidden part of an ocean profile, filled in. Run with the path of argo_profiles.zarr."""

import sys

import numpy as np
import xarray as xr

import dem

ds = xr.open_zarr(sys.argv[1])[["temperature", "salinity"]].load()
test = np.arange(ds.sizes["profile"]) % 5 == 0
model = dem.GaussianMixture(1).fit(ds.isel(profile=~test), sample_dims="profile")

measured = ds.isel(profile=test)
upper = measured.where(measured.depth <= 300)  # the model sees only this
filled, sd = model.impute(upper, return_std=True)
hidden = measured.notnull() & upper.isnull()
share = (abs(filled - measured) <= 2 * sd).where(hidden).to_dataarray().mean()

number = 200
picture = dem.plot.filled(model, upper, row=number)
for ax, name in zip(picture.axes, ds, strict=True):
    ax.plot(measured[name][number], ds.depth, "o", color="black", markerfacecolor="none", markersize=6)
    ax.set_ylabel("pressure (dbar)")
picture.axes[0].set_title("circles: measured;\nhidden below 300 dbar", fontsize="medium")
picture.axes[1].set_title(f"{share:.0%} of the hidden values of all\nprofiles are in the band", fontsize="medium")
picture.savefig("argo_gaps.png", dpi=100)
