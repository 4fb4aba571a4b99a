"""How a supervisor is displayed: as one line, and as a table in notebooks."""

import asyncio

import pytest

from cluster_kit import AsyncSupervisor, LinkStatus, Node, State, Supervisor, TopologyStatus
from cluster_kit.supervisor.display import as_table

CONFIG = {"node": "a@127.0.0.1", "topologies": {"lan": {"strategy": "gossip"}}}


def status(links=(), **given):
    fixed = {"pid": 1, "restarts": 0, "sources": {}, "known": tuple(links), "last_error": None}
    up = tuple(LinkStatus(node=node, age_s=1.0, rtt_s=None) for node in links)
    parts = {"name": "lan", "state": State.READY, "address": "h:1", **fixed, **given}
    return TopologyStatus(links=up, **parts)


@pytest.mark.parametrize("kind", [Supervisor, AsyncSupervisor])
def test_unstarted_supervisor_says_so(kind):
    supervisor = kind(CONFIG)
    assert repr(supervisor) == f"<{kind.__name__} a@127.0.0.1: not started>"
    assert "a@127.0.0.1: not started" in supervisor._repr_html_()


def test_running_and_stopped_supervisors_name_their_topologies():
    with Supervisor(CONFIG) as supervisor:
        assert repr(supervisor) in {
            f"<Supervisor a@127.0.0.1: lan {state}>" for state in ("starting", "ready")
        }
        address = supervisor.status()["lan"].address
        assert f"<td>{address}</td>" in supervisor._repr_html_()
    assert repr(supervisor) == "<Supervisor a@127.0.0.1: lan stopped>"
    assert "<td>stopped</td>" in supervisor._repr_html_()


def test_asyncio_twin_looks_the_same():
    async def scenario():
        async with AsyncSupervisor(CONFIG) as supervisor:
            assert repr(supervisor).startswith("<AsyncSupervisor a@127.0.0.1: lan ")
            assert "<td>lan</td>" in supervisor._repr_html_()

    asyncio.run(scenario())


def test_objects_returned_by_a_supervisor_have_a_telling_repr():
    supervisor = Supervisor(CONFIG)
    events, messages = supervisor.subscribe(topology="lan"), supervisor.topic("cache").subscribe()
    duty = supervisor.once("nightly", timeout_s=30)
    assert repr(supervisor.subscribe()) == "<Subscription to all topologies: 1 queued>"
    assert repr(events) == "<Subscription to lan: 1 queued>"  # the snapshot
    assert repr(messages) == "<TopicSubscription to 'cache' of topology 'lan': 0 queued>"
    assert repr(duty) == "<Duty 'nightly' of topology 'lan': not held>"
    with supervisor, duty:
        assert repr(duty) == "<Duty 'nightly' of topology 'lan': held>"
    events.close()
    assert repr(events).endswith(" queued, closed>")


def test_objects_returned_by_an_async_supervisor_have_a_telling_repr():
    async def scenario():
        async with AsyncSupervisor(CONFIG) as supervisor:
            events = supervisor.subscribe(topology="lan")
            assert repr(events).startswith("<AsyncSubscription to lan: ")
            messages = supervisor.topic("cache").subscribe()
            shown = "<AsyncTopicSubscription to 'cache' of topology 'lan': 0 queued>"
            assert repr(messages) == shown
            duty = supervisor.once("nightly")
            assert repr(duty) == "<AsyncDuty 'nightly' of topology 'lan': not held>"

    asyncio.run(scenario())


def test_table_has_a_row_for_each_topology():
    nodes = [Node("b@h", "h:2"), Node("c@h", "h:3")]
    table = as_table(
        "a", [status(nodes), status(name="wan", state=State.DEGRADED, last_error="no route")]
    )
    assert table.count("<tr>") == 3
    row = ["lan", "ready", "h:1", "2", "2", "b@h, c@h", ""]
    assert "".join(f"<td>{cell}</td>" for cell in row) in table
    assert "<td>wan</td><td>degraded</td>" in table
    assert "<td>no route</td>" in table


def test_foreign_text_is_escaped_in_the_table():
    evil = "<script>alert('x & y')</script>"
    table = as_table(
        evil, [status([Node("<b>@h", "h:2")], name=evil, last_error=evil, address=evil)]
    )
    assert "<script>" not in table
    assert "<b>" not in table
    assert table.count("&lt;script&gt;alert(&#x27;x &amp; y&#x27;)&lt;/script&gt;") == 4


def test_a_large_cluster_names_only_some_nodes():
    table = as_table("a", [status([Node(f"n{number:02}@h", "h:2") for number in range(25)])])
    assert "n19@h and 5 more" in table
    assert "n20@h" not in table
