"""Links to real processes that are killed, frozen, restarted, or doubled."""

import asyncio
import signal
from contextlib import AsyncExitStack

from tcp_stage import DEADLINE_S, Local, Remote
from waiting import run

from cluster_kit.errors import ConnectReason
from cluster_kit.events import Reason
from cluster_kit.node import BootId

QUICK = {"heartbeat_s": 0.2, "silent_s": 1.0}
LONGER_THAN_SILENT_S = 5.0


def test_killed_process_is_down_at_once():
    async def scenario():
        async with (
            Local("ann", heartbeat_s=DEADLINE_S, silent_s=3 * DEADLINE_S) as ann,
            Remote.start("bob") as bob,
        ):
            await ann.connect(bob)
            await bob.kill()
            # by its end alone: it can't be silent for so long
            assert await ann.down(bob) is Reason.CLOSED

    run(scenario)


def test_frozen_process_is_silent_and_linked_again_when_thawed():
    async def scenario():
        async with Local("ann", **QUICK) as ann, Remote.start("bob") as bob:
            await ann.connect(bob)
            bob.stop()
            assert await ann.down(bob) is Reason.SILENT
            linking = asyncio.create_task(ann.link(bob))
            bob.signal(signal.SIGCONT)
            await linking
            assert ann.history(bob) == ["up", "down", "up"]
            assert (await bob.next("down"))["reason"] == Reason.CLOSED

    run(scenario)


def test_frozen_process_accepts_but_is_not_up():
    async def scenario():
        async with Local("ann", **QUICK) as ann, Remote.start("bob") as bob:
            bob.stop()
            outcome = await asyncio.gather(ann.connect(bob), return_exceptions=True)
            assert outcome[0].reason is ConnectReason.TIMEOUT
            assert ann.links.reports == []

    run(scenario)


def test_process_thawed_after_many_dials_is_linked_once():
    async def scenario():
        async with Local("ann", **QUICK) as ann, Remote.start("bob") as bob:
            bob.stop()
            for _ in range(20):
                dial = asyncio.create_task(ann.connect(bob))
                await asyncio.sleep(0.02)
                dial.cancel()
            linking = asyncio.create_task(ann.link(bob))
            bob.signal(signal.SIGCONT)
            await linking
            assert (await bob.next("up"))["name"] == ann.name
            await ann.links.expect("rtt", bob.name)
            assert ann.history(bob) == ["up"]

    run(scenario)


def test_no_link_goes_down_when_all_nodes_were_suspended():
    async def scenario():
        async with AsyncExitStack() as stack:
            peers = [
                await stack.enter_async_context(Remote.start(name))
                for name in ("ann", "bob", "cat")
            ]
            ann, bob, cat = peers
            for one, other in ((ann, bob), (bob, cat), (cat, ann)):
                assert await one.connect(other) is None
            for peer in peers:
                await peer.next("rtt")
            for peer in peers:
                peer.stop()
            await asyncio.sleep(LONGER_THAN_SILENT_S)  # the stop is what is tried
            for peer in peers:
                peer.signal(signal.SIGCONT)
            for peer in peers:
                for _ in range(8):  # two links, so some seconds
                    report = await peer.next("rtt", "down")
                    assert report["kind"] == "rtt"

    run(scenario)


def test_restart_within_a_blink_is_one_down_and_one_up():
    async def scenario():
        async with Local("ann") as ann, Remote.start("bob") as bob:
            await ann.connect(bob)
            bob.signal(signal.SIGKILL)
            async with Remote.start("bob", address=bob.node.address) as again:
                assert await again.connect(ann) is None
                await ann.links.expect("up", bob.name, count=2)
                assert ann.history(bob) == ["up", "down", "up"]
                assert await ann.down(bob) in (Reason.CLOSED, Reason.REPLACED)
                assert ann.links.of("up")[1].node.boot_id == again.node.boot_id

    run(scenario)


def test_restart_with_the_clock_set_back_replaces_a_link_that_is_dead():
    """The old process is frozen, not ended: only its silence shows that it is dead."""

    async def scenario():
        async with Local("ann") as ann, Remote.start("bob", boot_id=BootId(9, 9)) as bob:
            await ann.connect(bob)
            bob.stop()
            async with Remote.start("bob", boot_id=BootId(1, 1)) as again:
                assert await again.connect(ann) is None
                await ann.links.expect("up", bob.name, count=2)
                assert await ann.down(bob) is Reason.REPLACED
                assert ann.links.of("up")[1].node.boot_id == BootId(1, 1)
                assert ann.links.of("event") == []

    run(scenario)


def test_newer_boot_replaces_a_link_that_is_dead():
    async def scenario():
        async with Local("ann") as ann, Remote.start("bob", boot_id=BootId(1, 1)) as bob:
            await ann.connect(bob)
            bob.stop()
            async with Remote.start("bob", boot_id=BootId(9, 9)) as again:
                assert await again.connect(ann) is None
                assert await ann.down(bob) is Reason.REPLACED
                await ann.links.expect("up", bob.name, count=2)

    run(scenario)


def test_of_two_live_processes_the_older_keeps_its_link():
    async def scenario():
        async with Local("ann") as ann, Remote.start("bob", boot_id=BootId(1, 1)) as bob:
            await ann.connect(bob)
            async with Remote.start("bob", boot_id=BootId(9, 9)) as twin:
                assert await twin.connect(ann) == ConnectReason.CONFLICT
                assert (await twin.next("event"))["data"][0] == "name_conflict"
            assert ann.history(bob) == ["up"]

    run(scenario)


def test_process_that_ends_its_input_leaves():
    async def scenario():
        async with Local("ann") as ann, Remote.start("bob") as bob:
            await ann.connect(bob)
            bob.process.stdin.close()
            assert await ann.down(bob) is Reason.LEFT

    run(scenario)
