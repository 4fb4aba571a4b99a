"""Workers need no process of their own: several run in one event loop, supervised by the test."""

import asyncio

import pytest
from gossip_process import options
from made_up_secrets import keyring, keys
from worker_member import DEADLINE_S, EndedError, run

from cluster_kit.events import NodeDown, NodeFound, Reason
from cluster_kit.pipe.messages import (
    Announced,
    CannotServe,
    Drain,
    Inspect,
    Renew,
    Reply,
    Serving,
)
from cluster_kit.security.keys import Certificates, Keyring
from cluster_kit.worker.host_process import EXIT_BROKEN


@pytest.fixture
def gossip():
    return {"strategy": "gossip", "config": options(), "connector": "tcp"}


def test_workers_form_a_cluster_and_one_leaves(gossip):
    async def scenario(start):
        nodes = [start(name, gossip) for name in "abc"]
        names = [f"{name}@127.0.0.1" for name in "abc"]
        for node, name in zip(nodes, names, strict=True):
            await node.until(
                lambda node, own=name: node.up() == [each for each in names if each != own]
            )
            assert node.heard(Serving)
            await node.until(lambda node: node.heard(Announced))
            found = [event.node for event in node.events if isinstance(event, NodeFound)]
            assert len({each.boot_id for each in found}) == 2
        assert await nodes[2].stop()
        for node in nodes[:2]:
            await node.until(lambda node: len(node.up()) == 1)
            [down] = [event for event in node.events if isinstance(event, NodeDown)]
            assert (down.node.name, down.reason) == (names[2], Reason.LEFT)
        for node in nodes[:2]:
            node.channel.send(Drain())
            assert await node.stop()

    run(scenario)


def test_the_end_of_its_supervisor_is_its_own(gossip):
    async def scenario(start):
        node = start("a", gossip)
        await node.until(lambda node: node.heard(Serving))
        node.channel.close()
        async with asyncio.timeout(DEADLINE_S):
            assert await node.running

    run(scenario)


def test_certificates_that_can_t_be_used_after_all_leave_the_last_good_ones_and_are_reported(
    gossip, caplog
):
    broken = Keyring(keys(2), certificates=Certificates(b"", b"", b""))

    async def scenario(start):
        node = start("a", gossip, keyring(1))
        node.channel.send(Renew(broken))
        await node.until(lambda node: node.heard(Serving))
        node.channel.send(Renew(broken))
        node.channel.send(Inspect(1))
        await node.until(lambda node: node.heard(Reply))
        assert node.worker.here.security.secret_ids == keyring(1).ids
        told = [
            record.getMessage() for record in caplog.records if record.name == "cluster_kit.worker"
        ]
        assert len(told) == 2
        assert told[0].startswith(
            "the new secrets or certificates can't be used: the last ones stay: "
        )
        node.channel.send(Renew(keyring(3, 1)))
        node.said.clear()
        node.channel.send(Inspect(2))
        await node.until(lambda node: node.heard(Reply))
        assert node.worker.here.security.secret_ids == keyring(3, 1).ids
        assert await node.stop()

    run(scenario)


class Unreadable:
    def __reduce__(self):
        return _unreadable, ()


def _unreadable():
    raise ValueError("boom")


def test_unreadable_message_ends_the_worker_process(gossip):
    async def scenario(start):
        node = start("a", gossip)
        await node.until(lambda node: node.heard(Serving))
        raised = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: raised.append(type(context["exception"]))
        )
        node.channel.send(Unreadable())
        async with asyncio.timeout(DEADLINE_S):
            assert await node.process.code == EXIT_BROKEN
        await node.until(lambda node: node.heard(CannotServe))
        assert raised == [EndedError]
        node.stopping.set()  # a real process would have ended with it
        async with asyncio.timeout(DEADLINE_S):
            await node.running

    run(scenario)
