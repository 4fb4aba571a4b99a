"""Fixtures that several files share."""

import pytest
from cli_process import Cluster
from topic_nodes import Nodes


@pytest.fixture
def control_folder(monkeypatch, tmp_path):
    """Keep all control sockets of a test in one folder, which may not exist yet, and return it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / "cluster-kit"


@pytest.fixture
def cluster(tmp_path):
    """Return a cluster of processes that is closed to all others."""
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def pki(tmp_path):
    """Return the folder for ``cluster-kit certs``, which it makes itself."""
    return tmp_path / "pki"


@pytest.fixture
def nodes():
    """Return what makes the nodes of one cluster, and stops them all at the end."""
    with Nodes() as nodes:
        yield nodes
