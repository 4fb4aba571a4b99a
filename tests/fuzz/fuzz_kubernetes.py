"""Targets: what the Kubernetes API server answers, and the files that lead to it."""

import asyncio
import tempfile
from pathlib import Path

import msgspec
import yaml
from fuzz_target import JSON, JSON_LINES, Target

from cluster_kit.abc import Found, Gone, Leaving
from cluster_kit.node import Node
from cluster_kit.strategies.kubernetes import KubernetesStrategy
from cluster_kit.strategies.kubernetes.access import (
    _UNUSABLE,
    _KeyFiles,
    _load,
    _refuse_unknown,
    _user_of,
)
from cluster_kit.strategies.kubernetes.api_errors import MAX_TEXT, ApiError, error_of
from cluster_kit.strategies.kubernetes.client import LineSplitter
from cluster_kit.strategies.kubernetes.exec_plugin import ExecCredential
from cluster_kit.strategies.kubernetes.objects import UNREADABLE, ApiGroup, Versioned
from cluster_kit.strategies.kubernetes.resources import ENDPOINTS, PODS, SLICES, Resource
from cluster_kit.strategies.kubernetes.session import KubernetesSession
from cluster_kit.testing import FakeDiscovery

OPTIONS = KubernetesStrategy(service_name="web", port=4370, namespace="shop")
CTX = FakeDiscovery(Node(name="web@10.0.0.1"))
RESOURCES = (*SLICES.values(), ENDPOINTS, PODS)

META = {"name": "web-x", "namespace": "shop", "uid": "u", "resourceVersion": "41"}
TARGET = {"kind": "Pod", "name": "web-0", "namespace": "shop", "uid": "p"}
PORTS = [{"name": "link", "port": 4370}]
SLICE = {
    "metadata": META,
    "addressType": "IPv4",
    "endpoints": [
        {
            "addresses": ["10.0.0.7"],
            "conditions": {"ready": True},
            "hostname": "web-0",
            "targetRef": TARGET,
        },
        {"addresses": ["10.0.0.8"], "conditions": {"ready": None, "terminating": True}},
    ],
    "ports": PORTS,
}
WHOLE = {
    "metadata": META,
    "subsets": [{"addresses": [{"ip": "10.0.0.7", "targetRef": TARGET}], "ports": PORTS}],
}
POD = {
    "metadata": META | {"deletionTimestamp": None},
    "spec": {
        "hostname": "web-0",
        "containers": [{"ports": [{"name": "link", "containerPort": 4370}]}],
    },
    "status": {
        "phase": "Running",
        "podIP": "fd00::7",
        "conditions": [{"type": "Ready", "status": "True"}],
    },
}
OBJECTS = (SLICE, SLICE, WHOLE, POD)
STATUS = {
    "message": "too old",
    "reason": "Expired",
    "code": 410,
    "details": {"retryAfterSeconds": 3, "causes": [{"reason": "x"}]},
}


def page_of(found: object) -> bytes:
    return JSON.write({"metadata": {"resourceVersion": "42", "continue": ""}, "items": [found]})


def watch_of(found: object) -> bytes:
    events = [{"type": kind, "object": found} for kind in ("ADDED", "MODIFIED", "DELETED")]
    events += [
        {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "43"}}},
        {"type": "ERROR", "object": STATUS},
    ]
    return b"".join(JSON.write(event) + b"\n" for event in events)


async def new_session() -> KubernetesSession:
    return KubernetesSession(OPTIONS, CTX)


def session() -> KubernetesSession:
    """Return a session that no task follows: what it receives comes from here."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(new_session())
    finally:
        loop.close()


# -- answers ---------------------------------------------------------------------------------------


def check_lines(data: bytes) -> bool:
    """A stream has the same lines however it comes in."""
    whole = LineSplitter().feed(data)
    assert whole == [line for line in data.split(b"\n")[:-1] if line.strip()]
    for size in (1, 7):
        lines = LineSplitter()
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        assert [line for piece in pieces for line in lines.feed(piece)] == whole
    return bool(whole)


def check_watch(data: bytes) -> bool:
    """The first byte is the kind of object; a line is handled, or an API error of one line."""
    resource = RESOURCES[(data or b"\0")[0] % len(RESOURCES)]
    following = session()
    heard = 0
    refused = ""
    for line in LineSplitter().feed(data[1:]):
        try:
            following._received(resource, line)
        except ApiError as exc:
            refused = str(exc)
            break
        heard += 1
    assert "\n" not in refused
    assert len(refused) < MAX_TEXT + 300
    assert_tells_of_nodes(following)
    return heard > 0


def assert_tells_of_nodes(following: KubernetesSession) -> None:
    for observation in following._view.observe():
        assert isinstance(observation, Found | Gone | Leaving)
        if isinstance(observation, Found):
            assert all(isinstance(node, Node) for node in observation.nodes)


def check_page(data: bytes) -> bool:
    """The first byte is the kind of object; a page is read, or refused as unreadable."""
    resource: Resource = RESOURCES[(data or b"\0")[0] % len(RESOURCES)]
    try:
        page = msgspec.json.decode(data[1:], type=resource.page)
    except UNREADABLE:
        return False
    assert page.metadata.resource_version is not None
    following = session()
    following._view.replace(
        [(each.metadata.name, resource.read(each, OPTIONS.port)) for each in page.items or ()]
    )
    assert_tells_of_nodes(following)
    return True


def check_status(data: bytes) -> bool:
    """What is no answer is an error, whatever it says: of one line, and not too long."""
    for code in (None, 401, 403, 410, 429, 500):
        error = error_of(code, data, server="API server https://10.0.0.1", retry_after="7")
        assert str(error).isprintable()
        assert len(str(error)) <= MAX_TEXT + 200
        assert 7 <= error.retry_after_s < 2**31
    return data.startswith(b"{")


def check_small(data: bytes) -> bool:
    """What is read of other answers and credential plugins has its type, or is unreadable."""
    understood = False
    for kind in (ApiGroup, Versioned, ExecCredential):
        try:
            found = msgspec.json.decode(data, type=kind)
        except UNREADABLE:
            continue
        understood = True
        assert msgspec.json.decode(msgspec.json.encode(found), type=kind) == found
    return understood


# -- files -----------------------------------------------------------------------------------------

KUBECONFIG = {
    "current-context": "shop",
    "clusters": [
        {
            "name": "c",
            "cluster": {"server": "https://10.0.0.1", "certificate-authority-data": "Y2E="},
        }
    ],
    "users": [{"name": "u", "user": {"client-certificate": "tls.crt", "client-key-data": "a2V5"}}],
    "contexts": [{"name": "shop", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
}


def check_kubeconfig(data: bytes) -> bool:
    """A kubeconfig is a mapping with absolute paths, or refused; no file is left behind."""
    with tempfile.TemporaryDirectory(prefix="ck-fuzz-") as folder:
        path = Path(folder, "config")
        path.write_bytes(data)
        try:
            with _KeyFiles(path) as keys:
                config = _load(path, keys)
                _refuse_unknown("shop", config)
                user = _user_of(config, None)
                for name in ("client-certificate", "client-key"):
                    assert not user.get(name) or Path(user[name]).is_absolute()
        except _UNUSABLE:
            return False
        assert list(Path(folder).iterdir()) == [path]
    return True


TARGETS = (
    Target(
        name="kubernetes-lines",
        of=("cluster_kit.strategies.kubernetes.client:LineSplitter.feed",),
        check=check_lines,
        seeds=(b"{}\n\n[]\r\n{", b"\n" * 5),
    ),
    Target(
        name="kubernetes-watch",
        of=("cluster_kit.strategies.kubernetes.session:KubernetesSession",),
        check=check_watch,
        seeds=tuple(bytes((number,)) + watch_of(found) for number, found in enumerate(OBJECTS)),
        form=JSON_LINES._replace(head_bytes=1),
    ),
    Target(
        name="kubernetes-page",
        of=("cluster_kit.strategies.kubernetes.client:Client.read",),
        check=check_page,
        seeds=tuple(bytes((number,)) + page_of(found) for number, found in enumerate(OBJECTS)),
        form=JSON._replace(head_bytes=1),
    ),
    Target(
        name="kubernetes-status",
        of=("cluster_kit.strategies.kubernetes.api_errors:error_of",),
        check=check_status,
        seeds=(JSON.write(STATUS), b"<html>Bad gateway"),
        form=JSON,
    ),
    Target(
        name="kubernetes-small",
        of=("cluster_kit.strategies.kubernetes.exec_plugin:ask_plugin",),
        check=check_small,
        seeds=(
            JSON.write({"versions": [{"version": "v1"}]}),
            JSON.write({"metadata": META}),
            JSON.write(
                {"status": {"token": "t", "clientCertificateData": "c", "clientKeyData": None}}
            ),
        ),
        form=JSON,
    ),
    Target(
        name="kubeconfig",
        of=("cluster_kit.strategies.kubernetes.access:open_access",),
        check=check_kubeconfig,
        seeds=(yaml.safe_dump(KUBECONFIG).encode(), JSON.write(KUBECONFIG)),
    ),
)
