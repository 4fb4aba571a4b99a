"""Credential plugins of a kubeconfig: their output is used, their errors reported, and no trace."""

import asyncio
import json
import sys
import time

import psutil
import pytest
from kubernetes_api import SLICES, USER, KubernetesApi
from kubernetes_objects import endpoint_slice

from cluster_kit.abc import Found
from cluster_kit.node import Node
from cluster_kit.strategies.kubernetes import KubernetesStrategy
from cluster_kit.strategies.kubernetes.api_errors import ApiError
from cluster_kit.strategies.kubernetes.exec_plugin import ask_plugin
from cluster_kit.testing.fakes import FakeDiscovery
from cluster_kit.testing.listener import Listener

pytestmark = pytest.mark.once

VERSION = "client.authentication.k8s.io/v1"
CREDENTIAL = {"apiVersion": VERSION, "kind": "ExecCredential", "status": {"token": "of-the-plugin"}}


@pytest.fixture
def plugin(tmp_path):
    """Return a function that makes a program of a script, and what a kubeconfig says of it."""

    def make(script, **more):
        path = tmp_path / "plugin"
        path.write_text(f"#!{sys.executable}\nimport json, os, subprocess, sys, time\n{script}\n")
        path.chmod(0o755)
        return {"command": "./plugin", "apiVersion": VERSION} | more

    return make


def asked(entry, folder, **limits):
    async def main():
        async with asyncio.timeout(30):
            return await ask_plugin(entry, folder, **limits)

    return asyncio.run(main())


def ends(pid):
    """Return whether it ends soon, as a killed process does; a zombie has ended."""
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def test_its_token_is_what_the_server_is_asked_with(plugin, tmp_path):
    api = KubernetesApi()
    api.tokens = {"of-the-plugin": USER}
    entry = plugin(f"print({json.dumps(CREDENTIAL)!r})")

    async def main():
        await api.put(SLICES, endpoint_slice("s", "10.0.0.1"))
        async with asyncio.timeout(60), api.serving():
            kubeconfig = api.kubeconfig(tmp_path / "kubeconfig", user={"exec": entry})
            strategy = KubernetesStrategy(service_name="web", kubeconfig=kubeconfig)
            async with Listener(strategy, FakeDiscovery(Node(name="me@10.0.0.9"))) as heard:
                await heard.until(
                    lambda each: isinstance(each, Found) and each.nodes, "to find somebody"
                )
        assert {each.token for each in api.asked} == {"of-the-plugin"}

    asyncio.run(main())


def test_plugin_gets_its_request_arguments_and_variables(plugin, tmp_path):
    entry = plugin(
        "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "token = [sys.argv[1], os.environ['REGION'], info['kind'], info['apiVersion'], "
        "info['spec']]\n"
        "print(json.dumps({'status': {'token': json.dumps(token)}}))",
        args=["get-token"],
        env=[{"name": "REGION", "value": "north"}],
    )
    assert json.loads(asked(entry, tmp_path).token) == [
        "get-token",
        "north",
        "ExecCredential",
        VERSION,
        {"interactive": False},
    ]


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("sys.exit('log in first')", "it exited with code 1: log in first;"),
        ("sys.exit(3)", "it exited with code 3: no error output"),
        ("print('<html>')", "its output is not an ExecCredential"),
        ("print('{}')", "its output is not an ExecCredential"),
        ('os.write(1, b\'{"status": {"token": "\\xff"}}\')', "its output is not an ExecCredential"),
        ("print('{\"status\": {}}')", "neither a token nor a certificate with its key"),
        ("print('x' * 2_000_000)", "its output is not an ExecCredential"),
    ],
)
def test_failed_plugin_is_reported_with_its_cause(plugin, tmp_path, script, told):
    with pytest.raises(ApiError) as caught:
        asked(plugin(script), tmp_path)
    assert "credential plugin './plugin' failed" in str(caught.value)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "entry", [None, {}, {"command": "x"}, {"command": 3, "apiVersion": VERSION}], ids=str
)
def test_an_entry_that_makes_no_sense_is_reported(entry, tmp_path):
    with pytest.raises(ApiError, match="credential plugin 'exec' failed"):
        asked(entry, tmp_path)


def test_a_program_that_is_missing_is_reported_with_the_hint_of_its_makers(tmp_path):
    entry = {
        "command": "no-such-plugin",
        "apiVersion": VERSION,
        "installHint": "install it\nfrom here",
    }
    with pytest.raises(
        ApiError, match="can't be started: No such file or directory; install it from here"
    ):
        asked(entry, tmp_path)


HANGS = (
    "child = subprocess.Popen(['sleep', '60'])\nopen('{}', "
    "'w').write(str(child.pid))\ntime.sleep(60)"
)


def test_hanging_plugin_is_ended_with_its_children(plugin, tmp_path):
    with pytest.raises(ApiError, match="it does not end within 3 s"):
        asked(plugin(HANGS.format(tmp_path / "pid")), tmp_path, within_s=3.0)
    assert ends(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_plugin_that_never_stops_printing_is_ended(plugin, tmp_path, stream):
    script = f"while True: print('x' * 4096, file=sys.{stream})"
    with pytest.raises(ApiError, match="it does not end within 1 s"):
        asked(plugin(script), tmp_path, within_s=1.0)


def test_nothing_is_left_of_one_that_runs_while_the_strategy_ends(plugin, tmp_path):
    pid = tmp_path / "pid"

    async def main():
        async with asyncio.timeout(30):
            asking = asyncio.create_task(ask_plugin(plugin(HANGS.format(pid)), tmp_path))
            while not (pid.exists() and pid.read_text()):  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.02)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    asyncio.run(main())
    assert ends(int(pid.read_text()))
