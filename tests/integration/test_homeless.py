"""A user outside passwd, without HOME, in a deleted directory: as containers with any uid run."""

import json
import os
import signal
import subprocess

import pytest
from cli_process import COMMAND, Process
from kubernetes_api import SLICES, KubernetesApi, in_thread
from kubernetes_objects import endpoint_slice

pytestmark = pytest.mark.once

AS_NOBODY_KNOWN = ("unshare", "--user", "--map-user=54321", "--map-group=54321")
ENVIRON = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
NO_HOME = "this user has no home directory: HOME is not set, and its number is not in passwd"


@pytest.fixture(autouse=True)
def _needs_user_namespaces():
    try:
        subprocess.run([*AS_NOBODY_KNOWN, "true"], check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.CalledProcessError) as exc:
        pytest.skip(f"no user namespaces: {exc}")


@pytest.fixture
def leave(tmp_path):
    """Return a function that a child calls to go to a directory, and to remove it."""
    gone = tmp_path / "gone"

    def leave():
        gone.mkdir()
        os.chdir(gone)
        gone.rmdir()

    return leave


@pytest.fixture
def doctor(tmp_path, leave):
    """Return a function that runs the doctor on a strategy."""

    def doctor(strategy, *, home=None, **options):
        path = tmp_path / "cluster.yaml"
        topology = {"strategy": strategy, "config": options, "connector": "none"}
        path.write_text(json.dumps({"node": "a@127.0.0.1", "topologies": {"web": topology}}))
        command = [*AS_NOBODY_KNOWN, COMMAND, "doctor", path]
        environ = ENVIRON | ({"HOME": str(home)} if home else {})
        done = subprocess.run(
            command, preexec_fn=leave, env=environ, capture_output=True, text=True, timeout=90
        )
        assert "a fault of the plugin" not in done.stdout + done.stderr
        return done

    return doctor


def test_kubernetes_says_that_there_is_no_home_to_look_in(doctor):
    done = doctor("kubernetes", service_name="web")
    assert "no API server to ask: this is not a pod" in done.stdout
    assert f"there is no ~/.kube/config ({NO_HOME})" in done.stdout


@pytest.mark.parametrize(
    ("kubeconfig", "cause"),
    [
        ("~/config", NO_HOME),
        ("~", NO_HOME),
        ("~nosuch/config", "there is no such user"),
        ("config", "the current directory is gone"),
    ],
)
def test_a_kubeconfig_that_depends_on_what_is_missing_is_reported(doctor, kubeconfig, cause):
    done = doctor("kubernetes", service_name="web", kubeconfig=kubeconfig)
    assert f"cannot use the kubeconfig '{kubeconfig}': {cause}; give its whole path" in done.stdout


def test_kubernetes_works_with_a_kubeconfig_of_which_the_path_is_whole(doctor, tmp_path):
    api = KubernetesApi()
    with in_thread(api) as run:
        run(api.put(SLICES, endpoint_slice("s", "10.0.0.7")))
        done = doctor(
            "kubernetes",
            service_name="web",
            kubeconfig=str(api.kubeconfig(tmp_path / "kubeconfig")),
        )
    assert "nodes it discovers: 1" in done.stdout


def test_the_home_of_somebody_else_is_reported(doctor, tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0)
    try:
        done = doctor("kubernetes", service_name="web", home=home)
        assert f"cannot use the kubeconfig '{home}/.kube/config': permission denied" in done.stdout
        done = doctor("erlang_hosts", home=home)
        assert f"cannot read the host file '{home}/.hosts.erlang': permission denied" in done.stdout
    finally:
        home.chmod(0o700)


def test_a_host_file_that_is_nowhere_is_reported(doctor):
    done = doctor("erlang_hosts")
    assert "no host file: looked for '.hosts.erlang'" in done.stdout


def test_a_node_runs(tmp_path, leave):
    path = tmp_path / "cluster.yaml"
    topology = {"strategy": "static", "config": {"nodes": ["127.0.0.1:9"]}}
    path.write_text(json.dumps({"node": "a@127.0.0.1", "topologies": {"web": topology}}))
    node = Process(*AS_NOBODY_KNOWN, COMMAND, "run", path, env=ENVIRON, preexec_fn=leave)
    try:
        node.until_printed("web: ready at 127.0.0.1:")
        node.signal(signal.SIGTERM)
        assert node.wait() == 0
    finally:
        node.end()
    assert "Traceback" not in "\n".join(node.errors)
