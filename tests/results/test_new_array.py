"""Where a new array stands, when its place is a link."""

import os

import numpy as np
import pytest
import zarr

from dem.results.axes import Axis
from dem.results.new_array import new_output
from dem.results.output_plan import ArrayPlan, OutputPlan
from dem.source import open_source
from dem.source.variables import RESULT_MARK

PLAN = OutputPlan((ArrayPlan("label", (Axis(4, "row"),), (4,), "|i1"),))


@pytest.mark.parametrize("there", [False, True])
def test_a_link_stays_a_link(there, tmp_path):
    source = open_source(np.ones((4, 2)))
    (tmp_path / "link.zarr").symlink_to(tmp_path / "real" / "labels.zarr")
    for place in ["real/labels.zarr", "link.zarr"] if there else ["link.zarr"]:
        with new_output(tmp_path / place, source, PLAN, {RESULT_MARK: "rows"}, overwrite=there) as targets:
            targets[0].array[:] = 7
    assert (tmp_path / "link.zarr").is_symlink()
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "link.zarr")[:], 7)
    assert os.listdir(tmp_path / "real") == ["labels.zarr"]
