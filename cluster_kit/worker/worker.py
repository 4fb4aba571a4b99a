"""The one place where the pure parts meet asyncio: strategies, membership and connector of one
topology, and the pipe.

What sources and links report is collected; once per turn of the event loop ``_settle`` has the
membership take a step with that, starts the commands and sends the events that follow.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NoReturn

from cluster_kit.abc import Connector, Seen, Strategy
from cluster_kit.attended import AttendedClock
from cluster_kit.config import TopologyConfig
from cluster_kit.errors import ClusterKitError, CommandError, ConfigError, described
from cluster_kit.events import Event, TopologyEvent
from cluster_kit.membership import reports
from cluster_kit.membership.membership import Effects, Membership
from cluster_kit.membership.reports import Report
from cluster_kit.membership.rules import Settings
from cluster_kit.membership.selection import TopologyError
from cluster_kit.network import Network
from cluster_kit.node import BootId, Node
from cluster_kit.pipe.channel import Channel, Parcel
from cluster_kit.security.keys import Keyring
from cluster_kit.throttle import Throttle
from cluster_kit.worker.foreign import CLOSE_S, as_config_error, attempt
from cluster_kit.worker.forwarding import Forwarding
from cluster_kit.worker.isolation import Isolation
from cluster_kit.worker.latest import Latest
from cluster_kit.worker.links import Links, run_command
from cluster_kit.worker.local_node import LocalNode
from cluster_kit.worker.messages import (
    Announced,
    Beat,
    Call,
    CannotServe,
    Drain,
    Greeting,
    Inspect,
    Inspected,
    Renew,
    Reply,
    Serving,
    SetMetadata,
    Start,
    Stop,
)
from cluster_kit.worker.outbox import Outbox
from cluster_kit.worker.process import Process
from cluster_kit.worker.source import Source
from cluster_kit.worker.standpoint import warn_of_loopback

log = logging.getLogger("cluster_kit.worker")

EXIT_BROKEN = 70  # EX_SOFTWARE of sysexits.h
CHANGE_S = 0.25  # between two changes of our metadata, of which others need only the last
BEAT_S = 1.0  # the supervisor judges by these
# how long a predecessor's roster counts without a source's word, while all sources work
_HANDED_OVER_TTL_S = 30.0


class Worker:
    """Serves the topology that ``start`` describes; ``main`` runs it in ``loop`` until ``stopping``
    is set.

    Args:
        start: What to serve.
        early: What came right behind it.
        channel: The supervisor's other end.
        loop: Not running yet.
        stopping: Set by who wants this worker to leave.
        network: What strategies and connector see of the world, its clocks and randomness.
        process: What it runs in.

    Attributes:
        here: This node as it is now.
    """

    def __init__(
        self,
        start: Start,
        early: Iterable[object],
        channel: Channel,
        loop: asyncio.AbstractEventLoop,
        stopping: asyncio.Event,
        *,
        network: Network,
        process: Process,
    ) -> None:
        config = start.topology
        self.here = LocalNode.of_new_run(start, network)
        self._start = start
        self._connector: Connector = config.connector.build()
        self._membership = _membership(config, self.local, self._connector)
        self._clock = AttendedClock(network.clock.monotonic_s, BEAT_S)
        self._channel = channel
        self._loop, self._stopping = loop, stopping
        self._outbox = Outbox(channel, loop, start.known)
        self._forwarding = Forwarding(
            self._connector, self._outbox, loop, clock=self._clock, greeting=start.greeting
        )
        self._process = process
        process.forward_logs(self._outbox.send, start.log_level)
        self._reports: list[Report] = []
        self._settling: asyncio.Handle | None = None
        self._waking: asyncio.TimerHandle | None = None
        self._metadata = Latest(loop, CHANGE_S, self._change_metadata)
        self._calls: set[asyncio.Task[None]] = set()
        strategies = [component.build() for component in config.strategies]
        is_partial = any(strategy.partial for strategy in strategies)
        self._links = self._new_links(partial=is_partial)
        self._sources = [
            self._source(*each) for each in zip(config.sources, strategies, strict=True)
        ]
        self._unannounced = {source.name for source in self._sources}
        self._throttle = Throttle()
        self._isolation = Isolation(
            self._membership, partial=is_partial, sources=config.sources, now_s=self._clock.now_s()
        )
        self._full_told = False
        self._early: list[object] | None = list(early)  # until there is anything to order about

    def _new_links(self, *, partial: bool) -> Links:
        return Links(
            self._connector,
            self._membership,
            here=self.here,
            partial=partial,
            clock=self._clock,
            forwarding=self._forwarding,
            connect_timeout_s=self._start.topology.connect_timeout_s,
            report=self._report,
            tell=self._tell,
        )

    def _source(self, name: str, strategy: Strategy) -> Source:
        return Source(
            name,
            strategy,
            self._start.topology.child_spec,
            here=self.here,
            report=self._hear,
            tell=self._outbox.send,
            announced=lambda: self._announced(name),
        )

    @property
    def local(self) -> Node:
        """This node as it is now."""
        return self.here.node

    # -- life --------------------------------------------------------------------------------------

    async def main(self) -> bool:
        """Serve until told to stop; return False if serving was not possible."""
        self._channel.attach(
            self._loop, hear=self._obey, ended=self._lost_supervisor, relieved=self._relieved
        )
        pulse = asyncio.create_task(self._pulse())
        try:
            if not await self._serve_unless_stopped():
                return self._stopping.is_set()
            looking = asyncio.create_task(self._look_at_address())
            self._obey_early()
            running = [
                asyncio.create_task(source.run(), name=source.name) for source in self._sources
            ]
            await self._stopping.wait()
            looking.cancel()
            await self._leave(running)
        finally:
            pulse.cancel()
            self._forwarding.close()
            self._channel.drain(CLOSE_S)
        return True

    async def _serve_unless_stopped(self) -> bool:
        """Serve, or give that up when told to stop; return whether links are accepted."""
        serving = asyncio.create_task(self._serve())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not serving.done():
            serving.cancel()
            await asyncio.wait([serving])
            return False
        return serving.result()

    async def _serve(self) -> bool:
        local, raised = await attempt(lambda: self._connector.start(self.local, self._links))
        if raised is None and not isinstance(local, Node):
            raised = TypeError(
                f"start returned a {type(local).__name__}: expected this node with its address"
            )
        if raised is not None:
            log.debug("cannot serve", exc_info=raised)
            self._outbox.send(CannotServe(as_config_error(raised, "connector")))
            return False
        self.here.node = local
        self._reports += [
            reports.LocalChanged(self.local),
            reports.Inherited(self._start.known, _HANDED_OVER_TTL_S),
        ]
        if self.here.leaving:
            self._reports.append(reports.Draining())
        self._settle()  # a topology that can't select can't serve
        self._outbox.send(Serving(local.address, local.boot_id, self._forwarding.max_message_bytes))
        return True

    async def _look_at_address(self) -> None:
        """Warn where others can't reach the address that they are told."""
        where, raised = await attempt(lambda: self._connector.serves_on(self.local.host))
        if raised is None and self.local.address is not None:
            await warn_of_loopback(self.here.network, self.local.address, where)

    async def _leave(self, running: Iterable[asyncio.Task[None]]) -> None:
        """Say goodbye on every way at once, within the time that each may take."""
        self._reports.append(reports.Draining())
        self._links.cancel()
        for task in running:
            task.cancel()
        await self._forwarding.flush(CLOSE_S)
        stopping = asyncio.create_task(self._have_connector("stop", self._connector.stop))
        await asyncio.wait([stopping, *running], timeout=CLOSE_S)
        self._settle()

    async def _have_connector(self, what: str, do: Callable[[], Awaitable[None]]) -> None:
        """Have the connector do something of which nothing depends."""
        raised = (await attempt(do)).error
        if raised is not None:
            log.error("%s: the connector raised %s", what, described(raised), exc_info=raised)

    async def _pulse(self) -> None:
        """Keep attended time, and show the supervisor that the event loop is running."""
        while True:
            self._clock.tick()
            self._isolation.look(self._clock.now_s())
            self._links.look()
            self._unsettled()
            self._outbox.send(Beat())
            await asyncio.sleep(BEAT_S)

    # -- observations and commands -----------------------------------------------------------------

    def _hear(self, report: Report) -> None:
        """Report what a source says, which may be that there is another node by this name."""
        match report:
            case reports.Observed(observation=Seen(node=node)) if node.name == self.local.name:
                self._twin_seen(node.boot_id)
        self._report(report)

    def _twin_seen(self, boot_id: BootId | None) -> None:
        if boot_id in (None, self.local.boot_id) or not self._throttle.passes(
            "twin", self._clock.now_s()
        ):
            return
        self._links.event("name_conflict", {"name": self.local.name, "boot_id": str(boot_id)})

    def _announced(self, source: str) -> None:
        if source in self._unannounced:
            self._unannounced.discard(source)
            if not self._unannounced and not self._stopping.is_set():
                self._outbox.send(Announced())

    def _report(self, report: Report) -> None:
        """Pass ``report`` to the membership, with all others of this turn of the event loop."""
        self._reports.append(report)
        self._unsettled()

    def _unsettled(self) -> None:
        """Have ``_settle`` run in the next turn of the event loop, once however often this is
        called.
        """
        if self._settling is None:
            self._settling = self._loop.call_soon(self._settle)

    def _settle(self) -> None:
        self._settling = None
        if self._stopping.is_set():
            self._reports.append(reports.Stopping())
        effects = self._step()
        for command in effects.commands:
            self._links.start(command)
        self._wake_later(effects.wake_at_s)
        self._publish(effects.events)

    def _step(self) -> Effects:
        """Take the membership one step on; a topology that can't select ends this worker."""
        heard, self._reports = self._reports, []
        try:
            effects = self._membership.step(heard, self._clock.now_s())
        except TopologyError as exc:
            log.exception("the topology raised", exc_info=exc.__cause__)
            self._give_up(as_config_error(exc.__cause__ or exc, "topology"))
        if self._membership.full_of and not self._full_told:
            self._full_told = True
            text = "%s: more than max_nodes %d nodes found: the others are ignored; raise max_nodes"
            log.warning(text, self._membership.full_of, self._start.topology.max_nodes)
        return effects

    def _give_up(self, error: ClusterKitError) -> NoReturn:
        """End this worker at once: its successor may fare better."""
        self._outbox.send(CannotServe(error))
        self._channel.drain(CLOSE_S)
        self._process.end(EXIT_BROKEN)

    def _wake_later(self, wake_at_s: float | None) -> None:
        """Settle again when the membership has something to do before the next tick."""
        if self._waking is not None:
            self._waking.cancel()
            self._waking = None
        now_s = self._clock.now_s()
        if wake_at_s is not None and wake_at_s < now_s + BEAT_S and not self._stopping.is_set():
            self._waking = self._loop.call_later(wake_at_s - now_s, self._unsettled)

    def _tell(self, event: TopologyEvent) -> None:
        """Pass an event on, after those that come of what was reported before."""
        self._settle()
        self._publish([event])

    def _publish(self, events: Sequence[Event]) -> None:
        if events:
            t = self.here.network.clock.wall_s()
            for event in events:
                # nobody has seen it yet; to make another one takes longer than all before
                object.__setattr__(event, "t", t)
            self._outbox.publish(tuple(events))

    # -- the supervisor's orders -------------------------------------------------------------------

    def _lost_supervisor(self, fault: str | None) -> None:
        if fault is not None:
            self._give_up(ConfigError(f"the supervisor sent what a worker cannot read: {fault}"))
        self._forwarding.close()  # nobody is left to wait for
        self._stopping.set()

    def _relieved(self) -> None:
        self._forwarding.tell_links()
        self._outbox.catch_up()
        self._forwarding.catch_up()

    def _obey_early(self) -> None:
        """Obey what came before there was anything to order about."""
        early, self._early = self._early, None
        for message in early or ():
            self._obey(message)

    def _obey(self, message: object) -> None:
        if self._early is not None and not isinstance(message, Stop | Inspect | Greeting):
            self._early.append(message)
            return
        match message:
            case Parcel():
                self._forwarding.send(message)
            case Greeting(greeting=greeting):
                self._forwarding.greet(greeting)
            case Stop():
                self._stopping.set()
            case SetMetadata(metadata=metadata):
                self._metadata.put(metadata)
            case Renew(keyring=keyring):
                self._renew(keyring)
            case Drain():
                self._reports.append(reports.Draining())
                self.here.leaving = True
                self._changed()
            case Inspect(id=number):
                unlinked = self._membership.unlinked(self._clock.now_s())
                self._outbox.send(
                    Reply(
                        id=number,
                        value=Inspected.of(self._links.rtts, unlinked, self._links.secret_ids),
                    )
                )
            case Call():
                task = asyncio.create_task(self._call(message))
                self._calls.add(task)
                task.add_done_callback(self._calls.discard)

    def _renew(self, keyring: Keyring) -> None:
        """Use other keys and certificates, or keep the last ones where these can't be used."""
        before = self.here.security.secret_ids
        try:
            self.here.security.renew(keyring)
        except (ValueError, OSError) as exc:  # OSError: files in memory could not be had
            log.warning(
                "the new secrets or certificates can't be used: the last ones stay: %s",
                described(exc),
            )
            return
        self._links.renewed(before)
        self._changed()

    def _change_metadata(self, metadata: Mapping[str, str]) -> None:
        self.here.node = self.local.evolve(metadata=metadata)
        self._changed()

    def _changed(self) -> None:
        """Pass on to all parts that this node has changed."""
        self._reports.append(reports.LocalChanged(self.local))
        for source in self._sources:
            source.context.notify()
        update = partial(self._connector.update, self.local, self.here.leaving)
        task = asyncio.create_task(self._have_connector("update", update))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _call(self, call: Call) -> None:
        try:
            value = await run_command(
                self._connector, call.command, dict(call.arguments), call.timeout_s
            )
        except CommandError as error:
            self._outbox.send(Reply(id=call.id, error=error))
        else:
            self._outbox.send(Reply(id=call.id, value=value))


def _membership(config: TopologyConfig, local: Node, connector: Connector) -> Membership:
    settings = Settings(
        name=config.name,
        prune=config.prune,
        max_nodes=config.max_nodes,
        remember_s=config.remember_s,
        keeps_links=connector.holds_links,
        introduces=connector.introduces,
    )
    return Membership(local, config.topology.build(), settings)
