"""What several tests share: where real data lie that are no part of the project, and a mark."""

import os
from pathlib import Path

import pytest

# $DEM_SHARED/data, or ../shared/data beside the repository.
DATA = Path(os.environ.get("DEM_SHARED", Path(__file__).parents[2] / "shared")) / "data"
CSV = DATA / "csv"

UNLIKE_SPREADS = pytest.mark.filterwarnings("ignore:.*differ in spread by a factor")
ENDS_AT_MAX_ITER = pytest.mark.filterwarnings("ignore:.*stopped at max_iter:sklearn.exceptions.ConvergenceWarning")
"""Of tests whose fits end there on purpose."""
