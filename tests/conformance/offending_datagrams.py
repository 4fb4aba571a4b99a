"""Datagrams that each break one sentence of the contract; the suite must fail at ``breaks`` only.

Collected by ``test_offending_networks`` only, in processes of its own. All are in memory, in
virtual time.
"""

import asyncio
import contextlib
import threading
from typing import ClassVar

from sound_network import (
    Sound,
    SoundDatagrams,
    breaks_in,
)

from cluster_kit import (
    Datagram,
    NetworkError,
    NetworkFault,
)

breaks = breaks_in(globals())


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
