"""Draw old_faithful.png: the eruptions of Old Faithful, which come with dem."""

from pathlib import Path

import numpy as np
import zarr

import dem

store = zarr.open_array(Path(dem.__file__).parent / "cli" / "data" / "old_faithful.zarr", mode="r")
# The start uses only 25 rows, so that the fit needs some passes that can be shown.
model = dem.GaussianMixture(2, tol=1e-6, n_init=1, sample_size=25, random_state=0).fit(store)
dem.plot.figure(model, np.asarray(store[...]), labels=store.attrs["labels"]).savefig("old_faithful.png", dpi=100)
