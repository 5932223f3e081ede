import sys
from pathlib import Path

import pytest

from dem.cluster import local_cluster

sys.path.insert(0, str(Path(__file__).parent))  # workers, too, import the kernels of this folder


@pytest.fixture(scope="session")
def cluster():
    """A client of two worker processes."""
    with local_cluster(2) as client:
        yield client
