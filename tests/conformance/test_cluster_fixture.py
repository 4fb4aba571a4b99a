"""The fixture ``cluster``, as users of cluster_kit get it in their tests."""

import subprocess
import sys

import pytest

from cluster_kit.testing.cluster import Cluster

BY_THEMSELVES = ["-p", "no:cacheprovider", "-W", "error"]


def run_pytest(folder, text, *options):
    (folder / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", *BY_THEMSELVES, *options, "test_it.py"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )


def test_start_returns_linked_nodes(cluster):
    one, two, three = cluster.start(3, metadata={"zone": "a"})
    assert sorted(node.name for node in one.nodes()) == sorted([two.local.name, three.local.name])
    assert {node.metadata["zone"] for node in three.nodes()} == {"a"}
    (four,) = cluster.start()
    assert len(one.nodes()) == len(four.nodes()) == 3
    cluster.stop(four)
    assert cluster.nodes == [one, two, three]
    one.wait_for(3, timeout_s=20)


def test_node_can_be_stopped_twice_and_zero_nodes_started(cluster):
    [node] = cluster.start()
    cluster.stop(node)
    cluster.stop(node)
    assert cluster.start(0) == []
    with pytest.raises(ValueError, match="count -1"):
        cluster.start(-1)


def test_two_clusters_do_not_meet():
    with Cluster() as one, Cluster() as other:
        (ann,), (bob,) = one.start(), other.start()
        assert one.port != other.port
        assert one.name != other.name
        assert not ann.nodes(state="known")
        assert not bob.nodes(state="known")


def test_nodes_take_the_topology_that_is_asked_for(cluster):
    nodes = cluster.start(
        3, state="known", topology={"name": "k_regular", "k": 2}, connector="none"
    )
    assert all(len(node.nodes(state="known")) == 2 for node in nodes)


def test_a_failing_test_shows_what_the_nodes_logged(tmp_path):
    text = """
import logging

def test_fails(cluster):
    cluster.start(2)
    logging.getLogger("cluster_kit.mine").warning("something odd")
    assert False

def test_passes(cluster):
    cluster.start()
"""
    run = run_pytest(tmp_path, text)
    assert run.returncode == 1, run.stdout + run.stderr
    assert run.stdout.count("Captured cluster teardown") == 1
    assert "node1@127.0.0.1: NodeUp node2@127.0.0.1" in run.stdout
    assert "-: warning: something odd" in run.stdout


def test_the_plugin_is_there_without_being_asked_and_imports_next_to_nothing(tmp_path):
    text = """
import sys

def test_cheap(request):
    ours = sorted(name for name in sys.modules if name.startswith("cluster_kit"))
    assert ours == [
        "cluster_kit",
        "cluster_kit._version",
        "cluster_kit.testing",
        "cluster_kit.testing.pytest_plugin",
    ]

def test_there(cluster):
    assert cluster.nodes == []
"""
    run = run_pytest(tmp_path, text, "-p", "no:hypothesispytest")
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_plugin_can_be_left_out(tmp_path):
    run = run_pytest(tmp_path, "def test_it(cluster): pass", "-p", "no:cluster_kit")
    assert "fixture 'cluster' not found" in run.stdout


@pytest.mark.parametrize(
    "early", ["import cluster_kit", "import cluster_kit.testing.pytest_plugin"]
)
def test_pytest_starts_where_the_package_was_imported_before(tmp_path, early):
    (tmp_path / "test_it.py").write_text("def test_it(): pass")
    script = (
        f"{early}, pytest, sys; sys.exit(pytest.main(['-W', 'error', '-p', 'no:cacheprovider', "
        "'test_it.py']))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
