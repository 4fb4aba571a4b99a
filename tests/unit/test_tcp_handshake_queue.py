"""Handshakes take turns: how many are under way, which is next, and which makes way."""

import asyncio

import pytest

from cluster_kit import Endpoint, StreamReader
from cluster_kit.connectors.tcp.admission import MAX_HALF_OPEN
from cluster_kit.connectors.tcp.handshake_queue import (
    MAX_AT_ONCE,
    MAX_FIRST_BYTES,
    TURN_S,
    WAIT_S,
    HandshakeQueue,
)
from cluster_kit.connectors.tcp.hub import HANDSHAKE_S
from cluster_kit.testing import MemoryNetwork, run_virtually

RECORD = b"\x16\x03\x01\x00\x04abcd"
PLAIN = b"\x00\x00\x00\x05\x95abcd"
PORT = 4370
ARRIVAL_S = 0.05  # in virtual time: what was said is there by then
TOLERANCE_S = 0.2  # some of a crowd dial later than others


def now():
    return asyncio.get_running_loop().time()


class Reader(StreamReader):
    """The end that a handshake would go on at."""

    def __init__(self):
        self.got = b""
        self.begun_s = self.relieved_s = self.ended_s = None

    def received(self, data):
        self.begun_s = self.begun_s or now()
        self.got += bytes(data)

    def relieved(self):
        self.relieved_s = now()

    def lost(self):
        self.ended_s = now()


class Node:
    """Takes in streams by turns.

    Attributes:
        readers: Those of the streams that came in, in order.
        streams: These streams.
        diallers: The readers at their other ends.
    """

    def __init__(self, hosts):
        self.queue = HandshakeQueue()
        self.readers = []
        self.streams = []
        self.diallers = []
        self._hosts = hosts
        self._dialled = []

    async def listen(self):
        self._listener = await self._hosts[0].listen(Endpoint(self._hosts[0].addresses[0], PORT))
        self._listener.start(self._accept)

    def _accept(self, stream):
        conn = len(self.readers)
        reader = Reader()
        self.readers.append(reader)
        self.streams.append(self.queue.enqueue(conn, stream))
        self.streams[-1].start(reader)

    async def say(self, words, host=1, times=1):
        """Dial, and say ``words``; return the readers at this node when it has heard them."""
        since = len(self.readers)
        for _ in range(times):
            stream = await self._hosts[host].dial(Endpoint(self._hosts[0].addresses[0], PORT))
            self.diallers.append(Reader())
            stream.start(self.diallers[-1])
            self._dialled.append(stream)
            if words:
                stream.send(words)
        await asyncio.sleep(ARRIVAL_S)
        return self.readers[since:]

    async def go_on(self, words):
        """Say more on the stream that was dialled last."""
        self._dialled[-1].send(words)
        await asyncio.sleep(ARRIVAL_S)


def play(scenario):
    memory = MemoryNetwork(seed=7)
    hosts = [memory.host(f"10.0.0.{number}") for number in range(1, 4)]

    async def run():
        node = Node(hosts)
        await node.listen()
        await scenario(node)

    return run_virtually(run())


def begun(readers):
    return sum(reader.begun_s is not None for reader in readers)


def test_handshakes_under_way_are_limited():
    async def scenario(node):
        readers = await node.say(RECORD, times=MAX_AT_ONCE + 3)
        assert begun(readers) == MAX_AT_ONCE
        assert readers[0].got == RECORD
        node.queue.release(4)
        node.queue.release(4)
        assert begun(readers) == MAX_AT_ONCE + 1
        assert readers[MAX_AT_ONCE].got == RECORD

    play(scenario)


def test_no_handshake_makes_way_while_none_waits():
    async def scenario(node):
        readers = await node.say(RECORD, times=MAX_AT_ONCE)
        await asyncio.sleep(10 * TURN_S)
        assert not any(reader.ended_s for reader in readers)

    play(scenario)


def test_oldest_handshake_makes_way_for_a_waiting_one_after_its_turn():
    async def scenario(node):
        readers = await node.say(RECORD, times=MAX_AT_ONCE)
        [newcomer] = await node.say(RECORD)
        assert newcomer.begun_s is None
        await asyncio.sleep(TURN_S)
        assert newcomer.begun_s == pytest.approx(readers[0].begun_s + TURN_S)
        assert [reader.ended_s is not None for reader in readers] == [True] + [False] * (
            MAX_AT_ONCE - 1
        )

    play(scenario)


def test_all_of_a_full_crowd_have_a_turn_and_time_for_it():
    async def scenario(node):
        since_s = now()
        readers = await node.say(RECORD, times=MAX_HALF_OPEN)
        await asyncio.sleep(HANDSHAKE_S)
        assert (
            max(reader.begun_s for reader in readers)
            < since_s + WAIT_S + TOLERANCE_S
            < since_s + HANDSHAKE_S
        )
        assert (
            min(reader.ended_s - reader.begun_s for reader in readers if reader.ended_s)
            > TURN_S / 2 - TOLERANCE_S
        )

    play(scenario)


def test_host_with_a_crowd_is_passed_by_those_of_another():
    async def scenario(node):
        crowd = await node.say(RECORD, times=2 * MAX_AT_ONCE)
        [newcomer] = await node.say(RECORD, host=2)
        node.queue.release(0)
        assert newcomer.begun_s is not None
        assert begun(crowd) == MAX_AT_ONCE

    play(scenario)


@pytest.mark.parametrize("words", [b"", RECORD[:1], RECORD[:-1]], ids=len)
def test_connection_without_a_whole_record_takes_no_turn(words):
    async def scenario(node):
        slow = await node.say(words, times=2 * MAX_AT_ONCE)
        assert not begun(slow)
        assert begun(await node.say(RECORD)) == 1

    play(scenario)


def test_record_in_pieces_is_passed_on_whole():
    async def scenario(node):
        [reader] = await node.say(RECORD[:3])
        for piece in (RECORD[3:7], RECORD[7:], b"more"):
            await node.go_on(piece)
        assert reader.got == RECORD + b"more"

    play(scenario)


def test_connection_without_tls_takes_no_turn():
    async def scenario(node):
        await node.say(RECORD, times=MAX_AT_ONCE)
        [plain] = await node.say(PLAIN + bytes(2 * MAX_FIRST_BYTES))
        await node.go_on(RECORD)
        assert plain.got == PLAIN + bytes(2 * MAX_FIRST_BYTES) + RECORD

    play(scenario)


def test_connection_that_sends_too_much_before_its_turn_is_closed():
    async def scenario(node):
        await node.say(RECORD, times=MAX_AT_ONCE)
        most = RECORD + bytes(MAX_FIRST_BYTES - len(RECORD))
        [patient] = await node.say(most)
        [much] = await node.say(RECORD + bytes(MAX_FIRST_BYTES))
        [piecemeal] = await node.say(RECORD)
        await node.go_on(bytes(MAX_FIRST_BYTES))
        for reader in (much, piecemeal):
            assert reader.ended_s is not None
            assert not reader.got
        node.queue.release(0)
        assert patient.got == most

    play(scenario)


def test_reader_is_notified_when_its_unsent_data_is_sent():
    async def scenario(node):
        [reader] = await node.say(RECORD)
        node.streams[0].send(bytes(1_000_000))
        assert node.streams[0].unsent_bytes
        await asyncio.sleep(ARRIVAL_S)
        assert reader.relieved_s is not None
        assert not node.streams[0].unsent_bytes

    play(scenario)


@pytest.mark.parametrize("end", ["close", "abort"])
def test_connection_closed_before_its_turn_delivers_nothing(end):
    async def scenario(node):
        await node.say(RECORD, times=MAX_AT_ONCE)
        [reader] = await node.say(RECORD)
        getattr(node.streams[-1], end)()
        node.queue.release(0)
        await asyncio.sleep(ARRIVAL_S)
        assert not reader.got
        assert node.diallers[-1].ended_s is not None

    play(scenario)


def test_connection_that_leaves_before_its_turn_takes_none():
    async def scenario(node):
        await node.say(RECORD, times=MAX_AT_ONCE)
        [leaver, newcomer] = await node.say(RECORD, times=2)
        node.queue.release(MAX_AT_ONCE)
        node.queue.release(0)
        assert leaver.begun_s is None
        assert newcomer.begun_s is not None

    play(scenario)
