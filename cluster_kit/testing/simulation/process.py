"""One run of a simulated node: the real worker in an event loop of its own, and the ear of its
application.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any, NoReturn

from cluster_kit.config import Component, TopologyConfig
from cluster_kit.network import Network
from cluster_kit.node import Fence, Node
from cluster_kit.pipe.channel import Channel, Parcel
from cluster_kit.security.keys import Keyring
from cluster_kit.testing.simulation.application import Application
from cluster_kit.testing.simulation.invariants.findings import Law
from cluster_kit.testing.simulation.invariants.proxies import (
    Tell,
    WatchedTopology,
    watched_connector,
)
from cluster_kit.testing.simulation.invariants.runs import Runs
from cluster_kit.testing.simulation.invariants.view import NodeView, Told
from cluster_kit.testing.virtual_time.loop import VirtualLoop
from cluster_kit.testing.virtual_time.timeline import Timeline
from cluster_kit.worker.messages import (
    CannotServe,
    Drain,
    Forwarded,
    Happened,
    LinkClosed,
    LinkOpened,
    Logged,
    Renew,
    Serving,
    Start,
    Stop,
    View,
)
from cluster_kit.worker.worker import Worker

_FENCE = Fence("simulation", "simulation")


class Life:
    """Runs from when it is made until it ends by itself or is killed; to its worker it is the
    process.

    Args:
        node: Its name.
        config: What to serve; parts of it that are instances are copied, as if each process had its
            own.
        network: Of its machine.
        timeline: Shared by all.
        runs: Takes in this one.
        tell: Called with what breaks a law.
        told: Called with each event of the application.
        ended: Called when the process has ended by itself.
        keyring: The keys of its secrets, if it has any.
        application: Talks through it, if it talks at all.
    """

    def __init__(
        self,
        node: Node,
        config: TopologyConfig,
        network: Network,
        timeline: Timeline,
        *,
        runs: Runs,
        tell: Tell,
        told: Told,
        ended: Callable[[], None],
        keyring: Keyring | None = None,
        application: Application | None = None,
    ) -> None:
        self.loop = VirtualLoop(timeline, name=node.key)
        self.view = NodeView(tell, told, max_nodes=config.max_nodes, runs=runs, own=node.key)
        self.is_serving = False
        self._tell = tell
        self._ended = ended
        self._application = application
        self._stopping = asyncio.Event()
        start = Start(
            topology=_own(config, tell),
            local=node,
            fence=_FENCE,
            announce=True,
            leaving=False,
            known=(),
            log_level=0,
            keyring=keyring,
            greeting=b"" if application is None else application.messenger.greeting,
        )
        self._channel = _Ear(self._hear)
        self.worker = Worker(
            start, (), self._channel, self.loop, self._stopping, network=network, process=self
        )
        runs.began(self.node)
        if application is not None:
            application.attach(self._channel.order, self.node)
        self._main = self.loop.create_task(self.worker.main(), name=f"worker {node}")
        self._main.add_done_callback(self._has_ended)

    @property
    def node(self) -> Node:
        """The node as it introduces itself."""
        return self.worker.local

    def renew(self, keyring: Keyring) -> None:
        """Give it other keys."""
        self._channel.order(Renew(keyring))

    def drain(self) -> None:
        """Tell it that it is about to leave."""
        self._channel.order(Drain())

    def stop(self) -> None:
        """Tell it to leave."""
        self._channel.order(Stop())

    def kill(self) -> None:
        """End it at once."""
        self._main.remove_done_callback(self._has_ended)
        self.loop.kill()

    def end(self, code: int) -> NoReturn:
        """Let the worker end its process at once."""
        self._tell(Law.SERVING, f"gave up, with exit code {code}")
        self.kill()
        self._ended()
        raise Exited

    def forward_logs(self, send: Callable[[Logged], None], level: int) -> None:
        """Leave the log alone: the simulation watches it."""

    def _hear(self, message: Any) -> None:
        match message:
            case Happened(events=events):
                for event in events:
                    self.view.apply(event)
                    if self._application is not None:
                        self._application.happened(event)
            case Parcel() | Forwarded() | LinkOpened() | LinkClosed() if (
                self._application is not None
            ):
                self._application.hear(message)
            case Serving(max_message_bytes=most):
                self.is_serving = True
                if self._application is not None:
                    self._application.limit(most)
            case CannotServe(error=error):
                self._tell(Law.SERVING, f"cannot serve: {error}")
            case View():
                self._tell(
                    Law.EVENTS,
                    "sent a view in place of events, though its application takes all of them",
                )

    def _has_ended(self, main: asyncio.Task[bool]) -> None:
        if not main.cancelled() and main.exception() is not None:
            self._tell(Law.EXCEPTIONS, f"the worker raised {main.exception()!r}")
        elif not self._stopping.is_set():
            self._tell(Law.SERVING, "ended, though nobody had told it to")
        self.loop.kill()
        self._ended()


def _own(config: TopologyConfig, tell: Tell) -> TopologyConfig:
    """Return a configuration with parts of its own, under watch."""
    connector, topology = config.connector, config.topology
    return replace(
        config,
        strategies=tuple(
            replace(each, instance=deepcopy(each.instance)) for each in config.strategies
        ),
        connector=_standing_in(connector, watched_connector(deepcopy(connector.build()), tell)),
        topology=_standing_in(topology, WatchedTopology(topology.build(), tell)),
    )


def _standing_in(component: Component, instance: object) -> Component:
    return replace(component, instance=instance)


class Exited(BaseException):
    """Ends a simulated process from within; nobody catches it."""


class _Ear(Channel):
    """The worker's end of the way to its application, which hears at once.

    Args:
        hear: Takes what the worker says.
    """

    def __init__(self, hear: Callable[[Any], None]) -> None:
        self._hear = hear
        self._loop: asyncio.AbstractEventLoop | None = None
        self._obey: Callable[[Any], None] | None = None
        self._early: list[Any] = []

    def attach(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        hear: Callable[[Any], None],
        ended: Callable[[str | None], None],
        relieved: Callable[[], None],
    ) -> None:
        """Begin to take orders."""
        self._loop, self._obey = loop, hear
        for message in self._early:
            self.order(message)

    def order(self, message: Any) -> None:
        """Have the worker hear ``message``, once it listens."""
        if self._loop is None:
            self._early.append(message)
        elif self._obey is not None:
            self._loop.call_soon(self._obey, message)

    def send(self, message: Any) -> None:
        """Let the application hear ``message``."""
        self._hear(message)

    def send_parcel(self, link: int, payload: bytes, forwarded: int = 0) -> None:
        """Let the application hear a parcel."""
        self._hear(Parcel(link, payload, forwarded))

    @property
    def pending_bytes(self) -> int:
        """Nothing has to wait."""
        return 0

    def drain(self, timeout_s: float | None = None) -> None:
        """Do nothing: nothing has to wait."""

    def close(self) -> None:
        """Take no more orders."""
        self._obey = None
