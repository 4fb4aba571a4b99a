"""Other programs at EPMD's port: garbage, silence, cuts and floods fail one look-up only."""

import asyncio
import contextlib
import struct
import tracemalloc

import pytest
from epmd_server import DEADLINE_S, free_port
from waiting import run

from cluster_kit.abc import Failed, Found
from cluster_kit.node import Node
from cluster_kit.strategies.epmd import EpmdStrategy
from cluster_kit.strategies.erlang_hosts import ErlangHostsStrategy
from cluster_kit.strategies.local_epmd import LocalEpmdStrategy
from cluster_kit.testing import FakeDiscovery, Listener
from cluster_kit.testing.leaks import close_server
from cluster_kit.wire.epmd import MAX_LISTING_BYTES, MAX_PORT_ANSWER_BYTES

ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:45001")
BOB = Node(name="bob@127.0.0.2", address="127.0.0.2:4711")
LISTING = struct.pack(">I", 4369)
FOUND_BOB = b"w\x00" + struct.pack(">HBBHH", 4711, 77, 0, 6, 5) + b"\x00\x03bob" + b"\x00\x00"


@contextlib.asynccontextmanager
async def serving(host, port, behave, **options):
    """Let ``behave(request, writer)`` answer at ``host`` until the block ends."""
    tasks, is_over = set(), False

    async def serve(reader, writer):
        try:
            (size,) = struct.unpack(">H", await reader.readexactly(2))
            await behave(await reader.readexactly(size), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass

    def accept(reader, writer):
        """Accept a connection and close it by the end, whether or not its task has begun."""
        if is_over:
            writer.transport.abort()
            return
        task = asyncio.create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(lambda _: writer.transport.abort())

    server = await asyncio.start_server(accept, host, port, **options)
    try:
        yield
    finally:
        is_over = True
        await close_server(server)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(3):  # what was being accepted is taken in, and gone, by then
            await asyncio.sleep(0)


def answering(answers):
    async def behave(request, writer):
        writer.write(answers.get(request[:1], b""))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return behave


honest = answering(
    {b"n": LISTING + b"name bob at port 4711\n", b"z": FOUND_BOB, b"x": b"y\x01\x00c"}
)


async def silent(request, writer):
    await asyncio.Event().wait()


async def dripping(request, writer):
    for byte in (LISTING + b"name x at port 1\n" * 1000) if request[:1] == b"n" else FOUND_BOB:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.2)


async def flooding(request, writer):
    while True:
        writer.write(LISTING + b"name x at port 1\n" * 4096)
        await writer.drain()


def of_all(answer):
    return answering(dict.fromkeys([b"n", b"z", b"x"], answer))


HOSTILE = {
    "closes": of_all(b""),
    "http": of_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
    "noise": of_all(bytes(range(256))),
    "cut listing": answering({b"n": LISTING + b"name bob at port 47", b"z": FOUND_BOB}),
    "cut entry": answering({b"n": LISTING + b"name bob at port 4711\n", b"z": FOUND_BOB[:-3]}),
    "another entry": answering({b"n": LISTING + b"name eve at port 4711\n", b"z": FOUND_BOB}),
    "long entry": answering(
        {b"n": LISTING + b"name bob at port 1\n", b"z": FOUND_BOB + bytes(MAX_PORT_ANSWER_BYTES)}
    ),
    "too many names": answering({b"n": LISTING + b"name x at port 1\n" * 5000, b"z": FOUND_BOB}),
    "long listing": answering({b"n": LISTING + bytes(2 * MAX_LISTING_BYTES)}),
    "flood": flooding,
    "silence": silent,
    "drip": dripping,
}

each_hostile = pytest.mark.parametrize("behave", HOSTILE.values(), ids=HOSTILE)


@each_hostile
def test_hostile_epmd_is_a_failed_lookup(behave):
    async def scenario():
        port = free_port()
        strategy = LocalEpmdStrategy(epmd_port=port, interval_s=0.1, deadline_s=0.5, register=False)
        async with (
            serving("127.0.0.1", port, behave),
            Listener(strategy, FakeDiscovery(ANN)) as ann,
        ):
            failed = await ann.until(lambda each: isinstance(each, Failed), "a failure")
            assert f"127.0.0.1:{port}" in str(failed.error)
            assert len(str(failed.error)) < 500
            assert not [each for each in ann.observations if isinstance(each, Found)]

    run(scenario)


@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [
        ("closes", "it closed the connection without an answer"),
        ("http", "another program than EPMD listens there"),
        ("silence", "no answer within 0.5 s: it accepts connections but sends nothing"),
    ],
)
def test_cause_is_named(behaviour, cause):
    async def scenario():
        port = free_port()
        strategy = LocalEpmdStrategy(epmd_port=port, deadline_s=0.5, register=False)
        async with (
            serving("127.0.0.1", port, HOSTILE[behaviour]),
            Listener(strategy, FakeDiscovery(ANN)) as ann,
        ):
            assert cause in str(await ann.until(lambda _: True, "a failure"))

    run(scenario)


@each_hostile
def test_hostile_epmd_delays_no_other(behave, tmp_path):
    async def scenario():
        port, path = free_port(), tmp_path / ".hosts.erlang"
        path.write_text("'127.0.0.1'.\n'127.0.0.2'.\n")
        strategy = ErlangHostsStrategy(path=path, epmd_port=port, deadline_s=10 * DEADLINE_S)
        both = serving("127.0.0.1", port, behave), serving("127.0.0.2", port, honest)
        async with both[0], both[1], Listener(strategy, FakeDiscovery(ANN)) as ann:
            assert await ann.until(lambda each: isinstance(each, Found), "bob") == Found([BOB])

    run(scenario)


@each_hostile
def test_hostile_epmd_does_not_hang_the_start(behave):
    async def scenario():
        port, ctx = free_port(), FakeDiscovery(ANN)
        strategy = LocalEpmdStrategy(epmd_port=port, interval_s=0.1, deadline_s=10 * DEADLINE_S)
        async with serving("127.0.0.1", port, behave), Listener(strategy, ctx):
            await asyncio.wait_for(ctx.has_announced.wait(), DEADLINE_S)

    run(scenario)


@each_hostile
def test_known_nodes_are_kept_while_an_epmd_is_hostile(behave, tmp_path):
    async def scenario():
        port, path = free_port(), tmp_path / ".hosts.erlang"
        path.write_text("'127.0.0.2'.\n")
        strategy = ErlangHostsStrategy(
            path=path,
            epmd_port=port,
            interval_s=0.1,
            deadline_s=0.5,
            gone_after_s=0.0,
            register=False,
        )
        async with Listener(strategy, FakeDiscovery(ANN)) as ann:
            async with serving("127.0.0.2", port, honest):
                await ann.until(lambda each: each == Found([BOB]), "bob")
                since = len(ann.observations)
            async with serving("127.0.0.2", port, behave):
                await ann.until(lambda each: isinstance(each, Failed), "a failure", since=since)
                await ann.hear(lambda _: False, within_s=0.5)
            answers = [each for each in ann.observations[since:] if isinstance(each, Found)]
            assert all(each == Found([BOB]) for each in answers)

    run(scenario)


def test_answers_of_any_size_cost_little_memory():
    async def scenario():
        port = free_port()
        strategy = LocalEpmdStrategy(
            epmd_port=port, interval_s=0.05, deadline_s=5.0, register=False
        )
        async with serving("127.0.0.1", port, flooding):
            tracemalloc.start()
            try:
                async with Listener(strategy, FakeDiscovery(ANN)) as ann:
                    await ann.until(lambda each: isinstance(each, Failed), "a failure")
                assert tracemalloc.get_traced_memory()[1] < 20 * MAX_LISTING_BYTES
            finally:
                tracemalloc.stop()

    run(scenario)


def test_registrations_that_are_cut_at_once_are_not_repeated_in_a_storm():
    async def scenario():
        port, asked, many = free_port(), 0, asyncio.Event()
        began_s = asyncio.get_running_loop().time()

        async def accept_and_cut(request, writer):
            nonlocal asked
            if request[:1] == b"x":
                asked += 1
                many.set() if asked == 5 else None
                writer.write(b"y\x00\x00\x01")
                await writer.drain()

        strategy = LocalEpmdStrategy(epmd_port=port, interval_s=60.0)
        async with (
            serving("127.0.0.1", port, accept_and_cut),
            Listener(strategy, FakeDiscovery(ANN)),
        ):
            await asyncio.wait_for(many.wait(), DEADLINE_S)
            assert asyncio.get_running_loop().time() - began_s > 0.5

    run(scenario)


# Those who don't answer beside one who does


def crowd(port, **options):
    """Return a strategy that asks 200 EPMDs that say nothing, and at last that of bob."""
    hosts = [*(f"web@127.9.0.{number}" for number in range(1, 201)), BOB.name]
    options = {"hosts": hosts, "epmd_port": port, "interval_s": 0.1, "register": False} | options
    return EpmdStrategy(**options)


@contextlib.asynccontextmanager
async def beside_the_mute(port, behave):
    mute = serving("0.0.0.0", port, silent, reuse_port=True, backlog=512)
    async with mute, serving("127.0.0.2", port, behave, reuse_port=True):
        yield


def finds(node):
    return lambda each: (
        isinstance(each, Found) and {found.address for found in each.nodes} == {node}
    )


def test_two_hundred_mute_epmds_hold_up_no_other():
    port = free_port()

    async def scenario():
        strategy = crowd(port, deadline_s=300.0)
        async with beside_the_mute(port, honest), Listener(strategy, FakeDiscovery(ANN)) as heard:
            await heard.until(finds(BOB.address), "bob")
            assert not [each for each in heard.observations if isinstance(each, Failed)]

    run(scenario)


def test_those_that_did_not_answer_never_stand_in_line_before_others(monkeypatch):
    monkeypatch.setattr("cluster_kit.strategies.epmd.session.DOUBTFUL_AT_ONCE", 2)
    port = free_port()
    answers = {b"z": FOUND_BOB}

    async def scenario():
        strategy = crowd(port, deadline_s=1.0, gone_after_s=0.0)
        listener = Listener(strategy, FakeDiscovery(ANN), deadline_s=DEADLINE_S)
        async with beside_the_mute(port, answering(answers)), listener as heard:
            await heard.until(lambda each: isinstance(each, Failed), "a failure")
            ports = struct.pack(">H", 4711), struct.pack(">H", 4712)
            answers[b"z"] = FOUND_BOB.replace(*ports)
            await heard.until(finds("127.0.0.2:4712"), "bob at another port")

    run(scenario)
