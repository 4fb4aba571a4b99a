"""Real nodes link although one configuration spells a host otherwise than the other one does."""

import json

import pytest
from cli_process import cluster_kit
from epmd_server import EpmdServer, free_port

pytestmark = pytest.mark.once

SPELLINGS = [
    ("localhost", "LocalHost"),
    ("LOCALHOST", "localhost."),
    ("::1", "0:0:0:0:0:0:0:1"),
    ("::ffff:127.0.0.1", "127.0.0.1"),
]


def topology(nodes, port):
    connector = {"name": "tcp", "port": port}
    return {"lan": {"strategy": "static", "config": {"nodes": nodes}, "connector": connector}}


@pytest.mark.parametrize(("own", "listed"), SPELLINGS)
def test_node_is_linked_and_found_by_doctor_and_status_in_either_spelling(cluster, own, listed):
    port = free_port()
    basename = cluster.name  # status sees the nodes of other test runs, too
    served = cluster.run(f"{basename}@{own}", file=cluster.write("a.yaml", topology([], port)))
    served.wait_for("ready")
    address = f"[{listed}]:{port}" if ":" in listed else f"{listed}:{port}"
    file = cluster.write("b.yaml", topology([f"{basename}@{address}"], 0), node=f"b@{own}")
    doctor = cluster_kit("doctor", file, "--wait", "5")
    assert doctor.returncode == 0, doctor.stdout
    peer = cluster.run(f"b@{own}", file=file)
    canonical = peer.wait_for("node_up")["node"]
    assert served.wait_for("node_up")["node"].startswith("b@")
    status = cluster_kit("status", f"{basename}@{listed}", "--json")
    assert json.loads(status.stdout)["node"] == canonical


def test_nodes_meet_by_an_erlang_host_file_in_mixed_case(cluster, require, monkeypatch):
    require("epmd")
    hosts = cluster.folder / ".hosts.erlang"
    hosts.write_text("'LocalHost'.\n")
    file = cluster.write(
        "c.yaml", {"lan": {"strategy": "erlang_hosts", "config": {"path": str(hosts)}}}
    )
    with EpmdServer() as server:
        monkeypatch.setenv("ERL_EPMD_PORT", str(server.port))
        a, b = (cluster.run(f"{name}@localhost", file=file) for name in "ab")
        a.wait_for("node_up", node="b@localhost")
        b.wait_for("node_up", node="a@localhost")
