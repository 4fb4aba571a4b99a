"""Links between nodes of one event loop, over real sockets."""

import asyncio
import itertools
import socket
import time
from contextlib import AsyncExitStack

import pytest
from tcp_stage import DEADLINE_S, Local, at
from waiting import run

from cluster_kit.errors import ConnectError, ConnectReason, NameConflict
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Node
from cluster_kit.testing.leaks import leaves_nothing

MESH = 8


async def connect_all(nodes):
    """Have everybody dial everybody at once; a crossed dial may fail, nothing else."""
    dials = [one.connect(other) for one, other in itertools.permutations(nodes, 2)]
    for outcome in await asyncio.gather(*dials, return_exceptions=True):
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, ConnectError), outcome
            assert outcome.reason is ConnectReason.CROSSED, outcome


@pytest.mark.parametrize("round_", range(50))
def test_mesh_that_dials_itself_at_once_has_one_link_per_pair_and_no_flap(round_):
    async def scenario():
        async with AsyncExitStack() as stack:
            nodes = [await stack.enter_async_context(Local(f"n{number}")) for number in range(MESH)]
            await connect_all(nodes)
            for one, other in itertools.permutations(nodes, 2):
                await one.links.expect("up", other.name)
            for one, other in itertools.permutations(nodes, 2):
                await other.connector.update(
                    other.node.evolve(metadata={"round": str(round_)}), leaving=False
                )
                await one.links.expect("updated", other.name)
                assert one.history(other) == ["up"]

    run(scenario)


def test_connect_to_a_linked_peer_by_another_address_returns_it():
    async def scenario():
        async with Local("ann") as ann, Local("bob") as bob:
            await ann.connect(bob)
            alias = bob.node.address.replace("127.0.0.1", "localhost")
            assert (await ann.connector.connect(Node(address=alias))).name == bob.name
            assert ann.history(bob) == bob.history(ann) == ["up"]

    run(scenario)


def test_two_dials_of_unknown_name_to_one_peer_share_a_link():
    async def scenario():
        async with Local("ann") as ann, Local("bob") as bob:
            addresses = [bob.node.address, bob.node.address.replace("127.0.0.1", "localhost")]
            dials = [ann.connector.connect(Node(address=address)) for address in addresses]
            outcomes = await asyncio.gather(*dials, return_exceptions=True)
            crossed = [outcome for outcome in outcomes if isinstance(outcome, ConnectError)]
            assert all(error.reason is ConnectReason.CROSSED for error in crossed)
            assert len(crossed) < 2
            assert ann.history(bob) == ["up"]

    run(scenario)


def test_both_ends_learn_the_round_trip_time():
    async def scenario():
        async with (
            Local("ann", heartbeat_s=0.05, silent_s=DEADLINE_S) as ann,
            Local("bob", silent_s=DEADLINE_S) as bob,
        ):
            await ann.connect(bob)
            for one, other in ((ann, bob), (bob, ann)):
                report = await one.links.expect("rtt", other.name)
                assert 0 < report.data < DEADLINE_S

    run(scenario)


def test_links_survive_a_blocked_event_loop():
    async def scenario():
        async with Local("ann") as ann, Local("bob") as bob:
            await ann.connect(bob)
            await ann.links.expect("rtt", bob.name)
            time.sleep(ann.connector.silent_s + 1.5)  # noqa: ASYNC251 - the stall is what is tried
            heard = len(ann.links.of("rtt", bob.name))
            await ann.links.expect("rtt", bob.name, count=heard + 3)
            assert ann.history(bob) == bob.history(ann) == ["up"]

    run(scenario)


def test_goodbye_reaches_everybody_before_stop_returns():
    async def scenario():
        async with AsyncExitStack() as stack:
            nodes = [await stack.enter_async_context(Local(f"n{number}")) for number in range(MESH)]
            await connect_all(nodes)
            leaver, *others = nodes
            for other in others:
                await other.links.expect("up", leaver.name)
                await leaver.links.expect("up", other.name)
            await leaver.connector.stop()
            assert [leaver.history(other) for other in others] == [["up", "down"]] * len(others)
            assert {await other.down(leaver) for other in others} == {Reason.LEFT}

    run(scenario)


def test_leaving_node_refuses_new_links_and_keeps_old_ones():
    async def scenario():
        async with Local("ann") as ann, Local("bob") as bob, Local("cat") as cat:
            await ann.connect(bob)
            await bob.connector.update(bob.node, leaving=True)
            await ann.links.expect("leaving", bob.name)
            with pytest.raises(ConnectError) as caught:
                await cat.connect(bob)
            assert caught.value.reason is ConnectReason.LEAVING
            assert caught.value.retryable
            assert ann.history(bob) == ["up"]

    run(scenario)


def test_metadata_that_changes_during_the_handshake_is_sent():
    async def scenario():
        async with Local("ann") as ann, Local("bob") as bob:
            linking = asyncio.create_task(ann.connect(bob))
            await bob.links.expect("up", ann.name)
            assert (await linking).name == bob.name
            await ann.connector.update(ann.node.evolve(metadata={"zone": "z"}), leaving=False)
            told = await bob.links.expect("updated", ann.name)
            assert told.node.metadata == {"zone": "z"}
            told_of = (told.node.name, told.node.address, told.node.boot_id)
            assert told_of == (ann.name, ann.node.address, ann.links.boot_id)
            await ann.connector.send(bob.node, b"from me as I am now")
            said = await bob.links.expect("message", ann.name)
            assert said.node.metadata == {"zone": "z"}

    run(scenario)


def test_message_to_an_unlinked_node_is_an_error_and_reaches_no_other():
    async def scenario():
        async with Local("ann") as ann, Local("bob") as bob:
            await ann.link(bob)
            with pytest.raises(ConnectError, match="cannot send to 'cat@"):
                await ann.connector.send(Node(name="cat@127.0.0.1"), b"for cat")
            await ann.connector.send(bob.node, b"for bob")
            assert (await bob.links.expect("message", ann.name)).data == b"for bob"

    run(scenario)


class TestNameConflict:
    def test_newer_process_is_reported_and_both_sides_report_it(self):
        async def scenario():
            older, newer = Local("ann", boot_id=BootId(1, 0)), Local("ann", boot_id=BootId(2, 0))
            async with Local("bob") as bob, older, newer:
                await older.connect(bob)
                with pytest.raises(NameConflict) as caught:
                    await newer.connect(bob)
                assert str(newer.links.boot_id) in str(caught.value)
                assert str(older.links.boot_id) in str(caught.value)
                expected = {"name": older.name, "boot_id": str(newer.links.boot_id)}
                assert [report.data for report in bob.links.of("event")] == [
                    ("name_conflict", expected)
                ]
                expected = {"name": older.name, "boot_id": str(older.links.boot_id)}
                assert [report.data for report in newer.links.of("event")] == [
                    ("name_conflict", expected)
                ]
                assert bob.history(older) == older.history(bob) == ["up"]
                assert newer.history(bob) == []

        run(scenario)

    def test_repeated_conflict_is_reported_once_in_a_while(self):
        async def scenario():
            older, newer = Local("ann", boot_id=BootId(1, 0)), Local("ann", boot_id=BootId(2, 0))
            async with Local("bob") as bob, older, newer:
                await older.connect(bob)
                for _ in range(3):
                    with pytest.raises(NameConflict):
                        await newer.connect(bob)
                assert len(bob.links.of("event")) == len(newer.links.of("event")) == 1

        run(scenario)

    def test_older_process_takes_no_link_from_the_one_that_replaced_it(self):
        async def scenario():
            older, newer = Local("ann", boot_id=BootId(1, 0)), Local("ann", boot_id=BootId(2, 0))
            async with Local("bob") as bob, older, newer:
                await newer.connect(bob)
                with pytest.raises(NameConflict):
                    await older.connect(bob)
                with pytest.raises(ConnectError) as caught:
                    await bob.connector.connect(Node(address=older.node.address))
                assert caught.value.reason is ConnectReason.CONFLICT
                conflict = {"name": newer.name, "boot_id": str(newer.links.boot_id)}
                assert older.links.of("event")[0].data == ("name_conflict", conflict)
                assert bob.history(newer) == newer.history(bob) == ["up"]
                assert older.links.of("up") == []

        run(scenario)

    def test_dialling_a_process_of_our_own_name_is_a_conflict_on_both_sides(self):
        async def scenario():
            async with Local("ann") as one, Local("ann") as other:
                with pytest.raises(NameConflict):
                    await one.connect(other)
                assert one.links.of("event")[0].data[1]["boot_id"] == str(other.links.boot_id)
                assert other.links.of("event")[0].data[1]["boot_id"] == str(one.links.boot_id)

        run(scenario)

    def test_dialler_linked_to_the_older_process_turns_the_newer_away(self):
        async def scenario():
            older, newer = Local("ann", boot_id=BootId(1, 0)), Local("ann", boot_id=BootId(2, 0))
            async with Local("bob") as bob, older, newer:
                await bob.connect(older)
                with pytest.raises(ConnectError) as caught:
                    await bob.connector.connect(Node(address=newer.node.address))
                assert caught.value.reason is ConnectReason.CONFLICT
                assert not isinstance(caught.value, NameConflict)
                assert bob.history(older) == ["up"]
                await newer.links.until(lambda: newer.links.of("event"), "name_conflict")
                assert newer.links.of("up") == []

        run(scenario)


class TestFailure:
    def refused(self, node):
        async def scenario():
            async with Local("ann") as ann:
                with pytest.raises(ConnectError) as caught:
                    await ann.connector.connect(node)
                self.error = caught.value

        run(scenario)
        return self.error

    def test_address_without_a_listener_is_refused(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = at(server).address
        error = self.refused(Node(name="ghost@127.0.0.1", address=address))
        assert error.reason is ConnectReason.REFUSED
        assert error.retryable
        assert f"'ghost@127.0.0.1' at {address!r}" in str(error)

    def test_host_name_does_not_resolve(self):
        error = self.refused(Node(address="no-such-host.invalid:4000"))
        assert error.reason is ConnectReason.UNREACHABLE
        assert "does not resolve" in str(error)

    def test_peer_hangs_up(self):
        async def scenario():
            server = await asyncio.start_server(
                lambda reader, writer: writer.close(), "127.0.0.1", 0
            )
            async with server, Local("ann") as ann:
                with pytest.raises(ConnectError) as caught:
                    await ann.connector.connect(at(server.sockets[0]))
                assert caught.value.reason is ConnectReason.RESET
                assert caught.value.retryable

        run(scenario)

    def test_peer_speaks_another_protocol(self):
        async def scenario():
            async def greet(_, writer):
                writer.write(b"220 mail.example.org ESMTP\r\n")
                writer.close()

            server = await asyncio.start_server(greet, "127.0.0.1", 0)
            async with server, Local("ann") as ann:
                with pytest.raises(ConnectError) as caught:
                    await ann.connector.connect(at(server.sockets[0]))
                assert caught.value.reason is ConnectReason.PROTOCOL
                assert not caught.value.retryable

        run(scenario)

    def test_stopping_ends_what_is_under_way(self):
        async def scenario():
            loop = asyncio.get_running_loop()
            with socket.create_server(("127.0.0.1", 0)) as frozen:
                frozen.setblocking(False)
                async with leaves_nothing(), Local("ann") as ann:
                    dial = asyncio.create_task(ann.connector.connect(at(frozen)))
                    accepted, _ = await loop.sock_accept(frozen)
                    assert await loop.sock_recv(accepted, 1)  # the hello is out
                    await ann.connector.stop()
                    with pytest.raises(ConnectError, match="stopping"):
                        await dial
                    accepted.close()

        run(scenario)

    def test_connector_that_does_not_run(self):
        async def scenario():
            ann = Local("ann")
            with pytest.raises(ConnectError, match="not running"):
                await ann.connector.connect(Node(address="127.0.0.1:1"))
            with pytest.raises(ConnectError, match="not running"):
                await ann.connector.send(Node(name="bob@127.0.0.1"), b"payload")
            await ann.connector.disconnect(Node(address="127.0.0.1:1"))

        run(scenario)
