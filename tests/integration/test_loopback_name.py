"""A node whose name is loopback, as Debian's /etc/hosts has it: it and the doctor warn."""

import json
import signal
import subprocess

import pytest
from cli_process import COMMAND, Process

pytestmark = pytest.mark.once

HOSTS = "127.0.0.1 localhost\n127.0.1.1 myhost.example myhost\n192.0.2.9 far.example\n"
CAUSE = (
    "other machines can't reach this address: use one that they can reach in the node's name, or "
    "correct /etc/hosts"
)


@pytest.fixture
def command(tmp_path):
    """Return a function that makes a command run with a hosts file of its own."""
    (tmp_path / "hosts").write_text(HOSTS)
    script = 'mount --bind "$0" /etc/hosts && exec "$@"'
    place = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        script,
        tmp_path / "hosts",
    ]
    try:
        subprocess.run([*place, "true"], check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.CalledProcessError) as exc:
        pytest.skip(f"no mount namespaces: {exc}")

    def command(*arguments, nodes=("127.0.0.1:9",), **connector):
        path = tmp_path / "cluster.yaml"
        connector = {"name": "tcp", **connector}
        topology = {"strategy": "static", "config": {"nodes": nodes}, "connector": connector}
        config = {"node": "web@myhost.example", "insecure": True, "topologies": {"web": topology}}
        path.write_text(json.dumps(config))
        return [*place, COMMAND, *arguments, path]

    return command


def test_a_node_that_runs_warns(command):
    node = Process(*command("run"))
    try:
        told = "others are told to dial myhost.example:"
        node.until(
            lambda: any(told in line and CAUSE in line for line in node.errors), "the warning"
        )
        node.until_printed("web: ready at myhost.example:")
        node.signal(signal.SIGTERM)
        assert node.wait() == 0
    finally:
        node.end()


def test_a_node_that_listens_everywhere_does_not_warn(command):
    node = Process(*command("run", host="0.0.0.0"))
    try:
        node.until(lambda: any("make sure" in line for line in node.errors), "the hint")
        assert not any(CAUSE in line for line in node.errors)
    finally:
        node.end()


@pytest.mark.parametrize(
    ("nodes", "verdict"),
    [
        (["127.0.0.1:9"], "sick: 1 of 1 node cannot be linked to"),
        (["far.example:9"], "sick: connector: where this node serves: myhost.example is 127.0.1.1"),
        (["nobody.invalid:9"], "sick: static: address of 'nobody.invalid'"),
    ],
)
def test_the_doctor_reports_it(command, nodes, verdict):
    options = {"capture_output": True, "text": True, "timeout": 90}
    done = subprocess.run(command("doctor", nodes=nodes), **options)
    assert (
        "where this node serves: myhost.example is 127.0.1.1, on this machine only" in done.stdout
    )
    assert ("are on other machines" in done.stdout) is (nodes == ["far.example:9"])
    assert verdict in done.stdout
    assert "call failed" not in done.stdout


@pytest.mark.parametrize(
    ("connector", "warns"),
    [
        ({"host": "0.0.0.0"}, True),
        ({"host": "0.0.0.0", "advertise": "far.example"}, False),
        ({"host": "0.0.0.0", "advertise": "myhost"}, True),
    ],
)
def test_the_doctor_reports_a_node_that_listens_everywhere_as_well(command, connector, warns):
    done = subprocess.run(
        command("doctor", **connector), capture_output=True, text=True, timeout=90
    )
    told = "where this node serves: others are told to dial myhost"
    assert (told in done.stdout) is warns
    assert (
        "make sure that it resolves to another address on other machines, or set advertise"
        in done.stdout
    ) is warns
