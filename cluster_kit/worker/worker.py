"""Wires the parts of one topology to each other, to asyncio, and to the pipe of the supervisor.

::

    StrategyRunner  ---> SourceReceiver ---.                   ,---> ConnectorRunner.execute
                                           +--> MembershipDriver
    ConnectorRunner ---> LinkReceiver -----'                   `---> Outbox ---> supervisor
                              |                                         ^
                              '--- messages of peers ---> Forwarding ---'

The worker itself starts and stops these parts, and obeys the supervisor's orders.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import assert_never

from cluster_kit.abc import Connector, Strategy
from cluster_kit.attended import AttendedClock
from cluster_kit.config import TopologyConfig
from cluster_kit.errors import CommandError, ConfigError, described
from cluster_kit.membership import reports
from cluster_kit.membership.membership import Membership
from cluster_kit.membership.settings import Settings
from cluster_kit.network import Network
from cluster_kit.node import Node
from cluster_kit.pipe import messages
from cluster_kit.pipe.channel import Channel, Parcel
from cluster_kit.security.keys import Keyring
from cluster_kit.worker.coalescer import Coalescer
from cluster_kit.worker.connector_runner import ConnectorRunner
from cluster_kit.worker.forwarding import Forwarding
from cluster_kit.worker.host_process import EXIT_BROKEN, HostProcess
from cluster_kit.worker.isolation_warnings import IsolationWarnings
from cluster_kit.worker.local_node import LocalNode
from cluster_kit.worker.membership_driver import MembershipDriver
from cluster_kit.worker.outbox import Outbox
from cluster_kit.worker.plugin_calls import CLOSE_S, as_config_error
from cluster_kit.worker.report_receivers import LinkReceiver, SourceReceiver
from cluster_kit.worker.strategy_runner import StrategyRunner

log = logging.getLogger("cluster_kit.worker")

CHANGE_S = 0.25  # between two changes of our metadata; others need only the latest
_EVEN_EARLY = messages.Stop | messages.Inspect | messages.SetGreeting  # obeyed before it serves
_HANDED_OVER_TTL_S = 30.0  # how long a predecessor's roster counts unless a source confirms it


class Worker:
    """Serves the topology that ``start`` describes; ``main`` runs until ``stopping`` is set.

    Args:
        start: What to serve.
        early: Messages of the supervisor that came right behind ``start``.
        channel: The pipe to the supervisor.
        loop: The event loop that ``main`` will run in.
        stopping: Set when this worker is to leave, by itself or by the process.
        network: What strategies and connector see of the world, its clocks and randomness.
        process: The process that the worker runs in.

    Attributes:
        here: This node as it is now.
    """

    def __init__(
        self,
        start: messages.Start,
        early: Iterable[messages.Order],
        channel: Channel,
        loop: asyncio.AbstractEventLoop,
        stopping: asyncio.Event,
        *,
        network: Network,
        process: HostProcess,
    ) -> None:
        self.here = here = LocalNode.of_new_run(start, network)
        self._start, config = start, start.topology
        self._early: list[messages.Order] | None = list(early)  # None once the worker serves
        self._channel, self._loop = channel, loop
        self._stopping, self._process = stopping, process
        self._calls: set[asyncio.Task[None]] = set()
        self._metadata = Coalescer(loop, CHANGE_S, self._change_metadata)
        self._clock = AttendedClock(network.clock.monotonic_s, messages.BEAT_S)
        self._outbox = Outbox(channel, loop, start.known)
        process.forward_logs(self._outbox.send, start.log_level)
        connector = config.connector.build()
        strategies = [each.build() for each in config.strategies]
        partial = any(strategy.partial for strategy in strategies)
        self._membership = _membership(config, here.node, connector)
        self._forwarding = Forwarding(
            connector, self._outbox, loop, clock=self._clock, greeting=start.greeting
        )
        self._driver = self._new_driver()
        self._links = LinkReceiver(
            self._membership, self._driver, self._forwarding, here=here, partial=partial
        )
        self._connector = ConnectorRunner(
            connector, self._links, self._driver, here, config.connect_timeout_s
        )
        self._driver.execute = self._connector.execute
        self._strategies = self._runners_of(strategies)
        self._isolation = IsolationWarnings(
            self._membership, self._clock.now_s(), partial=partial, sources=config.sources
        )

    def _new_driver(self) -> MembershipDriver:
        return MembershipDriver(
            self._membership,
            self._start.topology.max_nodes,
            self._outbox,
            loop=self._loop,
            clock=self._clock,
            wall_clock=self.here.network.clock,
            stopping=self._stopping,
            process=self._process,
        )

    def _runners_of(self, strategies: Iterable[Strategy]) -> list[StrategyRunner]:
        config, here = self._start.topology, self.here
        receiver = SourceReceiver(
            self._driver,
            self._outbox,
            self._links,
            here=here,
            sources=config.sources,
            stopping=self._stopping,
        )
        return [
            StrategyRunner(name, strategy, config.child_spec, here=here, receiver=receiver)
            for name, strategy in zip(config.sources, strategies, strict=True)
        ]

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
            checking = asyncio.create_task(self._connector.check_address())
            self._obey_early()
            running = [asyncio.create_task(each.run(), name=each.name) for each in self._strategies]
            await self._stopping.wait()
            checking.cancel()
            await self._leave(running)
        finally:
            pulse.cancel()
            self._forwarding.close()
            self._channel.drain(CLOSE_S)
        return True

    async def _serve_unless_stopped(self) -> bool:
        """Start to serve, or give that up when told to stop; return whether links are accepted."""
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
        local, error = await self._connector.start()
        if error is not None:
            log.debug("cannot serve", exc_info=error)
            self._outbox.send(messages.CannotServe(as_config_error(error, "connector")))
            return False
        self.here.node = local
        # The first step: if the topology plugin can't select, nobody relies on this worker yet.
        self._driver.settle(
            reports.LocalChanged(local),
            reports.Inherited(self._start.known, _HANDED_OVER_TTL_S),
            *([reports.Draining()] if self.here.leaving else []),
        )
        max_bytes = self._forwarding.max_message_bytes
        self._outbox.send(messages.Serving(local.address, local.boot_id, max_bytes))
        return True

    async def _leave(self, running: Iterable[asyncio.Task[None]]) -> None:
        """Let strategies and connector say goodbye, all at once, and wait for them briefly."""
        self._driver.report(reports.Draining())
        self._connector.cancel()
        for task in running:
            task.cancel()
        await self._forwarding.flush(CLOSE_S)
        stopping = asyncio.create_task(self._connector.stop())
        await asyncio.wait([stopping, *running], timeout=CLOSE_S)
        self._driver.settle()

    async def _pulse(self) -> None:
        """Keep attended time, and show the supervisor that the event loop is running."""
        while True:
            self._clock.tick()
            self._isolation.check(self._clock.now_s())
            self._connector.log_distrust()
            self._driver.settle_soon()
            self._outbox.send(messages.Beat())
            await asyncio.sleep(messages.BEAT_S)

    # -- the pipe ----------------------------------------------------------------------------------

    def _lost_supervisor(self, fault: str | None) -> None:
        if fault is not None:
            error = ConfigError(f"the supervisor sent what a worker cannot read: {fault}")
            self._outbox.send_last(messages.CannotServe(error))
            self._process.end(EXIT_BROKEN)
        self._forwarding.close()  # nobody is left to wait for
        self._stopping.set()

    def _relieved(self) -> None:
        self._forwarding.report_links()
        self._outbox.catch_up()
        self._forwarding.catch_up()

    def _obey_early(self) -> None:
        """Obey the orders that came before the worker served."""
        early, self._early = self._early, None
        for message in early or ():
            self._obey(message)

    def _obey(self, message: messages.Order) -> None:
        if self._early is not None and not isinstance(message, _EVEN_EARLY):
            self._early.append(message)
            return
        match message:
            case Parcel():
                self._forwarding.send(message)
            case messages.SetGreeting(greeting=greeting):
                self._forwarding.greet(greeting)
            case messages.Stop():
                self._stopping.set()
            case messages.SetMetadata(metadata=metadata):
                self._metadata.put(metadata)
            case messages.Renew(keyring=keyring):
                self._renew(keyring)
            case messages.Drain():
                self._driver.report(reports.Draining())
                self.here.leaving = True
                self._changed()
            case messages.Inspect():
                self._inspect(message)
            case messages.Call():
                task = asyncio.create_task(self._call(message))
                self._calls.add(task)
                task.add_done_callback(self._calls.discard)
            case _:
                assert_never(message)

    def _renew(self, keyring: Keyring) -> None:
        """Use new keys and certificates, or keep the last ones if the new ones can't be used."""
        before = self.here.security.secret_ids
        try:
            self.here.security.renew(keyring)
        except (ValueError, OSError) as exc:  # OSError: no room for files in memory
            text = "the new secrets or certificates can't be used: the last ones stay: %s"
            log.warning(text, described(exc))
            return
        self._connector.secrets_changed(before)
        self._changed()

    def _change_metadata(self, metadata: Mapping[str, str]) -> None:
        self.here.node = self.here.node.evolve(metadata=metadata)
        self._changed()

    def _changed(self) -> None:
        """Notify all parts that this node has changed."""
        self._driver.report(reports.LocalChanged(self.here.node))
        for each in self._strategies:
            each.context.notify()
        self._connector.update()

    def _inspect(self, order: messages.Inspect) -> None:
        unlinked = self._membership.unlinked(self._clock.now_s())
        state = messages.Inspected.of(self._links.rtts, unlinked, self._links.secret_ids)
        self._outbox.send(messages.Reply(id=order.id, value=state))

    async def _call(self, call: messages.Call) -> None:
        try:
            value = await self._connector.call(call.command, dict(call.arguments), call.timeout_s)
        except CommandError as error:
            self._outbox.send(messages.Reply(id=call.id, error=error))
        else:
            self._outbox.send(messages.Reply(id=call.id, value=value))


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
