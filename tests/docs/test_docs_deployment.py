"""The recipes for deployment match each other, the command line and ``cluster-kit manifest``."""

import configparser
import json
import os
import re
import subprocess
import tomllib
from shutil import which

import pytest
import yaml
from cli_process import COMMAND
from click.testing import CliRunner
from docs_pages import PAGES, ROOT, texts

from cluster_kit.cli import main
from cluster_kit.strategies.epmd import options as epmd
from cluster_kit.strategies.gossip import GossipStrategy
from cluster_kit.strategies.gossip import options as gossip
from cluster_kit.strategies.mdns import sockets as mdns

PAGE = "docs/deployment.md"
[UNIT] = texts(PAGE, "ini")
[PREPARE, START] = texts(PAGE, "console")[:2]
[FILE] = [text for text in texts(PAGE, "yaml") if "${HOST_IP}" in text]
OUTSIDE = ("chown", "pip", "python3", "systemctl", "useradd")  # would change the machine
[DOCKERFILE] = texts(PAGE, "dockerfile")
[MAP, DEPLOYMENT] = yaml.safe_load_all(
    next(text for text in texts(PAGE, "yaml") if "kind: Deployment" in text)
)
CONFIGURATION = yaml.safe_load(MAP["data"]["cluster.yaml"])
POD = DEPLOYMENT["spec"]["template"]["spec"]
[CONTAINER] = POD["containers"]
[ENTRYPOINT] = map(json.loads, re.findall(r"^ENTRYPOINT (.*)", DOCKERFILE, re.MULTILINE))


def accepts(command):
    """Fail unless the command line takes these words."""
    _, name, *arguments = command
    main.get_command(main.make_context("cluster-kit", [name]), name).make_context(name, arguments)


def test_unit_starts_a_node():
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.read_string(UNIT)
    accepts(unit["Service"]["ExecStart"].split())


def on_this_machine(text, folder):
    """Return a text of the page with places in ``folder``."""
    text = text.replace("/opt/shop/bin/cluster-kit", str(COMMAND))
    return text.replace("/opt/shop/bin/pip", "pip").replace("/etc/shop", f"{folder}/shop")


def test_commands_before_the_start_succeed_as_printed(tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in OUTSIDE:
        program = programs / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/called\n')
        program.chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path)}

    def run(text):
        command = ["sh", "-eu", "-c", on_this_machine(text, tmp_path)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(PREPARE)
    (tmp_path / "shop" / "cluster.yaml").write_text(on_this_machine(FILE, tmp_path))
    assert "shop@10.0.0.7" in run(START)
    assert (tmp_path / "called").read_text().splitlines()[-1] == "systemctl enable --now shop-node"


@pytest.mark.skipif(which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_unit_is_one_for_systemd(tmp_path):
    path = tmp_path / "shop-node.service"
    path.write_text(
        re.sub(
            r"^User=.*$",
            "User=root",
            UNIT.replace("/opt/shop/bin/cluster-kit", str(COMMAND)),
            flags=re.MULTILINE,
        )
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", path], capture_output=True, text=True, check=False
    )
    faults = [line for line in done.stderr.splitlines() if path.name in line]
    assert (done.returncode, faults) == (0, [])


def test_container_starts_a_node_with_extras_that_exist():
    accepts(ENTRYPOINT)
    [extra] = re.findall(r"pip install .*'/src\[(\w+)\]'", DOCKERFILE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert extra in project["optional-dependencies"]


def test_pod_has_what_the_manifest_asks_for():
    options = ["--name", "web", "--service-account", "web"]
    printed = CliRunner().invoke(main, ["manifest", "kubernetes", *options]).output
    deployment, _, configuration = (
        printed.rpartition("# In the Deployment")[2]
        .replace("\n#", "\n")
        .partition(" In cluster.yaml:")
    )
    asked = yaml.safe_load(deployment.partition("\n")[2])["spec"]["template"]
    assert yaml.safe_load(configuration) == CONFIGURATION
    [short] = [text for text in texts("docs/strategies/kubernetes.md", "yaml") if "node:" in text]
    assert yaml.safe_load(short) == CONFIGURATION
    assert POD["serviceAccountName"] == asked["spec"]["serviceAccountName"]
    assert POD["securityContext"].items() >= asked["spec"]["securityContext"].items()
    assert DEPLOYMENT["spec"]["template"]["metadata"]["labels"] == asked["metadata"]["labels"]
    [wanted] = asked["spec"]["containers"]
    assert CONTAINER["ports"] == wanted["ports"]
    assert CONTAINER["env"] == wanted["env"]
    plain = [
        {key: value for key, value in mount.items() if value} for mount in wanted["volumeMounts"]
    ]
    assert all(mount in CONTAINER["volumeMounts"] for mount in plain)
    assert all(volume in POD["volumes"] for volume in asked["spec"]["volumes"])


def test_pod_finds_itself_and_its_files():
    spec = DEPLOYMENT["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    mounted = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert mounted.keys() == {volume["name"] for volume in POD["volumes"]}
    assert CONFIGURATION["secret_file"] == f"{mounted['cluster-secret']}/secret"
    assert ENTRYPOINT[-1] == f"{mounted['config']}/cluster.yaml"
    connector = CONFIGURATION["topologies"]["web"]["connector"]
    assert connector["port"] == CONTAINER["ports"][0]["containerPort"]


@pytest.mark.parametrize(
    ("what", "where"),
    [
        ("gossip", (GossipStrategy().port, gossip.GROUP_V4, gossip.GROUP_V6)),
        ("multicast DNS", (mdns.PORT, mdns.GROUP_V4, mdns.GROUP_V6)),
        ("EPMD", (epmd.PORT,)),
    ],
)
def test_ports_are_those_of_the_code(what, where):
    [row] = re.findall(rf"^\| {what} \| ([^|]*)", PAGES[PAGE], re.MULTILINE)
    assert set(map(str, where)) <= set(re.findall(r"[\w.:]*\w", row))
