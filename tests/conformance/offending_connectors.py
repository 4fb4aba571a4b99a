"""Connectors that break one rule each; ``ConnectorConformance`` must fail exactly at ``breaks``.

Collected by ``test_offending_connectors`` only, in processes of its own.
"""

import asyncio
import itertools
import socket
import time
from dataclasses import replace
from typing import ClassVar

from cluster_kit.abc import Connector
from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.errors import ConnectError, ConnectReason, NameConflict
from cluster_kit.events import Reason
from cluster_kit.node import Node
from cluster_kit.testing import ConnectorConformance, FakeDiscovery

leaked = []


class Suite(ConnectorConformance):
    deadline_s = 1.0
    silence_s = 0.2  # nobody here is ever silent
    has_strangers = False
    has_peers_apart = False

    def make_connector(self):
        return self.cls()


def breaks(*rules):
    """Run the suite on an implementation that breaks ``rules``."""

    def register(cls):
        name = f"Test{cls.__name__}"
        globals()[name] = type(
            name, (Suite,), {"cls": cls, "breaks": frozenset(rules), "__module__": __name__}
        )
        return cls

    return register


@breaks()
class Memory(Connector):
    """Sound: links are entries in each other's tables."""

    carries_messages = True
    listening: ClassVar = {}
    ports = itertools.count(1)

    def __init__(self):
        self.linked = {}
        self.wanted = set()
        self.is_leaving = False

    async def start(self, local, links):
        self.local = local.evolve(address=f"127.0.0.1:{next(self.ports)}", boot_id=links.boot_id)
        self.links = links
        self.listening[self.local.address] = self
        return self.local

    async def connect(self, node):
        peer = self.find(node)
        self.refuse(node, peer)
        self.wanted.add(peer.local.key)
        if peer.local.key not in self.linked:
            await self.open(peer)
        return peer.local

    def find(self, node):
        peer = self.listening.get(node.address)
        if peer is None:
            raise ConnectError(
                f"memory: nobody at {node.address}", node=node.key, reason=ConnectReason.REFUSED
            )
        return peer

    def refuse(self, node, peer):
        if peer is self:
            raise ConnectError(
                "memory: that is this node", node=node.key, reason=ConnectReason.SELF
            )
        if peer.links.fence != self.links.fence:
            raise ConnectError("memory: a foreigner", node=node.key, reason=ConnectReason.FOREIGN)
        if node.name not in (None, peer.local.name):
            message = f"memory: expected {node.name}, {peer.local.name} answers"
            raise ConnectError(message, node=node.key, reason=ConnectReason.NAME)
        if self.local.key in peer.linked and peer.linked[self.local.key] is not self:
            raise NameConflict("memory: another live node has our name", node=node.key)
        if peer.is_leaving and peer.local.key not in self.linked:
            raise ConnectError("memory: it is leaving", node=node.key, reason=ConnectReason.LEAVING)

    async def open(self, peer):
        self.link(peer)
        peer.link(self)

    def link(self, peer):
        self.linked[peer.local.key] = peer
        self.report_up(peer)

    def report_up(self, peer):
        self.links.up(peer.local, greeting=peer.greeting(), told=self.greeting())

    def greeting(self):
        return self.links.greeting

    async def send(self, node, payload):
        peer = self.linked.get(node.key)
        if peer is None or not self.is_meant(node, peer):
            raise ConnectError(
                "memory: there is no link", node=node.key, reason=ConnectReason.RESET
            )
        peer.hear(self, payload)

    def is_meant(self, node, peer):
        return node.boot_id in (None, peer.local.boot_id)

    def hear(self, peer, payload):
        self.links.message(peer.local, payload)

    def unlink(self, peer, reason):
        if self.linked.pop(peer.local.key, None):
            self.links.down(peer.local, reason)

    async def disconnect(self, node):
        self.wanted.discard(node.key)
        peer = self.linked.get(node.key)
        if peer is not None and self.local.key not in peer.wanted:
            peer.unlink(self, Reason.UNWANTED)
            self.unlink(peer, Reason.UNWANTED)

    async def stop(self):
        self.listening.pop(self.local.address, None)
        for peer in [*self.linked.values()]:
            self.unlink(peer, Reason.SHUTDOWN)
            peer.unlink(self, Reason.LEFT)

    async def diagnose(self, node, ctx):
        peer = self.listening.get(node.address)
        if peer is None:
            return Finding(
                asked=node.key,
                got="nobody",
                outcome=Outcome.FAILED,
                cause="it does not listen: start it",
            )
        if peer.local.name == ctx.local.name:
            return Finding(asked=node.key, got="this node", outcome=Outcome.EMPTY)
        return Finding(asked=node.key, got="there")

    async def update(self, local, leaving):
        self.local = local.evolve(boot_id=self.local.boot_id)
        self.is_leaving = leaving
        for peer in self.linked.values():
            if leaving:
                peer.links.leaving(self.local)
            else:
                peer.links.updated(self.local)


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


@breaks(
    "test_a_link_without_messages_has_no_greeting", "test_each_handshake_sends_the_current_greeting"
)
class TakesAnEmptyGreetingForNone(Memory):
    def greeting(self):
        return super().greeting() or None


@breaks("test_both_ends_greet_before_the_link_is_up", "test_the_longest_greeting_gets_through")
class GreetsInText(Memory):
    def greeting(self):
        return super().greeting().decode(errors="ignore").encode()


@breaks(
    "test_both_ends_greet_before_the_link_is_up",
    "test_the_longest_greeting_gets_through",
    "test_each_handshake_sends_the_current_greeting",
)
class DoesNotKnowWhatItHasSaid(Memory):
    def report_up(self, peer):
        self.links.up(peer.local, greeting=peer.greeting())


@breaks("test_the_longest_greeting_gets_through")
class GreetsBriefly(Memory):
    def greeting(self):
        return super().greeting()[:4096]


@breaks("test_each_handshake_sends_the_current_greeting")
class GreetsAsItDidFirst(Memory):
    first = None

    def greeting(self):
        self.first = self.first or super().greeting()
        return self.first


@breaks("test_messages_arrive_whole_and_in_order")
class CutsLongMessages(Memory):
    def hear(self, peer, payload):
        super().hear(peer, payload[:50_000])


@breaks("test_messages_arrive_whole_and_in_order")
class JoinsMessages(Memory):
    rest = b""

    def hear(self, peer, payload):
        if len(payload) == 1:
            self.rest = payload
        else:
            super().hear(peer, self.rest + payload)
            self.rest = b""


@breaks("test_messages_arrive_whole_and_in_order")
class BringsALongMessageTwice(Memory):
    def hear(self, peer, payload):
        super().hear(peer, payload)
        if len(payload) > 50_000 and payload[:1] == bytes([49]):
            super().hear(peer, payload)


@breaks("test_messages_arrive_whole_and_in_order")
class ShortOnesOvertake(Memory):
    def hear(self, peer, payload):
        if len(payload) > 50_000:
            asyncio.get_running_loop().call_soon(self.links.message, peer.local, payload)
        else:
            super().hear(peer, payload)


@breaks("test_messages_come_between_up_and_down")
class BringsMessagesWhenTheLinkIsDown(Memory):
    def hear(self, peer, payload):
        asyncio.get_running_loop().call_soon(self.links.message, peer.local, payload)


@breaks("test_send_without_a_link_is_a_connect_error")
class SendsToAnybody(Memory):
    async def send(self, node, payload):
        if node.key in self.linked:
            await super().send(node, payload)


@breaks("test_send_without_a_link_is_a_connect_error")
class SendsToAnotherRun(Memory):
    def is_meant(self, node, peer):
        return True


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
