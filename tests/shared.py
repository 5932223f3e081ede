"""Where real data lie that are no part of the project: $DEM_SHARED/data, or ../shared/data beside the repository."""

import os
from pathlib import Path

DATA = Path(os.environ.get("DEM_SHARED", Path(__file__).parents[2] / "shared")) / "data"
CSV = DATA / "csv"
