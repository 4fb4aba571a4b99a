"""Networks that each break one sentence of the contract; the suite must fail at ``breaks`` only.

Collected by ``test_offending_networks`` only, in processes of its own. All are in memory, in
virtual time.
"""

import asyncio
import contextlib
import threading
from random import Random
from typing import ClassVar

from cluster_kit import (
    Datagram,
    Datagrams,
    Endpoint,
    Listener,
    Network,
    NetworkError,
    NetworkFault,
    Stream,
)
from cluster_kit.testing import InMemory, NetworkConformance


class Suite(InMemory, NetworkConformance):
    def make_network(self):
        return self.cls(super().make_network())

    def make_other(self):
        return self.cls(super().make_other())


class SoundStream(Stream):
    """Passes everything on."""

    def __init__(self, stream):
        self.inner = stream
        self.here, self.there = stream.here, stream.there
        self.reader = None

    def start(self, reader):
        self.reader = reader
        self.inner.start(self)

    def received(self, data):
        self.reader.received(data)

    def relieved(self):
        self.reader.relieved()

    def lost(self):
        self.reader.lost()

    def send(self, data):
        self.inner.send(data)

    @property
    def unsent_bytes(self):
        return self.inner.unsent_bytes

    def close(self):
        self.inner.close()

    def abort(self):
        self.inner.abort()


class ClosingStream(SoundStream):
    """Knows whether it was closed here."""

    is_closing = False

    def close(self):
        self.is_closing = True
        super().close()

    def abort(self):
        self.is_closing = True
        super().abort()


class SoundListener(Listener):
    stream = SoundStream

    def __init__(self, listener):
        self.inner = listener
        self.here = listener.here

    def start(self, accept):
        self.inner.start(lambda stream: accept(self.stream(stream)))

    async def close(self):
        await self.inner.close()


class SoundDatagrams(Datagrams):
    def __init__(self, datagrams):
        self.inner = datagrams
        self.here = datagrams.here

    def listen(self, hear):
        self.inner.listen(hear)

    def pause(self):
        self.inner.pause()

    def send(self, data, to=None):
        self.inner.send(data, to)

    def close(self):
        self.inner.close()


class Sound(Network):
    stream = SoundStream
    listener = SoundListener
    datagrams = SoundDatagrams

    def __init__(self, network):
        self.inner = network
        self.clock = network.clock
        self.most_streams = network.most_streams

    def random(self, concern):
        return self.inner.random(concern)

    async def resolve(self, host, *, version=None):
        return await self.inner.resolve(host, version=version)

    def interfaces(self):
        return self.inner.interfaces()

    def has_address(self, address):
        return self.inner.has_address(address)

    async def listen(self, at):
        listener = self.listener(await self.inner.listen(at))
        listener.stream = self.stream
        return listener

    async def dial(self, to):
        return self.stream(await self.inner.dial(to))

    async def join(self, group, *, max_bytes):
        return self.datagrams(await self.inner.join(group, max_bytes=max_bytes))


def breaks(*rules):
    """Run the suite on a network that breaks ``rules``."""

    def register(cls):
        parts = [part for part in (Stream, Listener, Datagrams) if issubclass(cls, part)]
        attributes = {part.__name__.lower(): cls for part in parts}
        network = type(cls.__name__, (Sound,), attributes) if parts else cls
        name = f"Test{cls.__name__}"
        globals()[name] = type(
            name, (Suite,), {"cls": network, "breaks": frozenset(rules), "__module__": __name__}
        )
        return cls

    return register


@breaks()
class Nothing(Sound):
    """Sound."""


# Streams


@breaks("test_both_ends_agree_on_where_they_are")
class KnowsTheWrongEnd(Sound):
    async def listen(self, at):
        listener = await super().listen(at)
        listener.stream = self.accepted
        return listener

    def accepted(self, stream):
        accepted = SoundStream(stream)
        accepted.here = Endpoint("::ffff:" + stream.here.host, stream.here.port)
        return accepted


@breaks("test_bytes_arrive_whole_and_in_order")
class ReordersAStream(SoundStream):
    held = b""

    def send(self, data):
        first = data[:1] == b"\x07"
        if self.held:
            super().send(data + self.held)
            self.held = b""
        elif first:
            self.held = data
        else:
            super().send(data)


@breaks("test_nothing_is_received_before_start", "test_the_end_is_not_reported_before_start")
class ReceivesWithinStart(SoundStream):
    is_over = False

    def start(self, reader):
        while self.inner._inbox:
            data = self.inner._inbox.popleft()
            self.inner.peer._peer_read(len(data))
            reader.received(memoryview(data))
        if self.inner._fin_received:
            self.is_over = True
            reader.lost()
        super().start(reader)

    def lost(self):
        if not self.is_over:
            super().lost()


@breaks("test_the_end_is_not_reported_before_start")
class ForgetsWhatCameBeforeStartWhenItEnds(SoundStream):
    def start(self, reader):
        super().start(reader)
        if self.inner._fin_received:
            self.inner._inbox.clear()


@breaks(
    "test_unread_bytes_count_as_unsent",
    "test_closing_sends_the_rest_first",
    "test_relieved_is_called_when_the_backlog_is_gone",
    "test_relieved_is_not_called_after_closing",
    "test_abort_reports_the_end_once",
)
class ReportsNothingUnsent(SoundStream):
    unsent_bytes = 0


@breaks("test_relieved_is_called_when_the_backlog_is_gone")
class NeverCallsRelieved(SoundStream):
    def relieved(self):
        pass


@breaks("test_relieved_is_called_when_the_backlog_is_gone")
class CallsRelievedOnlyOnce(SoundStream):
    has_told = False

    def relieved(self):
        if not self.has_told:
            self.has_told = True
            super().relieved()


@breaks("test_relieved_is_called_when_the_backlog_is_gone")
class CallsRelievedWithinSend(SoundStream):
    has_had_much = False

    def send(self, data):
        super().send(data)
        if self.has_had_much:
            self.relieved()

    def relieved(self):
        self.has_had_much = True
        super().relieved()


class CallsRelievedSoon(ClosingStream):
    def tell_soon(self):
        if self.unsent_bytes and self.reader is not None:
            asyncio.get_running_loop().call_soon(self.tell)

    def tell(self):
        if not self.is_closing:
            self.relieved()


@breaks("test_relieved_is_called_when_the_backlog_is_gone")
class CallsRelievedTooEarly(CallsRelievedSoon):
    def send(self, data):
        self.tell_soon()
        super().send(data)


@breaks("test_relieved_is_not_called_after_closing")
class CallsRelievedAfterClose(CallsRelievedSoon):
    def close(self):
        self.tell_soon()
        self.inner.close()


@breaks("test_relieved_is_not_called_after_closing")
class CallsRelievedAfterAbort(CallsRelievedSoon):
    def abort(self):
        self.tell_soon()
        self.inner.abort()


@breaks("test_closing_sends_the_rest_first")
class LosesTheRestWhenClosed(SoundStream):
    def close(self):
        if self.unsent_bytes:
            self.inner.abort()
        else:
            self.inner.close()


@breaks("test_nothing_is_sent_after_close")
class SendsAfterClose(SoundStream):
    is_closing = False

    def received(self, data):
        if not self.is_closing:
            super().received(data)

    def close(self):
        self.is_closing = True
        asyncio.get_running_loop().call_later(0.001, self.inner.close)


@breaks("test_nothing_is_received_after_close")
class ReceivesAfterClose(SoundStream):
    is_closing = False

    def relieved(self):
        if not self.is_closing:
            super().relieved()

    def close(self):
        self.is_closing = True
        asyncio.get_running_loop().call_later(1, self.inner.close)

    def send(self, data):
        if not self.is_closing:
            self.inner.send(data)


@breaks("test_close_reports_the_end_once")
class CallsLostAtEachClose(SoundStream):
    is_over = False

    def lost(self):
        self.is_over = True
        super().lost()

    def close(self):
        if self.is_over:
            self.lost()
        self.inner.close()


@breaks(
    "test_close_reports_the_end_once",
    "test_the_end_is_reported_when_the_other_end_closes",
    "test_nothing_is_received_after_close",
    "test_the_end_is_not_reported_before_start",
)
class NeverCallsLostAfterClose(SoundStream):
    is_closed = False

    def close(self):
        self.is_closed = True
        super().close()

    def abort(self):
        self.is_closed = False
        super().abort()

    def lost(self):
        if not self.is_closed:
            super().lost()


@breaks("test_abort_reports_the_end_once")
class NeverCallsLostAfterAbort(SoundStream):
    is_aborted = False

    def abort(self):
        self.is_aborted = True
        super().abort()

    def lost(self):
        if not self.is_aborted:
            super().lost()


class CallsLostWithinACall(SoundStream):
    has_told = False

    def lost(self):
        if self.reader is not None and not self.has_told:
            self.has_told = True
            super().lost()


@breaks("test_close_reports_the_end_once")
class CallsLostWithinClose(CallsLostWithinACall):
    def close(self):
        super().close()
        if not self.unsent_bytes:
            self.lost()


@breaks("test_abort_reports_the_end_once")
class CallsLostWithinAbort(CallsLostWithinACall):
    def abort(self):
        super().abort()
        self.lost()


@breaks("test_the_end_is_reported_when_the_other_end_closes", "test_close_reports_the_end_once")
class CallsLostTwiceWhenTheOtherCloses(ClosingStream):
    data_came = False

    def lost(self):
        super().lost()
        if not self.is_closing and self.inner._fin_received and not self.data_came:
            super().lost()

    def received(self, data):
        self.data_came = True
        super().received(data)


# Listeners


@breaks("test_the_listener_reports_its_actual_port")
class CallsItselfByAnotherAddress(Sound):
    async def listen(self, at):
        listener = await super().listen(self.known(at))
        listener.here = Endpoint("192.0.2.77", listener.here.port)
        return listener

    async def dial(self, to):
        return await super().dial(self.known(to))

    def known(self, at):
        return Endpoint("10.0.0.2", at.port) if at.host == "192.0.2.77" else at


@breaks("test_streams_wait_for_the_listener_to_start")
class AcceptsWithinStart(SoundListener):
    def __init__(self, listener):
        super().__init__(listener)
        self.waiting, self.accept = [], None
        listener.start(self.take_in)

    def take_in(self, stream):
        if self.accept is None:
            self.waiting.append(stream)
        else:
            self.accept(self.stream(stream))

    def start(self, accept):
        self.accept = accept
        while self.waiting:
            accept(self.stream(self.waiting.pop()))

    async def close(self):
        await super().close()
        for stream in self.waiting:
            stream.abort()


@breaks("test_a_closed_listener_accepts_nothing_more")
class AbortsOpenStreamsWhenClosed(SoundListener):
    def start(self, accept):
        self.handed = []

        def hand_over(stream):
            self.handed.append(stream)
            accept(self.stream(stream))

        self.inner.start(hand_over)

    async def close(self):
        if self.inner._is_closed:
            for stream in self.handed:
                stream.abort()
        await super().close()


@breaks("test_a_closed_listener_aborts_unaccepted_streams")
class LeavesAloneWhatItDidNotHandOver(SoundListener):
    async def close(self):
        await asyncio.sleep(1)
        self.inner._waiting.clear()
        await super().close()


@breaks("test_listening_on_a_port_in_use_fails")
class TakesAPortTwice(Sound):
    async def listen(self, at):
        try:
            return await super().listen(at)
        except NetworkError as error:
            if error.fault is not NetworkFault.IN_USE:
                raise
            return await super().listen(Endpoint(at.host, 0))


@breaks("test_listening_at_a_foreign_address_fails")
class RaisesOSErrorsOfTheSystem(Sound):
    async def listen(self, at):
        try:
            return await super().listen(at)
        except NetworkError as error:
            if error.fault is NetworkFault.NOT_OURS:
                raise OSError(99, "Cannot assign requested address") from error
            raise


class TakesAnyPort(Sound):
    @contextlib.contextmanager
    def as_sockets(self, port):
        if not 0 <= port <= 65535:
            raise OverflowError("port must be 0-65535.")
        yield


@breaks("test_a_port_out_of_range_fails")
class DialsAnyPort(TakesAnyPort):
    async def dial(self, to):
        with self.as_sockets(to.port):
            return await super().dial(to)


@breaks("test_a_port_out_of_range_fails")
class ListensAtAnyPort(TakesAnyPort):
    async def listen(self, at):
        return await super().listen(at._replace(port=at.port % 65536) if at.port == 65536 else at)


@breaks("test_joining_at_a_port_out_of_range_fails")
class JoinsAtAnyPort(TakesAnyPort):
    async def join(self, group, *, max_bytes):
        with self.as_sockets(group.port):
            return await super().join(group, max_bytes=max_bytes)


@breaks("test_dialling_a_closed_port_is_refused", "test_a_closed_listener_accepts_nothing_more")
class SwallowsRefused(Sound):
    async def dial(self, to):
        try:
            return await super().dial(to)
        except NetworkError as error:
            if error.fault is not NetworkFault.REFUSED:
                raise
            return await asyncio.get_running_loop().create_future()


@breaks("test_a_cancelled_dial_leaves_nothing")
class DialsOnWhenCancelled(Sound):
    async def dial(self, to):
        return await asyncio.shield(asyncio.ensure_future(super().dial(to)))


# Datagrams


@breaks(
    "test_all_members_receive_datagrams_to_the_group",
    "test_the_own_address_leads_to_one_only",
    "test_an_answer_reaches_the_sender",
    "test_datagrams_are_neither_joined_nor_split",
    "test_nothing_is_received_before_listen_and_while_paused",
    "test_pausing_while_receiving_stops_receiving",
    "test_no_datagram_is_received_after_close",
)
class ReachesOnlyItself(SoundDatagrams):
    def send(self, data, to=None):
        self.inner.send(data, to or self.here)


@breaks(
    "test_a_sender_receives_its_own_datagrams",
    "test_another_group_is_separate",
    "test_the_last_of_several_listeners_receives",
    "test_a_datagram_that_is_too_long_is_cut",
    "test_a_datagram_without_a_receiver_is_lost_silently",
    "test_all_calls_come_from_the_event_loop",
)
class DoesNotReceiveItsOwn(SoundDatagrams):
    def listen(self, hear):
        def hear_others(datagrams):
            others = [datagram for datagram in datagrams if datagram.source != self.here]
            if others:
                hear(others)

        self.inner.listen(hear_others)


@breaks("test_datagrams_are_neither_joined_nor_split")
class JoinsDatagramsToOne(SoundDatagrams):
    waiting = b""

    def send(self, data, to=None):
        if to is None and not self.waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        if to is None:
            self.waiting += data
        else:
            self.inner.send(data, to)

    def flush(self):
        data, self.waiting = self.waiting, b""
        if not self.inner._is_closed:
            self.inner.send(data)


@breaks("test_another_group_is_separate")
class ReceivesAllGroups(Sound):
    everyone: ClassVar = []

    async def join(self, group, *, max_bytes):
        joined = await super().join(group, max_bytes=max_bytes)
        hears = group.port
        everyone = self.everyone

        class Loud(type(joined)):
            def listen(self, hear):
                everyone[:] = [each for each in everyone if each[0]._loop is self.inner._loop]
                everyone.append((self.inner, hears, hear))
                super().listen(hear)

            def send(self, data, to=None):
                super().send(data, to)
                for inner, port, hear in everyone:
                    if to is None and port != hears and not inner._is_closed:
                        hear([Datagram(data, self.here)])

        return Loud(joined.inner)


@breaks("test_the_own_address_leads_to_one_only")
class SendsToAllInsteadOfOne(SoundDatagrams):
    def send(self, data, to=None):
        self.inner.send(data, to)
        if data == b"for you":
            self.inner.send(data)


@breaks("test_an_answer_reaches_the_sender", "test_the_own_address_leads_to_one_only")
class AnswersNobody(SoundDatagrams):
    def send(self, data, to=None):
        if to is None:
            self.inner.send(data)


@breaks("test_a_datagram_that_is_too_long_is_cut")
class GivesAllOfWhatIsTooLong(Sound):
    async def join(self, group, *, max_bytes):
        return await super().join(group, max_bytes=2 * max_bytes)


@breaks(
    "test_nothing_is_received_before_listen_and_while_paused",
    "test_pausing_while_receiving_stops_receiving",
)
class ReceivesWhilePaused(SoundDatagrams):
    def pause(self):
        pass


@breaks("test_the_last_of_several_listeners_receives")
class ListensToTheFirstEarToo(SoundDatagrams):
    ear = None

    def listen(self, hear):
        first, self.ear = self.ear, hear

        def both(datagrams):
            if first is not None and b"heard" in [datagram.data for datagram in datagrams]:
                first(datagrams)
            hear(datagrams)

        self.inner.listen(both)


@breaks("test_pausing_while_receiving_stops_receiving")
class GivesAllThatCameIn(SoundDatagrams):
    def listen(self, hear):
        waiting, self.inner._inbox = list(self.inner._inbox), type(self.inner._inbox)()
        self.inner._inbox_bytes = 0

        def give():
            for datagram in waiting:
                hear([datagram])

        asyncio.get_running_loop().call_soon(give)
        self.inner.listen(hear)


@breaks("test_no_datagram_is_received_after_close")
class ReceivesAfterCloseOfTheGroup(SoundDatagrams):
    def close(self):
        asyncio.get_running_loop().call_later(5, self.inner.close)


@breaks("test_a_datagram_without_a_receiver_is_lost_silently")
class RaisesWhenUnreachable(SoundDatagrams):
    def send(self, data, to=None):
        if to is not None and to.port == 9:
            raise NetworkError("network is unreachable", fault=NetworkFault.UNREACHABLE)
        self.inner.send(data, to)


@breaks("test_joining_at_a_foreign_address_fails")
class JoinsAnywhere(Sound):
    async def join(self, group, *, max_bytes):
        if not self.has_address(group.via):
            ours = self.inner.addresses[0]
            group = group._replace(via=ours, heard_on=ours)
        return await super().join(group, max_bytes=max_bytes)


@breaks("test_all_calls_come_from_the_event_loop")
class CallsBackInAThread(SoundDatagrams):
    def listen(self, hear):
        def hear_in_thread(datagrams):
            if b"data" in [datagram.data for datagram in datagrams]:
                thread = threading.Thread(target=self.try_to_hear, args=(hear, datagrams))
                thread.start()
                thread.join()
            else:
                hear(datagrams)

        self.inner.listen(hear_in_thread)

    def try_to_hear(self, hear, datagrams):
        with contextlib.suppress(Exception):
            hear(datagrams)


# Names, addresses, time, randomness


@breaks("test_an_address_resolves_to_itself")
class KnowsNoVersions(Sound):
    async def resolve(self, host, *, version=None):
        return await super().resolve(host)


@breaks("test_a_name_has_each_address_once")
class ListsAnAddressTwice(Sound):
    async def resolve(self, host, *, version=None):
        found = await super().resolve(host, version=version)
        return [*found, *found] if "example" in host else found


@breaks("test_an_unknown_name_fails")
class KnowsNothingOfAnUnknownName(Sound):
    async def resolve(self, host, *, version=None):
        return [] if "invalid" in host else await super().resolve(host, version=version)


@breaks("test_own_addresses_are_known")
class HasEveryAddress(Sound):
    def has_address(self, address):
        return True


@breaks("test_the_clock_is_that_of_the_event_loop")
class HasAClockOfItsOwn(Sound):
    def __init__(self, network):
        super().__init__(network)
        self.clock = self

    def monotonic_s(self):
        return self.inner.clock.monotonic_s() + 1

    def wall_s(self):
        return self.inner.clock.wall_s()


@breaks("test_each_concern_has_separate_randomness")
class DrawsTheSameForAll(Sound):
    def random(self, concern):
        return Random(7)


@breaks("test_some_streams_fit")
class HoldsNoStreams(Sound):
    def __init__(self, network):
        super().__init__(network)
        self.most_streams = 0
