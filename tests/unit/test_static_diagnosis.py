"""What ``static`` finds out about its own list."""

import asyncio
import socket

import pytest

from cluster_kit import resolving
from cluster_kit.diagnosis import Outcome
from cluster_kit.node import Node
from cluster_kit.strategies import static
from cluster_kit.strategies.static import StaticStrategy
from cluster_kit.testing import FakeDiscovery

ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:4001")


def diagnosed(*entries):
    async def collect():
        return [
            finding async for finding in StaticStrategy(nodes=entries).diagnose(FakeDiscovery(ANN))
        ]

    return asyncio.run(collect())


def resolver(monkeypatch, answer):
    """Have every look-up in the event loop answered by ``answer(host)``."""

    async def resolve(host):
        return answer(host)

    monkeypatch.setattr(resolving, "resolve", resolve)


def raising(error):
    def answer(host):
        raise error

    return answer


def test_other_nodes_are_counted():
    [finding] = diagnosed("ann@127.0.0.1:4001", "bob@127.0.0.1:4002", "127.0.0.1:4003")
    assert (finding.outcome, finding.got) == (Outcome.OK, "3 in all, 2 of them not this one")


@pytest.mark.parametrize("entries", [(), ("ann@127.0.0.1:4009",), ("127.0.0.1:4001",)])
def test_list_without_other_nodes_is_empty(entries):
    [finding] = diagnosed(*entries)
    assert finding.outcome is Outcome.EMPTY
    assert finding.cause == "the list contains only this node; add the others"


def test_addresses_need_no_look_up():
    assert len(diagnosed("bob@10.0.0.7:4002", "[fe80::7]:4000")) == 1


def test_host_name_is_looked_up_once(monkeypatch):
    resolver(
        monkeypatch,
        lambda host: [
            (socket.AF_INET, 1, 6, "", ("10.0.0.7", 0)),
            (socket.AF_INET, 1, 6, "", ("10.0.0.8", 0)),
        ],
    )
    _, finding = diagnosed("bob@db.test:4002", "cat@db.test:4003")
    assert (finding.outcome, finding.asked, finding.got) == (
        Outcome.OK,
        "address of 'db.test'",
        "10.0.0.7, 10.0.0.8",
    )


@pytest.mark.parametrize(
    ("error", "got", "cure"),
    [
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "name or service not known",
            "correct the host",
        ),
        (
            socket.gaierror(socket.EAI_AGAIN, "Temporary failure"),
            "temporary failure",
            "its name server doesn't answer",
        ),
    ],
)
def test_host_without_address_failed(monkeypatch, error, got, cure):
    resolver(monkeypatch, raising(error))
    _, finding = diagnosed("bob@db.test:4002")
    assert (finding.outcome, finding.got) == (Outcome.FAILED, got)
    assert finding.cause.startswith(cure)


def test_name_server_that_is_silent_is_given_up(monkeypatch):
    monkeypatch.setattr(static, "RESOLVE_S", 0.05)

    async def resolve(host):
        await asyncio.sleep(3600)

    monkeypatch.setattr(resolving, "resolve", resolve)
    _, finding = diagnosed("bob@db.test:4002")
    assert (finding.outcome, finding.got) == (Outcome.FAILED, "no answer within 0.05 s")
