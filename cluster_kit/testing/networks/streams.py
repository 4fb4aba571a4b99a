"""Rules on streams and listeners."""

from __future__ import annotations

import asyncio

from cluster_kit.errors import NetworkFault
from cluster_kit.network import Endpoint, Network, Stream
from cluster_kit.testing.networks.harness import BULK, CLOSE, NetworkHarness, StreamRecorder
from cluster_kit.testing.rules import contract

NOT_OURS = "No interface of this machine has the address."
NO_PORT = "A port is 0 to 65535; to use another number fails as ``failed``."
IMPOSSIBLE_PORTS = (-1, 65536)
CLOSE_LISTENER = (
    "Accept no more, abort the streams not passed on, and wait for their end. Idempotent."
)
START = "Start to receive, but never within this call; until then, bytes and the end wait."
LOST = "Called exactly once, as the last, when the stream has ended, whichever end closed it."


class StreamRules(NetworkHarness):
    """Streams are ordered and reliable, end once, and wait until they are read."""

    # Opening

    @contract("An IPv4 address has its own form, even if a socket serves both protocols.")
    async def test_both_ends_agree_on_where_they_are(self, ann: Network, bob: Network) -> None:
        """One end's ``here`` is the other's ``there``."""
        async with self.pair(ann, bob) as (ours, theirs):
            assert ours.here == theirs.there, f"{ours.here} is {theirs.there} at the other end"
            assert theirs.here == ours.there, f"{theirs.here} is {ours.there} at the other end"
            assert ours.there.host == self.other_address

    @contract("Where it listens, with the actual port.")
    async def test_the_listener_reports_its_actual_port(self, bob: Network) -> None:
        """With port 0 the system chooses a port, which ``here`` contains."""
        async with self.serving(bob) as (listener, _):
            assert listener.here.host == self.other_address
            assert listener.here.port > 0

    @contract("Nobody listens at the address.")
    async def test_dialling_a_closed_port_is_refused(self, ann: Network, bob: Network) -> None:
        """A dial to an address where nothing listens fails as ``refused``."""
        to = Endpoint(self.other_address, await self.free_port(bob, self.other_address))
        error = await self.refusal(ann.dial(to), f"dial to {to}, where nothing listens")
        assert error.fault is NetworkFault.REFUSED, (
            f"nothing listens at {to}, but the fault is {error.fault!r}"
        )

    @contract("Another program uses the port exclusively.")
    async def test_listening_on_a_port_in_use_fails(self, bob: Network) -> None:
        """A second listener at one address and port fails as ``in use``."""
        async with self.serving(bob) as (listener, _):
            error = await self.refusal(bob.listen(listener.here), "listen at a port in use")
            assert error.fault is NetworkFault.IN_USE

    @contract(NOT_OURS)
    async def test_listening_at_a_foreign_address_fails(self, ann: Network) -> None:
        """Listening at an address of another machine fails as ``not ours``."""
        error = await self.refusal(
            ann.listen(Endpoint(self.foreign_address, 0)), "listen at a foreign address"
        )
        assert error.fault is NetworkFault.NOT_OURS

    @contract(NO_PORT)
    async def test_a_port_out_of_range_fails(self, ann: Network, bob: Network) -> None:
        """Dialling and listening at a port out of range fail as ``failed``."""
        for port in IMPOSSIBLE_PORTS:
            for what, name in ((ann.dial, "dial"), (bob.listen, "listen")):
                error = await self.refusal(
                    what(Endpoint(self.other_address, port)), f"{name} at port {port}"
                )
                assert error.fault is NetworkFault.FAILED, (
                    f"{name} at port {port} fails as {error.fault!r}"
                )

    @contract(
        "Pass each stream to ``accept``, but never within this call; until then, others wait."
    )
    async def test_streams_wait_for_the_listener_to_start(self, ann: Network, bob: Network) -> None:
        """Dials succeed before ``start``; the streams are accepted after that call, each once."""
        accepted: list[Stream] = []
        come = asyncio.Event()

        def accept(stream: Stream) -> None:
            accepted.append(stream)
            if len(accepted) == 2:
                come.set()

        listener = await bob.listen(Endpoint(self.other_address, 0))
        dialled = [
            await self.within(ann.dial(listener.here), "dial before start") for _ in range(2)
        ]
        listener.start(accept)
        assert accepted == [], "a stream was accepted within start"
        await self.within(come.wait(), "two streams to be accepted")
        assert {stream.there for stream in accepted} == {stream.here for stream in dialled}
        await listener.close()
        for stream in (*dialled, *accepted):
            stream.abort()

    @contract(CLOSE_LISTENER)
    async def test_a_closed_listener_accepts_nothing_more(self, ann: Network, bob: Network) -> None:
        """After ``close``, even twice, dials are refused, and open streams stay open."""
        async with self.serving(bob) as (listener, accepted):
            ours = await self.within(ann.dial(listener.here), "dial")
            theirs = await self.within(accepted.get(), "a stream to be accepted")
            await listener.close()
            await listener.close()
            error = await self.refusal(ann.dial(listener.here), "dial to a closed listener")
            assert error.fault is NetworkFault.REFUSED
            reader = self.reader(theirs)
            ours.send(b"still here")
            assert await reader.got(10) == b"still here"
            ours.abort()
            theirs.abort()

    @contract(CLOSE_LISTENER)
    async def test_a_closed_listener_aborts_unaccepted_streams(
        self, ann: Network, bob: Network
    ) -> None:
        """A stream that was not accepted by the application ends when the listener closes."""
        listener = await bob.listen(Endpoint(self.other_address, 0))
        ours = await self.within(ann.dial(listener.here), "dial before start")
        await listener.close()
        await self.reader(ours).ended()

    @contract("if this is cancelled, nothing remains open.")
    async def test_a_cancelled_dial_leaves_nothing(self, ann: Network, bob: Network) -> None:
        """If a dial is cancelled, the stream that the other end may have accepted ends."""
        async with self.serving(bob) as (listener, accepted):
            for turns in range(4):
                dialling = asyncio.create_task(ann.dial(listener.here))
                for _ in range(turns):
                    await asyncio.sleep(0)
                dialling.cancel()
                await asyncio.wait([dialling])
                if not dialling.cancelled():
                    dialling.result().abort()  # it had already succeeded
            last = await self.within(ann.dial(listener.here), "dial")
            while (
                stream := await self.within(accepted.get(), "a stream to be accepted")
            ).there != last.here:
                await self.reader(stream).ended()
            stream.abort()
            last.abort()

    # Sending and receiving

    @contract("Send ``data`` in order, without waiting")
    async def test_bytes_arrive_whole_and_in_order(self, ann: Network, bob: Network) -> None:
        """All bytes arrive in order, both ways."""
        async with self.pair(ann, bob) as ends:
            readers = [self.reader(end) for end in ends]
            parts = [bytes([number % 251]) * (number % 1000) for number in range(500)]
            for part in (*parts, BULK):
                for end in ends:
                    end.send(part)
            whole = b"".join((*parts, BULK))
            for reader in readers:
                assert await reader.got(len(whole)) == whole, (
                    "the bytes received differ from the bytes sent"
                )

    @contract(START)
    async def test_nothing_is_received_before_start(self, ann: Network, bob: Network) -> None:
        """Bytes wait until ``start``, and are never received within that call."""
        async with self.pair(ann, bob) as (ours, theirs):
            ours_reader = self.reader(ours)
            theirs.send(b"go on")
            ours.send(b"early")
            await ours_reader.got(5)
            reader = self.reader(theirs)
            assert not reader.data, "bytes were received within start"
            assert await reader.got(5) == b"early"

    @contract(START)
    async def test_the_end_is_not_reported_before_start(self, ann: Network, bob: Network) -> None:
        """A stream that ended before ``start`` first delivers its bytes, then calls ``lost``."""
        async with self.pair(ann, bob) as (ours, theirs):
            closing = self.reader(ours)
            ours.send(b"last words")
            ours.close()
            await closing.ended()
            await self.a_while(ann, bob)
            reader = self.reader(theirs)
            assert not reader.losses, "lost was called within start"
            await reader.ended()
            assert bytes(reader.data) == b"last words"

    # Ending

    @contract("do nothing if the stream is closing or lost.")
    async def test_nothing_is_sent_after_close(self, ann: Network, bob: Network) -> None:
        """``send`` on a closing stream does nothing."""
        async with self.pair(ann, bob) as (ours, theirs):
            ours.send(b"before")
            ours.close()
            ours.send(b"after")
            reader = self.reader(theirs)
            await reader.ended()
            assert bytes(reader.data) == b"before"

    @contract(CLOSE)
    async def test_nothing_is_received_after_close(self, ann: Network, bob: Network) -> None:
        """After ``close`` nothing is received, even of what has already arrived."""

        class Closer(StreamRecorder):
            bytes_at_close = 0

            def received(self, data: memoryview) -> None:
                super().received(data)
                theirs.close()
                self.bytes_at_close = self.bytes_at_close or len(self.data)

        async with self.pair(ann, bob) as (ours, theirs):
            closer = Closer(self.deadline_s)
            theirs.start(closer)
            other = self.reader(ours)
            ours.send(BULK)
            ours.send(BULK)
            await closer.ended()
            await other.ended()
            assert len(closer.data) == closer.bytes_at_close, "bytes were received after close"

    @contract(LOST)
    async def test_close_reports_the_end_once(self, ann: Network, bob: Network) -> None:
        """``lost`` is called once, as the last, never within ``close``."""
        async with self.pair(ann, bob) as (ours, theirs):
            reader, other = self.reader(ours), self.reader(theirs)
            ours.close()
            ours.close()
            assert not reader.losses, "lost() was called within close()"
            await reader.ended()
            ours.close()
            ours.abort()
            await self._only_one_end(ann, bob, reader, other)

    @contract(LOST)
    async def test_abort_reports_the_end_once(self, ann: Network, bob: Network) -> None:
        """``abort`` ends a stream at once, even one with unsent bytes.

        ``lost`` is called once at each end, never within ``abort``.
        """
        async with self.pair(ann, bob) as (ours, theirs):
            reader = self.reader(ours)
            await self.fill(ours)
            ours.close()
            ours.abort()
            ours.abort()
            assert not reader.losses, "lost() was called within abort()"
            await reader.ended()
            ours.send(b"nothing")
            assert ours.unsent_bytes == 0, "an aborted stream keeps unsent bytes"
            await self._only_one_end(ann, bob, reader, self.reader(theirs))

    @contract(LOST)
    async def test_the_end_is_reported_when_the_other_end_closes(
        self, ann: Network, bob: Network
    ) -> None:
        """When the other end closes, ``lost`` is called once, and sending does nothing."""
        async with self.pair(ann, bob) as (ours, theirs):
            reader, other = self.reader(ours), self.reader(theirs)
            theirs.close()
            await reader.ended()
            ours.send(b"nothing")
            await self._only_one_end(ann, bob, reader, other)

    async def _only_one_end(self, ann: Network, bob: Network, *readers: StreamRecorder) -> None:
        """Wait for the ends of all readers, and check that no second one follows."""
        for reader in readers:
            await reader.ended()
        await self.a_while(ann, bob)
        for reader in readers:
            assert reader.losses == 1, f"lost() was called {reader.losses} times"
            assert not reader.late, "bytes were received after lost()"
