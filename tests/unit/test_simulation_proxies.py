"""The proxies of a simulation pass messages on, and notice those without a link."""

import asyncio

import pytest

from cluster_kit import Node, Reason
from cluster_kit.connectors.tcp import TcpConnector
from cluster_kit.testing import RecordingLinks
from cluster_kit.testing.simulation.invariants.findings import Law
from cluster_kit.testing.simulation.invariants.proxies import CheckedLinks, checked_connector

ANN = Node(name="ann@127.0.0.1")


@pytest.fixture
def found():
    return []


@pytest.fixture
def links():
    return RecordingLinks()


@pytest.fixture
def checked(links, found):
    return CheckedLinks(links, lambda law, text: found.append((law, text)))


def test_messages_and_greetings_are_passed_on(links, checked, found):
    links.greeting = b"hello"
    assert checked.greeting == b"hello"
    checked.up(ANN, greeting=b"", told=b"hello")
    checked.message(ANN, b"payload")
    assert (links.of("up")[0].greeting, links.of("up")[0].told) == (b"", b"hello")
    assert links.of("message", ANN.key)[0].data == b"payload"
    assert found == []


@pytest.mark.parametrize("before", ["never up", "up without messages", "down again"])
def test_a_message_over_no_link_is_a_finding(checked, found, before):
    if before != "never up":
        checked.up(ANN, greeting=b"" if before == "down again" else None)
    if before == "down again":
        checked.down(ANN, Reason.LEFT)
    checked.message(ANN, b"payload")
    ((law, text),) = found
    assert law is Law.LINKS
    assert "a message of ann@127.0.0.1 was reported" in text


def test_checked_connector_carries_messages_as_the_one_that_it_wraps():
    async def scenario():
        ann, bob = RecordingLinks(), RecordingLinks()
        connector, other = (
            checked_connector(TcpConnector(max_message_bytes=7), print),
            TcpConnector(),
        )
        here = await connector.start(ANN, ann)
        there = await other.start(Node(name="bob@127.0.0.1"), bob)
        assert (connector.carries_messages, connector.max_message_bytes) == (True, 7)
        await connector.connect(there)
        await connector.send(there, b"payload")
        assert (await bob.expect("message", here.key)).data == b"payload"
        await connector.stop()
        await other.stop()

    asyncio.run(scenario())
