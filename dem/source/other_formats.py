"""Files of formats that dem does not read: one sentence says how to convert them."""

from __future__ import annotations

from pathlib import PurePosixPath

WAYS = {
    (".csv", ".csv.gz", ".tsv", ".txt"): (
        "a text file, not a Zarr array: convert it to Parquet with Dask: "
        "import dask.dataframe as dd; dd.read_csv({path!r}).to_parquet({stem!r})",
        ".parquet",
    ),
    (".nc", ".nc4", ".cdf"): (
        "a NetCDF file, not a Zarr array: in Python, pass xarray.open_dataset({path!r}, chunks={{}}); or convert it: "
        "import xarray as xr; xr.open_dataset({path!r}).to_zarr({stem!r})",
        ".zarr",
    ),
    (".h5", ".hdf5", ".hdf", ".h5ad"): (
        "an HDF5 file, not a Zarr array: convert one of its arrays (here 'X') with h5py and Dask: "
        "import h5py, dask.array as da; da.from_array(h5py.File({path!r})['X']).to_zarr({stem!r})",
        ".zarr",
    ),
    (".npy",): (
        "a NumPy file, not a Zarr array: convert it with Dask: "
        "import numpy as np, dask.array as da; da.from_array(np.load({path!r}, mmap_mode='r')).to_zarr({stem!r})",
        ".zarr",
    ),
}
"""For the endings of each format: how to convert it, and the ending of the converted data."""


def how_to_convert(path: str) -> str | None:
    """Return what a file is and how to convert it, by its ending; None for other endings."""
    for endings, (words, ending) in WAYS.items():
        for found in sorted(endings, key=len, reverse=True):
            if path.lower().endswith(found):
                converted = path[: len(path) - len(found)] + ending
                return f"{PurePosixPath(path).name} is {words.format(path=path, stem=converted)}"
    return None
