"""The connector that holds no links: a known node counts as up."""

import asyncio

import pytest

from cluster_kit.connectors.none import NoneConnector
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Node
from cluster_kit.testing.fakes import RecordingLinks

ANN, BOB, CAT = (Node(name=f"{name}@h") for name in ("ann", "bob", "cat"))


def play(*steps):
    """Return what is reported."""

    async def scenario():
        links, connector = RecordingLinks(), NoneConnector()
        assert await connector.start(ANN, links) == ANN
        for name, *arguments in steps:
            await getattr(connector, name)(*arguments)
        return [(report.kind, report.node.name, report.reason) for report in links.reports]

    return asyncio.run(scenario())


def test_connector_holds_no_links_and_serves_nowhere():
    assert not NoneConnector.holds_links
    assert NoneConnector().serves_on("10.0.0.1") is None


def test_connected_node_is_up_once():
    assert play(("connect", BOB), ("connect", BOB)) == [("up", "bob@h", None)]


def test_disconnected_node_is_gone_once():
    assert play(("connect", BOB), ("disconnect", BOB), ("disconnect", BOB))[1:] == [
        ("down", "bob@h", Reason.GONE)
    ]


def test_changed_node_is_updated_once():
    tagged = BOB.evolve(metadata={"zone": "a"})
    assert play(("connect", BOB), ("connect", tagged), ("connect", tagged))[1:] == [
        ("updated", "bob@h", None)
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (BOB.evolve(boot_id=BootId(1, 1)), BOB.evolve(boot_id=BootId(2, 2))),
        (BOB.evolve(address="10.0.0.5:1"), BOB.evolve(address="10.0.0.6:1")),
    ],
    ids=["boot", "address"],
)
def test_another_run_takes_the_place_of_the_one_before(before, after):
    assert play(("connect", before), ("connect", after))[1:] == [
        ("down", "bob@h", Reason.REPLACED),
        ("up", "bob@h", None),
    ]


def test_run_described_in_more_detail_is_still_the_same():
    boot = BootId(1, 1)
    known = BOB.evolve(address="10.0.0.5:1", boot_id=boot)
    moved = BOB.evolve(address="10.0.0.6:1", boot_id=boot)
    reports = play(("connect", BOB), ("connect", known), ("connect", moved))
    assert [kind for kind, *_ in reports] == ["up", "updated", "updated"]


def test_stop_takes_all_down_in_order():
    assert play(("connect", CAT), ("connect", BOB), ("stop",), ("stop",))[2:] == [
        ("down", "bob@h", Reason.SHUTDOWN),
        ("down", "cat@h", Reason.SHUTDOWN),
    ]
