"""Real nodes link although one configuration spells the host of another otherwise than that one does."""

import json

import pytest
from cli_process import Cluster, cluster_kit
from epmd_server import free_port

SPELLINGS = [
    ("a@localhost", "a@LocalHost:{port}"),
    ("a@LOCALHOST", "a@localhost.:{port}"),
    ("a@::1", "a@[0:0:0:0:0:0:0:1]:{port}"),
    ("a@::ffff:127.0.0.1", "a@127.0.0.1:{port}"),
]


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path) as cluster:
        yield cluster


def topology(nodes, port):
    connector = {"name": "tcp", "port": port}
    return {"lan": {"strategy": "static", "config": {"nodes": nodes}, "connector": connector}}


@pytest.mark.parametrize(("name", "listed"), SPELLINGS)
def test_node_is_linked_and_found_by_doctor_and_status_in_either_spelling(cluster, name, listed):
    port = free_port()
    listed = listed.format(port=port)
    served = cluster.run(name, file=cluster.write("a.yaml", topology([], port)))
    served.wait_for("ready")
    file = cluster.write("b.yaml", topology([listed], 0), node=f"b@{name.partition('@')[2]}")
    doctor = cluster_kit("doctor", file, "--wait", "5")
    assert doctor.returncode == 0, doctor.stdout
    peer = cluster.run(f"b@{name.partition('@')[2]}", file=file)
    canonical = peer.wait_for("node_up")["node"]
    assert served.wait_for("node_up")["node"].startswith("b@")
    status = cluster_kit("status", listed.rpartition(":")[0].replace("[", "").replace("]", ""), "--json")
    assert json.loads(status.stdout)["node"] == canonical
