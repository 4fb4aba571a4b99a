"""Mutants of a connector over Unix sockets; each has one fault, and fails at ``breaks`` only.

Collected by ``test_offending_unix_connectors`` only, in processes of its own.
"""

import asyncio
import socket
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # a peer's process finds this module by its file
from unix_connector import Link, UnixConnector, UnixSuite

from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.events import Reason

kept = []


class Suite(UnixSuite):
    deadline_s = 8.0
    silence_s = 2.0

    @pytest.fixture(autouse=True)
    def _in(self):
        with tempfile.TemporaryDirectory(prefix="ck-") as path:
            self.directory = Path(path)
            yield

    def make_connector(self):
        return self.cls(directory=self.directory, heartbeat_s=0.3)


def breaks(*rules, apart=False, strange=True):
    """Run the suite on a connector that breaks ``rules``; lost peers and strangers on demand."""

    def register(cls):
        name = f"Test{cls.__name__}"
        tried = {"has_peers_apart": apart, "has_strangers": strange}
        globals()[name] = type(
            name, (Suite,), {"cls": cls, "breaks": frozenset(rules), "__module__": __name__} | tried
        )
        return cls

    return register


loses_peers = partial(breaks, apart=True, strange=False)


@breaks(apart=True)
class Sound(UnixConnector):
    pass


@loses_peers("test_a_frozen_peer_is_down_as_silent")
class HasNoHeartbeat(UnixConnector):
    async def _beat(self):
        pass


class Deaf(Link):
    async def read(self, *most):
        try:
            return await super().read(*most)
        except (OSError, ValueError):
            self.quiet_beats = -1000
            await asyncio.Event().wait()


@loses_peers("test_a_crashed_peer_is_down")
class IsDeafToCrashes(UnixConnector):
    def _up(self, link):
        link.__class__ = Deaf
        super()._up(link)


@loses_peers("test_a_crashed_peer_is_down", "test_a_frozen_peer_is_down_as_silent")
class ReportsEveryLossAsLeft(UnixConnector):
    def _close(self, link, reason, *, goodbye=None):
        lost = reason in (Reason.CLOSED, Reason.SILENT)
        super()._close(link, Reason.LEFT if lost else reason, goodbye=goodbye)


@loses_peers("test_a_frozen_peer_is_down_as_silent")
class ReportsSilenceAsClosed(UnixConnector):
    def _close(self, link, reason, *, goodbye=None):
        super()._close(link, Reason.CLOSED if reason is Reason.SILENT else reason, goodbye=goodbye)


@loses_peers("test_a_crashed_peer_can_come_back")
class BarsCrashedNodes(UnixConnector):
    barred = frozenset()

    def _close(self, link, reason, *, goodbye=None):
        if link.is_up and reason is Reason.CLOSED:
            self.barred |= {link.peer.name}
        super()._close(link, reason, goodbye=goodbye)

    def _why_not(self, peer, fence):
        return ConnectReason.CONFLICT if peer.name in self.barred else super()._why_not(peer, fence)


@loses_peers("test_stop_does_not_wait_for_a_frozen_peer", "test_stop_reports_each_link_down_once")
class WaitsForTheGoodbyeToBeRead(UnixConnector):
    async def stop(self):
        links = [*self._links.values()]
        for link in links:
            link.quiet_beats = -1000
            link.write({"goodbye": Reason.LEFT})
        while any(link.is_up for link in links):  # noqa: ASYNC110 - that is what is wrong with it
            await asyncio.sleep(0.01)
        await super().stop()


class Picky(Link):
    """Raises an unexpected exception on garbage before a link is up."""

    def is_judged(self):
        return not self.is_up

    async def read(self, *most):
        try:
            return await super().read(*most)
        except ValueError as exc:
            if getattr(exc, "doc", "") and self.is_judged():
                raise RuntimeError("garbage") from None
            raise


@breaks("test_garbage_from_a_dialler_costs_only_its_connection")
class LeavesAnExceptionUnhandled(UnixConnector):
    def _accept(self, reader, writer):
        self._spawn(self._serve(Picky(reader, writer, self._local)))


@breaks("test_garbage_on_a_link_costs_only_that_link")
class LeavesAnExceptionOfALinkUnhandled(UnixConnector):
    async def _listen(self, link):
        picky = Picky(link.reader, link.writer, link.peer)
        picky.is_judged = lambda: True
        link.read = picky.read
        try:
            await super()._listen(link)
        finally:
            self._close(link, Reason.CLOSED)


@breaks("test_garbage_for_an_answer_is_a_connect_error")
class RaisesWhatItReads(UnixConnector):
    def _checked(self, node, answer):
        try:
            return super()._checked(node, answer)
        except (KeyError, TypeError, ValueError) as exc:
            raise RuntimeError("garbage") from exc


@breaks("test_a_mute_stranger_is_not_linked", "test_a_mute_stranger_is_disconnected")
class KeepsStrangersForever(UnixConnector):
    def _accept(self, reader, writer):
        kept.append(asyncio.create_task(self.patient(reader, writer)))

    async def patient(self, reader, writer):
        while not reader._buffer and not reader.at_eof():  # noqa: ASYNC110 - that is what is wrong with it
            await asyncio.sleep(0.001)
        super()._accept(reader, writer)


@breaks("test_cancelled_connect_leaves_nothing_behind")
class CannotBeCancelled(UnixConnector):
    async def connect(self, node):
        dialling = asyncio.create_task(super().connect(node))
        while not dialling.done():
            try:
                await asyncio.wait([dialling])
            except asyncio.CancelledError:
                continue
        return dialling.result()


@breaks("test_cancelled_connect_leaves_nothing_behind")
class KeepsTheConnectionOfACancelledDial(UnixConnector):
    async def connect(self, node):
        dialling = asyncio.create_task(super().connect(node))
        kept.append(dialling)
        return await asyncio.shield(dialling)


@breaks("test_a_leaving_node_takes_no_new_links")
class TakesLinksWhileLeaving(UnixConnector):
    async def update(self, local, leaving):
        await super().update(local, leaving)
        self._leaving = False


@breaks("test_no_link_outlives_stop")
class TakesLinksWhileItStops(UnixConnector):
    async def stop(self):
        for link in [*self._links.values()]:
            self._close(link, Reason.SHUTDOWN, goodbye=Reason.LEFT)
        for _ in range(50):  # turns in which goodbyes may be read
            await asyncio.sleep(0)
        for link in self._links.values():
            link.is_up = False
        await super().stop()


@breaks("test_stop_leaves_nothing_behind")
class LeavesItsSocketFile(UnixConnector):
    async def stop(self):
        if self._server:
            path = self._path.rename(self._path.with_suffix(".old"))
            await super().stop()
            path.rename(self._path)


@breaks("test_the_event_loop_is_never_blocked")
class BlocksTheLoopAtEachMessage(UnixConnector):
    def _handle(self, link, line):
        if line:
            time.sleep(0.3)
        super()._handle(link, line)


@breaks("test_any_metadata_gets_through")
class SendsOnlyAscii(UnixConnector):
    def _introduce(self, link):
        local = self._local
        ascii_only = {
            key: value.encode("ascii", "ignore").decode() for key, value in local.metadata.items()
        }
        self._local = local.evolve(metadata=ascii_only)
        super()._introduce(link)
        self._local = local


class Beats(UnixConnector):
    """Sound: reports a peer as silent after several missed heartbeats."""

    most = 3

    async def _beat(self):
        while True:
            await asyncio.sleep(self.heartbeat_s)
            for link in [link for link in self._links.values() if link.is_up]:
                self.say_something(link)
                link.quiet_beats += 1
                if link.quiet_beats > self.most:
                    self._close(link, Reason.SILENT)

    def say_something(self, link):
        link.write({})


@breaks("test_an_idle_link_stays_up", strange=False)
class ExpectsBeatsAndHasNone(Beats):
    def say_something(self, link):
        pass


@loses_peers("test_a_frozen_peer_is_down_as_silent")
class NoticesSilenceLate(Beats):
    most = 16


@breaks("test_its_own_stall_is_not_silence_of_the_peer", strange=False)
class JudgesByTheClock(UnixConnector):
    """Checks for silence as soon as it wakes, before it has read anything."""

    async def _beat(self):
        try:
            self.judge()
            await asyncio.Event().wait()
        finally:
            self.timer.cancel()

    def judge(self):
        now_s = time.monotonic()
        for link in [link for link in self._links.values() if link.is_up]:
            link.write({})
            if now_s - link.heard_s > 3 * self.heartbeat_s:
                self._close(link, Reason.SILENT)
        self.timer = asyncio.get_running_loop().call_later(self.heartbeat_s, self.judge)

    def _up(self, link):
        link.heard_s = time.monotonic()
        super()._up(link)

    def _handle(self, link, line):
        link.heard_s = time.monotonic()
        super()._handle(link, line)


@breaks("test_disconnect_by_both_in_turn_closes_the_link", strange=False)
class TakesUnwantedForLeft(UnixConnector):
    def _handle(self, link, line):
        super()._handle(link, {"goodbye": Reason.LEFT} if "goodbye" in line else line)


@breaks("test_simultaneous_connects_settle_on_one_link", strange=False)
class ReportsCrossedAsReset(UnixConnector):
    async def connect(self, node):
        try:
            return await super().connect(node)
        except ConnectError as error:
            if error.reason is not ConnectReason.CROSSED:
                raise
            raise ConnectError(str(error), node=node.key, reason=ConnectReason.RESET) from error


@breaks("test_both_ends_report_the_peer_as_it_introduced_itself", strange=False)
class DoesNotKnowWhereDiallersAre(UnixConnector):
    def _up(self, link):
        has_accepted = link.writer.get_extra_info("sockname")
        link.peer = link.peer.evolve(address=None) if has_accepted else link.peer
        super()._up(link)


@breaks(
    "test_start_returns_this_node",
    "test_both_ends_report_the_peer_as_it_introduced_itself",
    strange=False,
)
class ForgetsItsBoot(UnixConnector):
    async def start(self, local, links):
        return (await super().start(local, links)).evolve(boot_id=None)


@breaks("test_a_foreigner_is_refused[boundary]", strange=False)
class RunsTheFenceTogether(UnixConnector):
    def _why_not(self, peer, fence):
        return super()._why_not(
            peer, self._fence() if "".join(fence) == "".join(self._fence()) else fence
        )


@breaks("test_a_foreigner_is_refused[case]", strange=False)
class IgnoresCase(UnixConnector):
    def _why_not(self, peer, fence):
        same = [part.lower() for part in fence] == [part.lower() for part in self._fence()]
        return super()._why_not(peer, self._fence() if same else fence)


@breaks("test_refused_connect_leaves_nothing_behind", strange=False)
class KeepsWhatWasRefused(UnixConnector):
    def _checked(self, node, answer):
        try:
            return super()._checked(node, answer)
        except ConnectError:
            kept.append(socket.socket())
            raise


@breaks("test_stop_reports_each_link_down_once", strange=False)
class TakesItsOwnStopForAGoodbye(UnixConnector):
    def _close(self, link, reason, *, goodbye=None):
        super()._close(link, Reason.LEFT if reason is Reason.SHUTDOWN else reason, goodbye=goodbye)


@breaks("test_nothing_is_reported_of_an_unlinked_peer", strange=False)
class ReportsUpdatesAfterDown(UnixConnector):
    def _close(self, link, reason, *, goodbye=None):
        was_up = link.is_up
        super()._close(link, reason, goodbye=goodbye)
        if was_up:
            self._report.updated(link.peer)


@breaks("test_the_event_loop_is_never_blocked", strange=False)
class BlocksTheLoopWhenItIsRefused(UnixConnector):
    async def connect(self, node):
        try:
            return await super().connect(node)
        except ConnectError:
            time.sleep(0.3)  # noqa: ASYNC251 - that is what is wrong with it
            raise


@breaks("test_the_event_loop_is_never_blocked", strange=False)
class BlocksTheLoopAtEachBeat(Beats):
    def say_something(self, link):
        time.sleep(0.3)
        link.write({})


@breaks("test_a_mute_stranger_is_disconnected")
class WaitsForAFirstWord(UnixConnector):
    def _accept(self, reader, writer):
        self._spawn(self.patient(reader, writer))

    async def patient(self, reader, writer):
        try:
            while not reader._buffer and not reader.at_eof():  # noqa: ASYNC110 - that is what is wrong with it
                await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        super()._accept(reader, writer)


@breaks("test_a_mute_stranger_delays_no_other")
class ServesOneAfterTheOther(UnixConnector):
    def _accept(self, reader, writer):
        self.turns = getattr(self, "turns", None) or asyncio.Lock()
        self._spawn(self.in_turn(reader, writer))

    async def in_turn(self, reader, writer):
        try:
            async with self.turns:
                for _ in range(100):
                    if reader._buffer or reader.at_eof():
                        break
                    await asyncio.sleep(0.01)
                else:
                    writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        super()._accept(reader, writer)


@breaks("test_endless_input_is_not_read")
class BelievesAnyLength(UnixConnector):
    def _accept(self, reader, writer):
        reader._limit = 2**40
        super()._accept(reader, writer)


@loses_peers(
    "test_a_peer_that_does_not_read_delays_no_other",
    "test_a_waiting_send_fails_when_the_link_is_lost",
)
class LetsMessagesPileUp(UnixConnector):
    async def send(self, node, payload):
        sending = asyncio.create_task(super().send(node, payload))
        sending.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.sleep(0)
        if sending.done():
            sending.result()


@loses_peers("test_a_peer_that_does_not_read_delays_no_other")
class SendsToOneAfterTheOther(UnixConnector):
    async def send(self, node, payload):
        self.turns = getattr(self, "turns", None) or asyncio.Lock()
        async with self.turns:
            await super().send(node, payload)


@loses_peers("test_a_peer_that_does_not_read_delays_no_other")
class SendsOnWhenCancelled(UnixConnector):
    async def send(self, node, payload):
        sending = asyncio.create_task(super().send(node, payload))
        while not sending.done():
            try:
                await asyncio.wait([sending])
            except asyncio.CancelledError:
                continue
        return sending.result()


@loses_peers("test_a_waiting_send_fails_when_the_link_is_lost")
class WaitsForALostLink(UnixConnector):
    async def send(self, node, payload):
        link = self._links.get(node.key)
        try:
            await super().send(node, payload)
        except ConnectError:
            if link and node.boot_id == link.peer.boot_id:
                await asyncio.Event().wait()
            raise


@loses_peers("test_a_waiting_send_fails_when_the_link_is_lost")
class SaysNothingOfALostLink(UnixConnector):
    async def send(self, node, payload):
        link = self._links.get(node.key)
        try:
            await super().send(node, payload)
        except ConnectError:
            if not link or node.boot_id != link.peer.boot_id:
                raise
