"""The simulated process of a node: the real worker, in a separate event loop.

A real worker runs in a process and talks to its application over a pipe. Here an object takes the
place of each, and the worker notices no difference:

- ``NodeProcess`` is what the worker calls its process. It ends with its event loop.
- ``_DirectPipe`` is the worker's end of the pipe. Messages of the worker are handled at once;
  orders to the worker run in its event loop, so a paused loop holds them back as a frozen process
  would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any, NoReturn

from cluster_kit.config import TopologyConfig
from cluster_kit.network import Network
from cluster_kit.node import Fence, Node
from cluster_kit.pipe.channel import Channel, Parcel
from cluster_kit.pipe.messages import (
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
from cluster_kit.security.keys import Keyring
from cluster_kit.testing.simulation.application import Application
from cluster_kit.testing.simulation.invariants.findings import Law
from cluster_kit.testing.simulation.invariants.proxies import (
    CheckedTopology,
    Report,
    checked_connector,
)
from cluster_kit.testing.simulation.invariants.view import NodeView
from cluster_kit.testing.virtual_time.loop import VirtualLoop
from cluster_kit.testing.virtual_time.timeline import Timeline
from cluster_kit.worker.worker import Worker

_FENCE = Fence("simulation", "simulation")


class Exited(BaseException):
    """Ends a simulated process from within; it is never caught."""


class NodeProcess:
    """Starts when it is made, and runs until it ends by itself or is killed.

    Args:
        node: The node as it starts.
        config: What to serve. Strategies, connectors and topologies that are instances are copied,
            as each real process would have its own.
        network: The network of its machine.
        timeline: The virtual time that all processes share.
        view: The application's view, to which each event is applied.
        report: Called with each violation of an invariant.
        ended: Called when the process has ended by itself.
        keyring: Its keys, if the cluster has a secret.
        application: Sends and receives messages, if the script has any.
    """

    def __init__(
        self,
        node: Node,
        config: TopologyConfig,
        network: Network,
        timeline: Timeline,
        *,
        view: NodeView,
        report: Report,
        ended: Callable[[], None],
        keyring: Keyring | None = None,
        application: Application | None = None,
    ) -> None:
        self.loop = VirtualLoop(timeline, name=node.key)
        self.view = view
        self._report = report
        self._ended = ended
        self._application = application
        self._stopping = asyncio.Event()
        self._pipe = _DirectPipe(self._receive)
        start = Start(
            topology=_instrumented(config, report),
            local=node,
            fence=_FENCE,
            announce=True,
            leaving=False,
            known=(),
            log_level=0,
            keyring=keyring,
            greeting=b"" if application is None else application.messenger.greeting,
        )
        self.worker = Worker(
            start, (), self._pipe, self.loop, self._stopping, network=network, process=self
        )
        if application is not None:
            application.attach(self._pipe.order, self.node)
        self._main = self.loop.create_task(self.worker.main(), name=f"worker {node}")
        self._main.add_done_callback(self._on_end)

    @property
    def node(self) -> Node:
        """The node as it introduces itself."""
        return self.worker.here.node

    def renew(self, keyring: Keyring) -> None:
        """Replace its keys."""
        self._pipe.order(Renew(keyring))

    def drain(self) -> None:
        """Ask it to announce that it will leave."""
        self._pipe.order(Drain())

    def stop(self) -> None:
        """Ask it to leave."""
        self._pipe.order(Stop())

    def kill(self) -> None:
        """End it at once."""
        self._main.remove_done_callback(self._on_end)
        self.loop.kill()

    def end(self, code: int) -> NoReturn:
        """End the process at the worker's request."""
        self._report(Law.SERVING, f"gave up, with exit code {code}")
        self.kill()
        self._ended()
        raise Exited

    def forward_logs(self, send: Callable[[Logged], None], level: int) -> None:
        """Do nothing: the simulation itself watches the log."""

    def _receive(self, message: Any) -> None:
        """Handle a message of the worker, as the supervisor does in a real application."""
        application = self._application
        match message:
            case Happened(events=events):
                for event in events:
                    self.view.apply(event)
                    if application is not None:
                        application.on_event(event)
            case Parcel() | Forwarded() | LinkOpened() | LinkClosed() if application is not None:
                application.on_message(message)
            case Serving() if application is not None:
                application.on_limit(message.max_message_bytes)
            case CannotServe(error=error):
                self._report(Law.SERVING, f"cannot serve: {error}")
            case View():
                what = "sent a view in place of events, though its application keeps up with them"
                self._report(Law.EVENTS, what)

    def _on_end(self, main: asyncio.Task[bool]) -> None:
        if not main.cancelled() and main.exception() is not None:
            self._report(Law.EXCEPTIONS, f"the worker raised {main.exception()!r}")
        elif not self._stopping.is_set():
            self._report(Law.SERVING, "ended without having been stopped")
        self.loop.kill()
        self._ended()


def _instrumented(config: TopologyConfig, report: Report) -> TopologyConfig:
    """Return ``config`` with its own plugin instances, wrapped in checking proxies."""
    connector = checked_connector(deepcopy(config.connector.build()), report)
    topology = CheckedTopology(config.topology.build(), report)
    return replace(
        config,
        strategies=tuple(
            replace(each, instance=deepcopy(each.instance)) for each in config.strategies
        ),
        connector=replace(config.connector, instance=connector),
        topology=replace(config.topology, instance=topology),
    )


class _DirectPipe(Channel):
    """The worker's end of a pipe whose other end receives everything at once.

    Args:
        receive: Called with each message of the worker.
    """

    def __init__(self, receive: Callable[[Any], None]) -> None:
        self._receive = receive
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hear: Callable[[Any], None] | None = None
        self._early: list[Any] = []  # ordered before the worker was attached

    def attach(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        hear: Callable[[Any], None],
        ended: Callable[[str | None], None],
        relieved: Callable[[], None],
    ) -> None:
        """Start passing orders to the worker."""
        self._loop, self._hear = loop, hear
        for message in self._early:
            self.order(message)

    def order(self, message: Any) -> None:
        """Send ``message`` to the worker, once it is attached."""
        if self._loop is None:
            self._early.append(message)
        elif self._hear is not None:
            self._loop.call_soon(self._hear, message)

    def send(self, message: Any) -> None:
        """Pass ``message`` to the application."""
        self._receive(message)

    def send_parcel(self, link: int, payload: bytes, forwarded: int = 0) -> None:
        """Pass a parcel to the application."""
        self._receive(Parcel(link, payload, forwarded))

    @property
    def pending_bytes(self) -> int:
        """Always 0: nothing waits."""
        return 0

    def drain(self, timeout_s: float | None = None) -> None:
        """Return at once: nothing waits."""

    def close(self) -> None:
        """Drop all further orders."""
        self._hear = None
