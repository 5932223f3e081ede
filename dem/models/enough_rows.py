"""The check that there are rows enough for so many components or clusters."""

from __future__ import annotations

import numpy as np

from dem.model import Array


def check_rows(n_rows: int, k: int, name: str = "n_components") -> None:
    """Refuse fewer rows than components (or what `name` counts).

    Raises
    ------
    ValueError
        If there are fewer.
    """
    if n_rows < k:
        raise ValueError(
            f"{n_rows} rows are too few for {name}={k}: Expected n_samples >= {name} but got n_samples = {n_rows}"
        )


def check_distinct(sample: Array, k: int, name: str = "n_components") -> None:
    """Refuse more components (or what `name` counts) than the sample (n, d) has distinct rows.

    Raises
    ------
    ValueError
        If there are more.
    """
    for rows in (sample[: 8 * k], sample):  # the first few nearly always settle it
        distinct = len(np.unique(rows, axis=0))
        if distinct >= k:
            return
    raise ValueError(
        f"{name}={k} is more than the {distinct} distinct rows among {len(sample)} sampled rows of positive weight: "
        "use fewer, or a larger sample_size"
    )
