"""Connectors that break one rule each; ``ConnectorConformance`` must fail exactly at ``breaks``.

Collected by ``test_offending_connectors`` only, in processes of its own.
"""

import asyncio
import itertools
import socket
import time
from dataclasses import replace

from memory_connector import Memory, breaks_in

from cluster_kit.abc import Connector
from cluster_kit.errors import ConnectError, ConnectReason, NameConflict
from cluster_kit.events import Reason
from cluster_kit.node import Node
from cluster_kit.testing import FakeDiscovery

leaked = []

breaks = breaks_in(globals())
breaks()(Memory)  # sound


@breaks("test_start_returns_this_node", "test_both_ends_report_the_peer_as_it_introduced_itself")
class ForgetsMetadataAtStart(Memory):
    async def start(self, local, links):
        started = await super().start(local, links)
        return started.evolve(metadata={}) if started.name.startswith("ann") else started


@breaks("test_start_returns_an_address_to_dial")
class AnnouncesEveryInterface(Memory):
    ports = itertools.count(1)

    async def start(self, local, links):
        await super().start(local, links)
        self.local = self.local.evolve(address=f"0.0.0.0:{next(self.ports)}")
        self.listening[self.local.address] = self
        return self.local


@breaks("test_stop_is_idempotent")
class StopsTwice(Memory):
    stops = 0

    async def stop(self):
        self.stops += 1
        if self.stops == 3 and not self.links.reports:
            raise RuntimeError("already stopped")
        await super().stop()


@breaks("test_stop_leaves_nothing_behind")
class LeaksAtStop(Memory):
    async def stop(self):
        leaked.append(socket.socket())
        await super().stop()


@breaks("test_connect_returns_the_peer_as_it_introduced_itself")
class ReturnsWhatItWasGiven(Memory):
    async def connect(self, node):
        peer = await super().connect(node)
        return peer if node.name else node


@breaks(
    "test_up_is_reported_before_connect_returns",
    "test_up_is_reported_once_on_both_ends",
    "test_connect_again_keeps_the_one_link",
    "test_no_link_outlives_stop",
)
class ReportsUpLate(Memory):
    async def open(self, peer):
        peer.link(self)
        self.linked[peer.local.key] = peer
        asyncio.get_running_loop().call_soon(self.report_up, peer)

    async def stop(self):
        await asyncio.sleep(0)
        await super().stop()

    async def disconnect(self, node):
        await asyncio.sleep(0)
        await super().disconnect(node)


@breaks(
    "test_up_is_reported_once_on_both_ends",
    "test_simultaneous_connects_settle_on_one_link",
    "test_disconnect_by_both_closes_the_link",
    "test_disconnect_by_one_end_keeps_a_link_that_the_other_wants",
)
class ReportsUpForEachWish(Memory):
    dialled = False

    async def open(self, peer):
        self.dialled = True
        await super().open(peer)

    async def connect(self, node):
        if node.key in self.linked and not self.dialled and not node.metadata.get("update"):
            self.links.up(node)
        return await super().connect(node)


@breaks("test_connect_again_keeps_the_one_link")
class OpensASecondLink(Memory):
    async def connect(self, node):
        again = node.key in self.wanted
        met = await super().connect(node)
        if again:
            self.links.up(met)
        return met


@breaks("test_simultaneous_connects_settle_on_one_link")
class CrossedDialsMakeTwoLinks(Memory):
    async def open(self, peer):
        await asyncio.sleep(0)
        await super().open(peer)


@breaks("test_connect_to_a_closed_port_is_retryable")
class GivesUpWhenNobodyIsThere(Memory):
    def find(self, node):
        if node.address not in self.listening:
            raise ConnectError(
                "memory: nobody", node=node.key, reason=ConnectReason.REFUSED, retryable=False
            )
        return super().find(node)


@breaks("test_a_node_without_address_is_a_connect_error")
class CannotDialAName(Memory):
    def find(self, node):
        if node.address is None:
            raise TypeError("no address")
        return super().find(node)


@breaks("test_another_name_than_expected_is_refused")
class TakesAnyName(Memory):
    def refuse(self, node, peer):
        super().refuse(node.evolve(name=None), peer)


@breaks("test_another_name_than_expected_is_refused")
class OmitsTheNames(Memory):
    def refuse(self, node, peer):
        if node.name not in (None, peer.local.name):
            raise ConnectError("memory: somebody else", node=node.key, reason=ConnectReason.NAME)
        super().refuse(node, peer)


@breaks("test_own_address_is_known_as_self")
class DoesNotKnowItself(Memory):
    def refuse(self, node, peer):
        if peer is self:
            raise ConnectError("memory: busy", node=node.key, reason=ConnectReason.RESET)
        super().refuse(node, peer)


@breaks(
    *(f"test_a_foreigner_is_refused[{kind}]" for kind in ("cluster", "group", "boundary", "case"))
)
class LinksToForeigners(Memory):
    def refuse(self, node, peer):
        pretended, peer.links.fence = peer.links.fence, self.links.fence
        try:
            super().refuse(node, peer)
        finally:
            peer.links.fence = pretended


@breaks("test_a_foreigner_is_refused[group]")
class IgnoresTheGroup(Memory):
    def refuse(self, node, peer):
        if peer.links.fence.cluster != self.links.fence.cluster or peer is self:
            super().refuse(node, peer)
        elif (
            node.name not in (None, peer.local.name)
            or self.local.key in peer.linked
            or peer.is_leaving
        ):
            pretended, peer.links.fence = peer.links.fence, self.links.fence
            super().refuse(node, peer)
            peer.links.fence = pretended


@breaks("test_of_two_live_nodes_of_one_name_the_linked_one_keeps_its_link")
class LetsAnyNodeTakeOver(Memory):
    def refuse(self, node, peer):
        linked = peer.linked.get(self.local.key)
        if linked is not None and linked is not self and self.takes_over(linked):
            peer.unlink(linked, Reason.REPLACED)
            linked.unlink(peer, Reason.REPLACED)
        super().refuse(node, peer)

    def takes_over(self, linked):
        return True


@breaks("test_of_two_live_nodes_of_one_name_the_linked_one_keeps_its_link[newer]")
class LetsTheOlderNodeTakeOver(LetsAnyNodeTakeOver):
    def takes_over(self, linked):
        return self.links.boot_id < linked.links.boot_id


@breaks(
    "test_disconnect_by_both_closes_the_link",
    "test_disconnect_by_both_in_turn_closes_the_link",
    "test_disconnect_ends_a_link_that_only_one_end_wanted",
)
class ReportsDownOnOneEndOnly(Memory):
    async def disconnect(self, node):
        self.wanted.discard(node.key)
        peer = self.linked.get(node.key)
        if peer is not None and self.local.key not in peer.wanted:
            peer.linked.pop(self.local.key)
            self.unlink(peer, Reason.UNWANTED)


@breaks(
    "test_disconnect_by_both_closes_the_link", "test_disconnect_by_both_in_turn_closes_the_link"
)
class GivesAnotherReason(Memory):
    def unlink(self, peer, reason):
        super().unlink(peer, Reason.CLOSED if reason is Reason.UNWANTED else reason)


@breaks(
    "test_disconnect_by_one_end_keeps_a_link_that_the_other_wants",
    "test_disconnect_by_both_in_turn_closes_the_link",
)
class ClosesWhatTheOtherWants(Memory):
    async def disconnect(self, node):
        peer = self.linked.get(node.key)
        if peer is not None:
            peer.wanted.discard(self.local.key)
        await super().disconnect(node)


@breaks(
    "test_disconnect_ends_a_link_that_only_one_end_wanted",
    "test_disconnect_is_idempotent",
    "test_a_closed_link_can_be_opened_again",
)
class KeepsWhatNobodyWants(Memory):
    def link(self, peer):
        self.wanted.add(peer.local.key)
        super().link(peer)


@breaks("test_disconnect_is_idempotent")
class DisconnectsTwice(Memory):
    async def disconnect(self, node):
        if node.key not in self.linked and self.links.of("down"):
            self.links.down(node, Reason.UNWANTED)
        await super().disconnect(node)


@breaks("test_a_closed_link_can_be_opened_again")
class LinksOnlyThreeTimesAtMost(Memory):
    def link(self, peer):
        if len(self.links.of("up")) < 2:
            super().link(peer)


@breaks("test_stop_reports_each_link_down_once")
class ForgetsItsLinksAtStop(Memory):
    async def stop(self):
        self.listening.pop(self.local.address, None)
        for peer in [*self.linked.values()]:
            peer.unlink(self, Reason.LEFT)


@breaks("test_stop_says_goodbye")
class StopsWithoutGoodbye(Memory):
    def unlink(self, peer, reason):
        super().unlink(peer, Reason.CLOSED if reason is Reason.LEFT else reason)


@breaks("test_a_node_that_left_can_come_back")
class BarsNodesThatLeft(Memory):
    def refuse(self, node, peer):
        super().refuse(node, peer)
        if (
            peer.links.of("down", self.local.key)
            and peer.links.of("down", self.local.key)[-1].reason is Reason.LEFT
        ):
            raise NameConflict("memory: that name has left", node=node.key)


@breaks("test_update_reaches_the_linked_peer")
class KeepsUpdatesToItself(Memory):
    async def update(self, local, leaving):
        if leaving or "update" in local.metadata:
            await super().update(local, leaving)
        else:
            self.local = local


@breaks("test_update_reaches_a_later_peer")
class IntroducesItselfAsItWas(Memory):
    async def update(self, local, leaving):
        self.is_leaving = leaving
        if self.linked:
            await super().update(local, leaving)


@breaks("test_leaving_is_announced_and_keeps_the_link")
class ClosesWhileLeaving(Memory):
    async def update(self, local, leaving):
        await super().update(local, leaving)
        for peer in [*self.linked.values()] if leaving else ():
            self.unlink(peer, Reason.SHUTDOWN)
            peer.unlink(self, Reason.LEFT)


@breaks("test_a_leaving_node_takes_no_new_links")
class TakesLinksWhileLeaving(Memory):
    async def update(self, local, leaving):
        await super().update(local, leaving)
        self.is_leaving = False


@breaks("test_any_metadata_gets_through")
class KeepsOnlyTheFirstLine(Memory):
    def link(self, peer):
        told = {key: value.partition("\n")[0] for key, value in peer.local.metadata.items()}
        peer.local = peer.local.evolve(metadata=told)
        super().link(peer)


@breaks("test_the_event_loop_is_never_blocked")
class BlocksWhileItConnects(Memory):
    async def open(self, peer):
        time.sleep(0.3)  # noqa: ASYNC251 - that is what is wrong with it
        await super().open(peer)


@breaks("test_diagnosis_of_a_serving_node_leaves_no_trace")
class DiagnosesByLinking(Memory):
    async def diagnose(self, node, ctx):
        peer = self.listening.get(node.address)
        if peer is not None and peer.local.name != ctx.local.name:
            peer.links.up(ctx.local)
        return await super().diagnose(node, ctx)


@breaks("test_diagnosis_of_a_missing_node_has_a_cause")
class DiagnosesWithoutCause(Memory):
    async def diagnose(self, node, ctx):
        finding = await super().diagnose(node, ctx)
        return replace(finding, cause=None)


@breaks("test_diagnosis_knows_its_own_node")
class DiagnosesItselfAsAnother(Memory):
    async def diagnose(self, node, ctx):
        return await super().diagnose(node, FakeDiscovery(Node(name="another@127.0.0.1")))


@breaks()
class Unlinked(Connector):
    """Sound: holds no links, a known node counts as up."""

    holds_links = False

    async def start(self, local, links):
        self.links = links
        self.linked = {}
        return local

    async def connect(self, node):
        if node.key not in self.linked:
            self.linked[node.key] = node
            self.links.up(node)
        return node

    async def disconnect(self, node):
        if self.linked.pop(node.key, None):
            self.links.down(node, Reason.UNWANTED)

    async def stop(self):
        for node in [*self.linked.values()]:
            del self.linked[node.key]
            self.links.down(node, Reason.SHUTDOWN)


@breaks("test_a_link_without_messages_has_no_greeting")
class UnlinkedThatGreets(Unlinked):
    async def connect(self, node):
        if node.key not in self.linked:
            self.linked[node.key] = node
            self.links.up(node, greeting=b"")
        return node


@breaks("test_connect_again_keeps_the_one_link")
class UnlinkedUpOverAndOver(Unlinked):
    async def connect(self, node):
        self.linked[node.key] = node
        self.links.up(node)
        return node


@breaks("test_up_is_reported_before_connect_returns")
class UnlinkedUnderAnotherName(Unlinked):
    async def connect(self, node):
        await super().connect(node)
        return Node(address=node.address or "127.0.0.1:1")
