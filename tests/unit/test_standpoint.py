"""Where this node would serve: what can be wrong with it before anybody is asked."""

import asyncio

import pytest

from cluster_kit.diagnosis import Outcome
from cluster_kit.node import Node
from cluster_kit.worker import standpoint as module
from cluster_kit.worker.standpoint import standpoint

NEAR, FAR, UNKNOWN = Node(address="127.0.0.1:4000"), Node(address="10.0.0.7:4000"), Node(name="b@10.0.0.8")


def looked_at(host, *found):
    return asyncio.run(standpoint(host, found))


@pytest.mark.parametrize(
    ("host", "found"),
    [
        (None, [FAR]),
        ("127.0.0.1", []),
        ("127.0.0.1", [NEAR, UNKNOWN]),
        ("0.0.0.0", [FAR]),
        ("::", [FAR]),
        ("localhost", [NEAR]),
    ],
)
def test_where_others_reach_it_nothing_is_wrong(host, found):
    assert looked_at(host, *found) is None


@pytest.mark.parametrize(
    ("host", "found", "got", "cure"),
    [
        ("192.0.2.1", [], "192.0.2.1", "no interface of this machine has that address"),
        ("nobody.invalid", [], "'nobody.invalid': ", "correct the host in the node's name"),
        ("127.0.0.1", [NEAR, FAR], "127.0.0.1, on this machine only", "name it by an address that they reach"),
    ],
)
def test_what_is_wrong_is_told_with_its_cure(host, found, got, cure):
    finding = looked_at(host, *found)
    assert finding.outcome is Outcome.FAILED
    assert finding.got.startswith(got)
    assert cure in finding.cause


def test_name_server_that_is_silent_is_given_up(monkeypatch):
    async def hang(host):
        await asyncio.Event().wait()

    monkeypatch.setattr(module, "resolve", hang)
    monkeypatch.setattr(module, "RESOLVE_S", 0.05)
    assert looked_at("db.test").got == "'db.test': no answer within 0.05 s"
