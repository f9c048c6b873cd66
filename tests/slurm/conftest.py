import pytest
from cluster import Cluster, missing


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A SLURM of two nodes, running."""
    if missing():
        pytest.skip("no SLURM: tests/slurm/install.sh installs it")
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "slurm":
            item.add_marker(pytest.mark.slurm)
