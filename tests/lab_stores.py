"""Small made-up stores in the forms that laboratories use, written by zarr alone."""

import warnings

import numpy as np
import zarr


def consolidate(where):
    """Consolidate the metadata of a group, as xarray does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)  # they are no part of Zarr 3 yet
        zarr.consolidate_metadata(where)


def write_profiles(where, n=240):
    """Write profiles as xarray does: temperature and salinity of three water masses, with gaps; return the classes."""
    rng = np.random.default_rng(0)
    which, depth = rng.integers(3, size=n), np.array([10, 50, 100, 300, 700], "f4")
    strength = rng.normal(1, 0.05, size=(n, 1))
    warm = np.array([4, 14, 26])[which, None] * strength * np.exp(-depth / 400)
    salt = np.array([34.0, 35.0, 36.5])[which, None] + 0.3 * strength * np.exp(-depth / 200)
    group = zarr.create_group(where, attributes={"title": "made-up profiles"})

    def write(name, values, *dims, **attributes):
        chunks = tuple(100 if dim == "profile" else len(depth) for dim in dims)
        group.create_array(name, data=values, chunks=chunks, dimension_names=dims, attributes=attributes)

    for name, mean, noise, units in (("temperature", warm, 0.3, "degC"), ("salinity", salt, 0.03, "1e-3")):
        x = (mean + rng.normal(scale=noise, size=mean.shape)).astype("f4")
        x[rng.random(x.shape) < 0.05] = np.nan
        write(name, x, "profile", "depth", units=units, coordinates="latitude longitude time platform")
    write("depth", depth, "depth", units="m")
    write("latitude", rng.uniform(-60, 60, n), "profile", units="degrees_north")
    write("longitude", rng.uniform(0, 360, n), "profile", units="degrees_east")
    write("time", np.arange(n), "profile", units="days since 2020-01-01")
    write("platform", rng.integers(1000, 2000, n), "profile")
    consolidate(where)
    return which


def write_grid(where):
    """Write monthly temperatures on a grid of latitudes and longitudes, with land, as xarray does."""
    rng = np.random.default_rng(1)
    lat, lon, months = np.linspace(-60, 60, 13), np.arange(0.0, 360, 20), 12
    season = np.cos(np.arange(months) * np.pi / 6)[:, None, None] * np.sin(np.radians(lat))[None, :, None]
    sst = 28 * np.cos(np.radians(lat))[None, :, None] - 6 * season + rng.normal(size=(months, 13, 18))
    sst[:, rng.random((13, 18)) < 0.2] = np.nan
    group = zarr.create_group(where)
    sizes = {"month": (np.arange(1, 13), {}), "lat": (lat, {"units": "degrees_north"}), "lon": (lon, {})}
    for name, (values, attributes) in sizes.items():
        group.create_array(name, data=values, dimension_names=(name,), attributes=attributes)
    chunks, dims = (12, 7, 9), ("month", "lat", "lon")
    group.create_array("sst", data=sst, chunks=chunks, dimension_names=dims, attributes={"units": "degC"})
    consolidate(where)


def write_cells(where, n=300, genes=20):
    """Write cells of three types as AnnData does, with a dense X, a sparse layer, and principal components."""
    rng = np.random.default_rng(2)
    which = rng.integers(3, size=n)
    rates = rng.gamma(2, 2, size=(3, genes))
    counts = rng.poisson(rates[which]).astype("f4")
    rows, columns = np.nonzero(counts)
    root = zarr.create_group(where, attributes={"encoding-type": "anndata", "encoding-version": "0.1.0"})
    dense = {"encoding-type": "array", "encoding-version": "0.2.0"}
    root.create_array("X", data=counts, chunks=(100, genes), attributes=dense)
    centred = np.log1p(counts) - np.log1p(counts).mean(0)
    pcs = (centred @ np.linalg.svd(centred, full_matrices=False)[2][:5].T).astype("f4")
    root.create_group("obsm").create_array("X_pca", data=pcs, chunks=(100, 5), attributes=dense)
    marks = {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [n, genes]}
    sparse = root.create_group("layers").create_group("counts", attributes=marks)
    sparse.create_array("data", data=counts[rows, columns])
    sparse.create_array("indices", data=columns.astype("i4"))
    sparse.create_array("indptr", data=np.searchsorted(rows, np.arange(n + 1)).astype("i4"))
    return which


def write_image(where, size=48):
    """Write an image of three channels and two resolutions as OME-Zarr 0.5 does; return the class of each pixel."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:size, :size]
    which = ((y - 20) ** 2 + (x - 24) ** 2 < 150).astype(int) + ((y - 20) ** 2 + (x - 24) ** 2 < 40)
    colours = np.array([[100, 120, 90], [900, 300, 100], [400, 2000, 700]])
    image = rng.poisson(colours[which].transpose(2, 0, 1)).astype("u2")
    axes = [{"name": "c", "type": "channel"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    datasets = [{"path": str(level)} for level in range(2)]
    attributes = {"ome": {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}}
    group = zarr.create_group(where, attributes=attributes)
    for level in range(2):
        part = image[:, :: 2**level, :: 2**level]
        group.create_array(str(level), data=part, chunks=(1, 16, 16))
    return which
