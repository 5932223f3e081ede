import pytest

from dem.engine.cluster import local_cluster


@pytest.fixture(scope="session")
def cluster():
    """A client of two worker processes."""
    with local_cluster(2) as client:
        yield client
