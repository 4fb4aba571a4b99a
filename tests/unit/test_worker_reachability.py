"""What can be wrong with where a node serves, before any peer is asked."""

import asyncio
import logging

import pytest

from cluster_kit.diagnosis import Outcome
from cluster_kit.errors import NetworkError, NetworkFault
from cluster_kit.network.system import SystemNetwork
from cluster_kit.node import Node
from cluster_kit.worker import reachability
from cluster_kit.worker.reachability import diagnose_reachability, warn_if_loopback

NEAR, FAR, UNKNOWN = (
    Node(address="127.0.0.1:4000"),
    Node(address="10.0.0.7:4000"),
    Node(name="b@10.0.0.8"),
)


def looked_at(host, *found, network=None):
    return asyncio.run(diagnose_reachability(network or SystemNetwork(), host, found))


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
        (
            "127.0.0.1",
            [NEAR, FAR],
            "127.0.0.1, on this machine only",
            "can reach in this node's name",
        ),
    ],
)
def test_problem_comes_with_its_cure(host, found, got, cure):
    finding = looked_at(host, *found)
    assert finding.outcome is Outcome.FAILED
    assert finding.got.startswith(got)
    assert cure in finding.cause


NAMES = {"myhost.example": "127.0.1.1", "far.example": "192.0.2.7", "near.example": "127.0.1.1"}


class Names(SystemNetwork):
    """Has names that this machine can't have, and may have addresses of others."""

    def __init__(self, *addresses):
        super().__init__()
        self._addresses = addresses

    async def resolve(self, host, *, version=None):
        if host.endswith(".invalid"):
            raise NetworkError("name or service not known", fault=NetworkFault.NO_SUCH_NAME)
        return await super().resolve(NAMES.get(host, host), version=version)

    def has_address(self, address):
        return address in self._addresses or super().has_address(address)


def at(host):
    return Node(address=f"{host}:4000")


class TestNames:
    @pytest.mark.parametrize("found", [at("nobody.invalid"), at("near.example"), at("localhost")])
    def test_unresolved_or_local_nodes_are_not_elsewhere(self, found):
        assert looked_at("127.0.0.1", found, network=Names()) is None

    def test_an_address_of_this_machine_is_not_elsewhere(self):
        assert looked_at("127.0.0.1", at("10.0.0.7"), network=Names("10.0.0.7")) is None

    def test_node_elsewhere_counts_beside_an_unresolved_one(self):
        finding = looked_at("127.0.0.1", at("nobody.invalid"), at("far.example"), network=Names())
        assert finding.outcome is Outcome.FAILED
        assert "the discovered nodes are on other machines" in finding.cause

    @pytest.mark.parametrize(
        ("found", "outcome"),
        [
            ([], Outcome.EMPTY),
            ([at("near.example")], Outcome.OK),
            ([at("far.example")], Outcome.FAILED),
        ],
    )
    def test_name_that_resolves_to_loopback_is_a_finding(self, found, outcome):
        finding = looked_at("myhost.example", *found, network=Names())
        assert finding.got == "myhost.example is 127.0.1.1, on this machine only"
        assert finding.outcome is outcome
        assert "name" in finding.cause

    @pytest.mark.parametrize(
        ("told", "serves_on", "level"),
        [
            ("myhost.example:4000", "myhost.example", logging.WARNING),
            ("myhost.example:4000", "127.0.0.1", logging.WARNING),
            ("myhost.example:4000", "0.0.0.0", logging.INFO),
            ("far.example:4000", "far.example", None),
            ("127.0.0.1:4000", "127.0.0.1", None),
            ("localhost:4000", "localhost", None),
            ("nobody.invalid:4000", "0.0.0.0", None),
        ],
    )
    def test_a_running_node_logs_that_its_name_is_loopback(self, told, serves_on, level, caplog):
        caplog.set_level(logging.INFO)
        asyncio.run(warn_if_loopback(Names(), told, serves_on))
        assert [record.levelno for record in caplog.records] == ([] if level is None else [level])
        text = "others are told to dial myhost.example:4000, and myhost.example is 127.0.1.1"
        assert level is None or text in caplog.text


def test_name_server_that_is_silent_is_given_up(monkeypatch):
    class Silent(SystemNetwork):
        async def resolve(self, host, *, version=None):
            await asyncio.Event().wait()

    monkeypatch.setattr(reachability, "RESOLVE_S", 0.05)
    assert looked_at("db.test", network=Silent()).got == "'db.test': no answer within 0.05 s"


def test_address_without_a_host_is_ignored(caplog):
    assert looked_at("127.0.0.1", Node(address="unix:/run/web.sock")) is None
    asyncio.run(warn_if_loopback(SystemNetwork(), "unix:/run/web.sock", None))
    assert caplog.text == ""
