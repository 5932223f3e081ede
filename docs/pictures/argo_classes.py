"""Draw argo_profiles.png and argo_map.png: classes of ocean profiles. Run with the path of argo_profiles.zarr."""

import sys

import dem

store = sys.argv[1]
model = dem.GaussianMixture(8, covariance_type="diag", random_state=0)
model.fit(store, sample_dims="profile", variables=["temperature", "salinity"])
rows = dem.plot.rows(model, store)  # the profiles with their coordinates

picture = dem.plot.profiles(model, rows)
for ax in picture.axes:
    ax.set_ylabel("pressure (dbar)")
picture.savefig("argo_profiles.png", dpi=100)
dem.plot.class_map(model, rows).savefig("argo_map.png", dpi=100)
