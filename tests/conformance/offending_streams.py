"""Streams and listeners that break one sentence each; the suite must fail at ``breaks`` only.

Collected by ``test_offending_networks`` only, in processes of its own. All are in memory, in
virtual time.
"""

import asyncio

from sound_network import (
    ClosingStream,
    Sound,
    SoundListener,
    SoundStream,
    breaks_in,
)

from cluster_kit import (
    Endpoint,
)

breaks = breaks_in(globals())


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
