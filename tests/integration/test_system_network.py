"""What only the system's network has: its errors, its descriptors, its addresses."""

import asyncio
import errno
import fcntl
import logging
import os
import resource
import select
import socket
import sys
import time
from array import array
from contextlib import ExitStack, asynccontextmanager, contextmanager

import pytest

from cluster_kit import Endpoint, Group, NetworkError, NetworkFault
from cluster_kit.network import StreamReader, faults, streams
from cluster_kit.network.datagrams import BATCH
from cluster_kit.network.system import SystemNetwork
from cluster_kit.testing import leaves_nothing

SIOCOUTQNSD = 0x894B  # <linux/sockios.h>
ANY = Endpoint("127.0.0.1", 0)
HAS_IPV6 = SystemNetwork().has_address("::1")
needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 on this machine")


def run(scenario):
    async def bounded():
        async with asyncio.timeout(60), leaves_nothing():
            await scenario(SystemNetwork())

    asyncio.run(bounded())


class Collector(StreamReader):
    """A reader that keeps what comes in."""

    def __init__(self, stream):
        self.stream = stream
        self.data = bytearray()
        self.losses = 0
        self.news = asyncio.Event()
        stream.start(self)

    def received(self, data):
        self.data += data
        self.news.set()

    def lost(self):
        self.losses += 1
        self.news.set()

    async def until(self, met):
        while not met(self):
            self.news.clear()
            await self.news.wait()


async def ended(collector):
    await collector.until(lambda it: it.losses)


@asynccontextmanager
async def serving(network, at=ANY):
    """Open a listener, and yield it with a queue of what it accepts."""
    listener = await network.listen(at)
    accepted = asyncio.Queue()
    listener.start(accepted.put_nowait)
    try:
        yield listener, accepted
    finally:
        await listener.close()


async def pair(network, at=ANY):
    """Return both ends of a stream."""
    async with serving(network, at) as (listener, accepted):
        return await network.dial(listener.here), await accepted.get()


@contextmanager
def few_descriptors():
    """Leave this process no descriptor at all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        used = stack.enter_context(socket.socket()).fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        while True:
            try:
                stack.enter_context(socket.socket())
            except OSError:
                break
        yield


def test_every_errno_of_the_contract_has_its_fault():
    told = {
        number: faults.network_error(OSError(number, os.strerror(number))).fault
        for number in errno.errorcode
    }
    assert told[errno.EIO] is NetworkFault.FAILED
    known = set(told.values()) | {
        faults.network_error(socket.gaierror(socket.EAI_NONAME, "Name unknown")).fault
    }
    assert known == set(NetworkFault)


def test_errors_have_the_words_of_the_system():
    async def scenario(network):
        unused = socket.create_server(("127.0.0.1", 0))
        to = Endpoint(*unused.getsockname())
        unused.close()
        with pytest.raises(NetworkError, match=r"^connection refused$") as caught:
            await network.dial(to)
        assert caught.value.fault is NetworkFault.REFUSED
        assert isinstance(caught.value.__cause__, ConnectionRefusedError)

    run(scenario)


@pytest.mark.parametrize(
    ("at", "fault"),
    [
        (Endpoint("192.0.2.1", 0), NetworkFault.NOT_OURS),
        (Endpoint("no-such-host.invalid", 0), NetworkFault.NO_SUCH_NAME),
        (Endpoint("fe80::1%nosuch0", 0), NetworkFault.NOT_OURS),
        (Endpoint("a\0b", 0), NetworkFault.NO_SUCH_NAME),
    ],
)
def test_listening_where_that_is_not_possible(at, fault):
    async def scenario(network):
        with pytest.raises(NetworkError) as caught:
            await network.listen(at)
        assert caught.value.fault is fault

    run(scenario)


def test_port_in_use():
    async def scenario(network):
        async with serving(network) as (listener, _):
            with pytest.raises(NetworkError, match="address already in use") as caught:
                await network.listen(listener.here)
            assert caught.value.fault is NetworkFault.IN_USE

    run(scenario)


def test_socket_that_connects_to_itself_is_refused(monkeypatch):
    """The kernel does that if the dialled port is the ephemeral one it picks; here it is bound."""
    ports = []

    class Bound(socket.socket):
        def __init__(self, *args):
            super().__init__(*args)
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.bind(("127.0.0.1", ports[0]))

    async def scenario(network):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            ports.append(sock.getsockname()[1])
        monkeypatch.setattr(streams.socket, "socket", Bound)
        with pytest.raises(NetworkError, match="refused") as caught:
            await network.dial(Endpoint("127.0.0.1", ports[0]))
        monkeypatch.undo()
        assert caught.value.fault is NetworkFault.REFUSED

    run(scenario)


def test_dial_without_descriptors_says_so():
    async def scenario(network):
        async with serving(network) as (listener, _):
            with few_descriptors(), pytest.raises(NetworkError) as caught:
                await network.dial(listener.here)
            assert caught.value.fault is NetworkFault.EXHAUSTED

    run(scenario)


@contextmanager
def warnings_of_the_network():
    """Yield an event that is set by the first warning, and what was logged."""
    first, records = asyncio.Event(), []

    class Handler(logging.Handler):
        def emit(self, record):
            records.append(record.getMessage())
            first.set()

    handler = Handler(logging.WARNING)
    log = logging.getLogger("cluster_kit.network")
    log.addHandler(handler)
    try:
        yield first, records
    finally:
        log.removeHandler(handler)


def test_newcomers_wait_while_there_is_no_descriptor_and_come_in_once_there_is():
    async def scenario(network):
        async with serving(network) as (listener, accepted):
            with socket.socket() as sock, warnings_of_the_network() as (warned, records):
                sock.setblocking(False)
                with few_descriptors():
                    await asyncio.get_running_loop().sock_connect(sock, listener.here)
                    await warned.wait()
                    assert accepted.empty()
                (await accepted.get()).abort()
        assert len(records) == 1
        assert "this process has no file descriptor left; raise its limit: ulimit -n" in records[0]

    run(scenario)


def test_listener_that_is_closed_while_it_rests_never_opens_again():
    async def scenario(network):
        async with serving(network) as (listener, accepted):
            with socket.socket() as sock, warnings_of_the_network() as (warned, _):
                sock.setblocking(False)
                with few_descriptors():
                    await asyncio.get_running_loop().sock_connect(sock, listener.here)
                    await warned.wait()
                    await listener.close()
                    await listener.close()
                assert listener._retry.cancelled()
                assert accepted.empty()

    run(scenario)


def test_listener_that_is_closed_by_its_callback_hands_on_no_more():
    async def scenario(network):
        listener = await network.listen(ANY)
        accepted = asyncio.Queue()

        def accept(stream):
            accepted.put_nowait(stream)
            with pytest.raises(StopIteration):
                listener.close().send(None)  # to its end: it has nothing to wait for

        dialled = [await network.dial(listener.here) for _ in range(3)]
        listener.start(accept)
        taken = await accepted.get()
        for stream in dialled[1:]:
            await ended(Collector(stream))
        assert accepted.empty()
        dialled[0].abort()
        taken.abort()

    run(scenario)


def test_reader_that_raises_loses_its_stream(caplog):
    async def scenario(network):
        here, there = await pair(network)

        class Broken(Collector):
            def received(self, data):
                raise ValueError("a fault of ours")

        told = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: told.append(context["exception"])
        )
        broken, whole = Broken(there), Collector(here)
        here.send(b"x")
        await ended(broken)
        await ended(whole)
        assert [str(error) for error in told] == ["a fault of ours"]

    run(scenario)


def test_what_the_system_does_not_take_is_kept_and_sent_when_it_does():
    async def scenario(network):
        here, there = await pair(network)
        block = bytes(1 << 20)
        sent = 0
        while not here.unsent_bytes:
            here.send(block)
            sent += len(block)
        here.send(b"the end")
        here.close()
        assert here.unsent_bytes
        here.send(b"too late")
        sender, taker = Collector(here), Collector(there)
        await ended(sender)
        await ended(taker)
        assert len(taker.data) == sent + len(b"the end")
        assert taker.data.endswith(b"the end")
        assert (sender.losses, taker.losses, here.unsent_bytes) == (1, 1, 0)

    run(scenario)


@pytest.mark.skipif(
    sys.platform != "linux", reason="asks the Linux kernel what it has not sent yet"
)
def test_kernel_keeps_little_that_it_does_not_send():
    async def scenario(network):
        here, there = await pair(network)
        Collector(here)
        while here.unsent_bytes < 4 * streams.NOT_SENT_BYTES:
            here.send(bytes(65536))
            await asyncio.sleep(0)
        count = array("i", [0])
        fcntl.ioctl(here._sock, SIOCOUTQNSD, count)
        assert count[0] < 2 * streams.NOT_SENT_BYTES
        here.abort()
        there.abort()

    run(scenario)


def test_abort_with_unsent_bytes_ends_at_once_and_once():
    async def scenario(network):
        here, there = await pair(network)
        sender = Collector(here)
        while not here.unsent_bytes:
            here.send(bytes(1 << 20))
        here.close()
        here.abort()
        here.abort()
        assert sender.losses == 0
        await ended(sender)
        await asyncio.sleep(0)
        assert (sender.losses, here.unsent_bytes) == (1, 0)
        there.abort()

    run(scenario)


def test_what_came_in_before_a_reset_is_received_though_a_send_found_out_first():
    """A peer that says goodbye and closes with unread data makes its system reset."""

    async def scenario(network):
        here, there = await pair(network)
        here.send(b"never read")
        select.select([there._sock], [], [])
        there.send(b"goodbye")
        there.abort()
        for _ in range(100):
            here.send(b"x")
        late = Collector(here)
        assert late.losses == 0
        await ended(late)
        assert (bytes(late.data), late.losses, here.unsent_bytes) == (b"goodbye", 1, 0)

    run(scenario)


def test_stream_that_closes_swallows_what_the_other_end_says_until_that_closes():
    async def scenario(network):
        here, there = await pair(network)
        closing = Collector(here)
        here.send(b"goodbye")
        here.close()
        for _ in range(100):  # a reset would make one of them fail
            assert there._sock.send(b"x") == 1
            await asyncio.sleep(0)
        assert not closing.losses
        other = Collector(there)
        await ended(other)
        await ended(closing)
        assert (bytes(other.data), bytes(closing.data), closing.losses) == (b"goodbye", b"", 1)

    run(scenario)


def test_stream_that_closes_does_not_wait_for_ever_for_the_other_end():
    async def scenario(network):
        here, there = await pair(network)
        closing = Collector(here)
        here.close()
        await ended(closing)
        assert here._sock.fileno() == -1
        there.abort()

    run(scenario)


def test_stream_that_is_reset_while_it_closes_ends():
    async def scenario(network):
        here, there = await pair(network)
        sender = Collector(here)
        while not here.unsent_bytes:
            here.send(bytes(1 << 20))
        here.close()
        there.abort()
        await ended(sender)
        assert (sender.losses, here.unsent_bytes) == (1, 0)

    run(scenario)


def test_streams_are_sent_without_delay():
    async def scenario(network):
        for stream in await pair(network):
            assert stream._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            stream.abort()

    run(scenario)


@needs_ipv6
def test_ipv4_address_is_given_as_such_where_a_socket_serves_both():
    async def scenario(network):
        async with serving(network, Endpoint("::", 0)) as (listener, accepted):
            dialled = await network.dial(Endpoint("127.0.0.1", listener.here.port))
            stream = await accepted.get()
            assert stream.here == dialled.there == Endpoint("127.0.0.1", listener.here.port)
            assert stream.there == dialled.here
            stream.abort()
            dialled.abort()

    run(scenario)


@needs_ipv6
def test_streams_by_ipv6():
    async def scenario(network):
        here, there = await pair(network, Endpoint("::1", 0))
        assert here.there == there.here
        assert here.there.host == there.there.host == "::1"
        here.abort()
        there.abort()

    run(scenario)


def link_local():
    """Return an IPv6 address of the link of this machine, with its interface."""
    found = [each for each in SystemNetwork().interfaces() if each.address.startswith("fe80:")]
    return f"{found[0].address}%{found[0].name}" if found else None


@pytest.mark.skipif(link_local() is None, reason="no IPv6 address of the link")
def test_address_of_the_link_has_its_interface():
    async def scenario(network):
        address = link_local()
        assert network.has_address(address)
        assert await network.resolve(address) == [address]
        here, there = await pair(network, Endpoint(address, 0))
        assert {end.host for stream in (here, there) for end in (stream.here, stream.there)} == {
            address
        }
        here.abort()
        there.abort()

    run(scenario)


@pytest.mark.parametrize(
    ("address", "is_ours"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("0.0.0.0", True),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
        ("x", False),
    ],
)
def test_has_address(address, is_ours):
    assert SystemNetwork().has_address(address) is is_ours


def test_interfaces_report_loopback():
    (loopback,) = [each for each in SystemNetwork().interfaces() if each.address == "127.0.0.1"]
    assert (loopback.name, loopback.is_up, loopback.is_loopback) == ("lo", True, True)


def test_no_descriptor_no_interfaces():
    with few_descriptors():
        found = SystemNetwork().interfaces()
    assert found == []


def test_name_is_looked_up_and_each_address_is_reported_once():
    async def scenario(network):
        assert await network.resolve("localhost", version=4) == ["127.0.0.1"]
        assert await network.resolve("127.0.0.1") == ["127.0.0.1"]
        for host, version in (("no-such-host.invalid", None), ("127.0.0.1", 6)):
            with pytest.raises(NetworkError) as caught:
                await network.resolve(host, version=version)
            assert caught.value.fault is NetworkFault.NO_SUCH_NAME

    run(scenario)


def test_clock_and_randomness_are_those_of_the_system():
    async def scenario(network):
        assert abs(network.clock.monotonic_s() - asyncio.get_running_loop().time()) < 60
        assert abs(network.clock.wall_s() - time.time()) < 60
        assert network.random("jitter").random() != network.random("jitter").random()
        assert network.most_streams >= resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    run(scenario)


@pytest.mark.parametrize(
    ("group", "fault"),
    [
        (Group("230.1.1.251", 45000, via="192.0.2.1", heard_on="127.0.0.1"), NetworkFault.NOT_OURS),
        (Group("230.1.1.251", 45000, via="127.0.0.1", heard_on="192.0.2.1"), NetworkFault.NOT_OURS),
        (Group("ff12::1", 45000, via="::1%nosuch0", heard_on="::1%nosuch0"), NetworkFault.NOT_OURS),
    ],
)
def test_joining_where_that_is_not_possible(group, fault):
    async def scenario(network):
        with pytest.raises(NetworkError) as caught:
            await network.join(group, max_bytes=100)
        assert caught.value.fault is fault

    run(scenario)


def test_group_port_of_a_program_that_does_not_share_it():
    async def scenario(network):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("230.1.1.251", 0))
            group = Group(
                "230.1.1.251", sock.getsockname()[1], via="127.0.0.1", heard_on="127.0.0.1"
            )
            with pytest.raises(NetworkError) as caught:
                await network.join(group, max_bytes=100)
            assert caught.value.fault is NetworkFault.IN_USE

    run(scenario)


def test_datagrams_arrive_in_order_and_no_more_after_a_pause():
    async def scenario(network):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        here = await network.join(
            Group("230.1.1.251", port, via="127.0.0.1", heard_on="127.0.0.1"), max_bytes=2
        )
        calls = []
        news = asyncio.Event()

        def hear(datagrams):
            calls.append(list(datagrams))
            here.pause()
            news.set()

        sent = [b"%d" % number for number in range(2 * BATCH)] + [b"1234"]
        for data in sent:
            here.send(data)
        while sum(map(len, calls)) < len(sent):
            count = len(calls)
            here.listen(hear)
            await news.wait()
            news.clear()
            await asyncio.sleep(0)
            assert len(calls) == count + 1
            assert len(calls[-1]) <= BATCH
        assert [datagram for call in calls for datagram in call] == [
            (data[:3], here.here) for data in sent
        ]
        here.send(b"5" * 65000, here.here._replace(host="127.0.0.2"))
        with pytest.raises(NetworkError) as caught:
            here.send(b"6" * 70000)
        assert caught.value.fault is NetworkFault.FAILED
        here.close()
        here.close()

    run(scenario)


def test_datagrams_that_are_closed_may_be_paused():
    async def scenario(network):
        datagrams = await network.join(
            Group("239.192.7.9", 45999, via="127.0.0.1", heard_on="127.0.0.1"), max_bytes=10
        )
        datagrams.listen(lambda *_: None)
        datagrams.close()
        datagrams.pause()
        datagrams.close()

    run(scenario)
