"""Messages go through workers and over a link: workers in this process, a fake connector."""

import asyncio
from dataclasses import dataclass

import pytest
from worker_member import DEADLINE_S, run

from cluster_kit.abc import Connector, Found, Strategy
from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.events import NodeDown, NodeUp, Reason
from cluster_kit.node import Node
from cluster_kit.pipe.channel import Parcel
from cluster_kit.pipe.messages import (
    Forwarded,
    Happened,
    LinkClosed,
    LinkOpened,
    Serving,
    SetGreeting,
)


class Switchboard(Connector):
    """Links to everybody on the same board; a ``send`` waits for ``room``."""

    carries_messages = True
    max_message_bytes = 12_345
    board: dict
    room: asyncio.Event

    def __init__(self):
        self.links = {}

    async def start(self, local, links):
        self.local, self.report = local.evolve(address=f"board:{local.name.split('@')[0]}"), links
        self.board[local.name] = self
        return self.local

    async def connect(self, node):
        other = self.board.get(node.name)
        if other is None:
            raise ConnectError("not there", node=node.key, reason=ConnectReason.REFUSED)
        if node.name not in self.links:
            for one, two in ((other, self), (self, other)):
                one.links[two.local.name] = two
                one.report.up(two.local, greeting=two.report.greeting, told=one.report.greeting)
        return other.local

    async def disconnect(self, node):
        pass

    async def send(self, node, payload):
        await self.room.wait()
        if node.name not in self.links:
            raise ConnectError("lost", node=node.key, reason=ConnectReason.RESET)
        self.links[node.name].report.message(self.local, payload)

    async def stop(self):
        self.board.pop(self.local.name, None)
        for name, other in list(self.links.items()):
            del self.links[name], other.links[self.local.name]
            self.report.down(other.local, Reason.SHUTDOWN)
            other.report.down(self.local, Reason.LEFT)


class Mute(Switchboard):
    carries_messages = False


@dataclass
class Knows(Strategy):
    """Vouches for these."""

    names: tuple

    async def discover(self, ctx):
        yield Found(
            [
                Node(name=f"{name}@127.0.0.1")
                for name in self.names
                if f"{name}@127.0.0.1" != ctx.local.name
            ]
        )


class Board:
    """Starts members that are linked to each other."""

    def __init__(self, start, kind=Switchboard):
        self.room = Switchboard.room = asyncio.Event()
        self.room.set()
        Switchboard.board = {}
        self._start = start
        self._kind = kind

    def member(self, name, greeting=b""):
        config = {"strategy": Knows(("a", "b")), "connector": self._kind}
        return self._start(name, config, greeting=greeting)


def about_links(member):
    return [
        each
        for each in member.said
        if isinstance(each, LinkOpened | LinkClosed | Parcel | Forwarded)
    ]


async def linked(board):
    a, b = board.member("a", b"hello, a here"), board.member("b", b"hello, b here")
    for member in (a, b):
        await member.until(lambda member: member.up() and about_links(member))
    return a, b


def opened(member):
    [link] = [each for each in member.said if isinstance(each, LinkOpened)]
    return link


def test_a_link_is_reported_before_its_node_and_with_the_greeting_of_its_peer():
    async def scenario(start):
        a, b = await linked(Board(start))
        for one, two in ((a, b), (b, a)):
            link = opened(one)
            assert link.node == two.worker.here.node
            assert link.greeting == two.worker._start.greeting
            assert not link.outdated
            first = next(
                each
                for each in one.said
                if isinstance(each, Happened) and any(isinstance(e, NodeUp) for e in each.events)
            )
            assert one.said.index(link) < one.said.index(first)
            [serving] = [each for each in one.said if isinstance(each, Serving)]
            assert serving.boot_id == one.worker.here.node.boot_id == opened(two).node.boot_id
            assert serving.max_message_bytes == 12_345

    run(scenario)


def test_parcels_arrive_in_order_and_both_applications_learn_of_the_end():
    async def scenario(start):
        a, b = await linked(Board(start))
        payloads = [str(number).encode() * 100 for number in range(200)]
        for payload in payloads:
            a.channel.send_parcel(opened(a).link, payload)
        await b.until(
            lambda b: b.heard(Parcel) and b.said[-1] == Parcel(opened(b).link, payloads[-1])
        )
        assert [each.payload for each in b.said if isinstance(each, Parcel)] == payloads
        await a.until(
            lambda a: sum(each.parcels for each in a.said if isinstance(each, Forwarded)) == 200
        )
        assert await b.stop()
        await a.until(lambda a: any(isinstance(each, NodeDown) for each in a.events))
        for member in (a, b):
            assert about_links(member)[-1] == LinkClosed(opened(member).link)

    run(scenario)


def test_new_greeting_goes_to_peers_that_link_later():
    async def scenario(start):
        board = Board(start)
        a = board.member("a", b"old")
        a.channel.send(SetGreeting(b"new"))
        await a.until(lambda a: a.heard(Serving) and a.worker._forwarding.greeting == b"new")
        b = board.member("b")
        await b.until(lambda b: b.heard(LinkOpened))
        await a.until(lambda a: a.heard(LinkOpened))
        assert opened(b).greeting == b"new"
        assert (opened(a).outdated, opened(a).greetings) == (False, 1)

    run(scenario)


@pytest.mark.parametrize("room", [True, False], ids=["room", "stuck"])
def test_leaving_worker_sends_its_queue_unless_the_peer_takes_nothing(room):
    async def scenario(start):
        board = Board(start)
        a, b = await linked(board)
        board.room.clear()
        for number in range(5):
            a.channel.send_parcel(opened(a).link, bytes([number]))
        leaving = asyncio.create_task(a.stop())
        async with asyncio.timeout(DEADLINE_S):
            await a.stopping.wait()
            if room:
                asyncio.get_running_loop().call_later(0.05, board.room.set)
            assert await leaving
        await b.until(lambda b: b.heard(LinkClosed))
        expected = [bytes([number]) for number in range(5)] if room else []
        assert [each.payload for each in b.said if isinstance(each, Parcel)] == expected

    run(scenario)


def test_connector_that_carries_nothing_says_so_and_opens_no_link():
    async def scenario(start):
        board = Board(start, Mute)
        a, b = board.member("a"), board.member("b")
        for member in (a, b):
            await member.until(lambda member: member.up())
            assert about_links(member) == []
            [serving] = [each for each in member.said if isinstance(each, Serving)]
            assert serving.max_message_bytes is None

    run(scenario)
