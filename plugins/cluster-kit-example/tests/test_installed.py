"""Installed beside cluster_kit, the plugin works as its README says."""

import logging
import re
import subprocess
import sys
from pathlib import Path

from cluster_kit import Supervisor, load_config

README = Path(__file__).parents[1] / "README.md"


def configuration(tmp_path: Path, name: str) -> Path:
    """Write the README's configuration, for a directory and a name of ours."""
    text = re.search(r"^```yaml\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)[1]
    nodes = tmp_path / "nodes"
    nodes.mkdir(exist_ok=True)
    path = tmp_path / f"{name}.yaml"
    path.write_text(
        text.replace("/var/lib/shop/nodes", str(nodes)).replace(
            "web@127.0.0.1", f"{name}@127.0.0.1"
        )
    )
    return path


def test_configuration_of_the_readme_loads(tmp_path):
    Supervisor.from_file(configuration(tmp_path, "ann"))


def test_two_nodes_meet_in_the_directory(tmp_path, caplog):
    caplog.set_level(logging.INFO, "cluster_kit_example")
    with (
        Supervisor.from_file(configuration(tmp_path, "ann")) as ann,
        Supervisor.from_file(configuration(tmp_path, "bob")) as bob,
    ):
        ann.wait_for(2, timeout_s=30)
        bob.wait_for(2, timeout_s=30)
        assert [node.name for node in ann.nodes()] == ["bob@127.0.0.1"]
        assert [node.name for node in bob.nodes()] == ["ann@127.0.0.1"]
    assert any("bob@127.0.0.1 joined" in message for message in caplog.messages)


def test_ready_made_topology_can_be_used(tmp_path):
    config = {
        "topologies": {
            "lan": {"use": "directory", "config": {"path": str(tmp_path)}, "connect_timeout_s": 3}
        }
    }
    lan = load_config(config).topologies["lan"]
    assert [strategy.name for strategy in lan.strategies] == ["directory"]
    assert lan.connect_timeout_s == 3


def test_command_lists_the_nodes_of_a_directory(tmp_path):
    (tmp_path / "ann@127.0.0.1.node").touch()
    command = Path(sys.executable).with_name("cluster-kit")
    done = subprocess.run(
        [command, "directory", tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout == "ann@127.0.0.1\n"
