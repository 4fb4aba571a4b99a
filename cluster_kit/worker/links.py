"""Carries out the reconciler's commands on the connector, and hears from it which links are up.

Connect and disconnect run as tasks, one at most per peer; each ends in exactly one report to the
membership. A connector is a
plugin: what it raises stops here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from inspect import getattr_static
from typing import Any

from cluster_kit.abc import Connector, Seen
from cluster_kit.attended import AttendedClock
from cluster_kit.errors import (
    ClusterKitError,
    CommandError,
    ConnectError,
    ConnectReason,
    NameConflict,
    described,
    name_taken,
    text_of,
)
from cluster_kit.events import Reason, TopologyEvent
from cluster_kit.membership import reports
from cluster_kit.membership.membership import Membership
from cluster_kit.membership.reconciler import Command, Connect, Disconnect, GiveUp
from cluster_kit.membership.reports import Report
from cluster_kit.membership.sources import EXCHANGE
from cluster_kit.node import Node
from cluster_kit.throttle import Throttle
from cluster_kit.worker.dropped import Dropped
from cluster_kit.worker.foreign import attempt
from cluster_kit.worker.forwarding import Forwarding
from cluster_kit.worker.local_node import LocalNode
from cluster_kit.worker.plain import check_plain
from cluster_kit.worker.untrusting import Untrusting

log = logging.getLogger("cluster_kit.worker")

LASTING_S = 3600.0  # between two warnings about a link that cannot be, of one node for one reason

_QUIET = (ConnectReason.SELF, ConnectReason.IGNORED)  # no fault of anybody


class Links:
    """Between one connector and one membership; it is the connector's ``LinkReport``."""

    def __init__(
        self,
        connector: Connector,
        membership: Membership,
        *,
        here: LocalNode,
        partial: bool,
        clock: AttendedClock,
        forwarding: Forwarding,
        connect_timeout_s: float,
        report: Callable[[Report], None],
        tell: Callable[[TopologyEvent], None],
    ) -> None:
        assert here.node.boot_id is not None, "a worker has one from its start"
        self.fence = here.fence
        self.boot_id = here.node.boot_id
        self.partial = partial
        self.network = here.network
        self.security = here.security
        self.rtts: dict[str, float] = {}
        self.secret_ids: dict[str, tuple[bytes, ...]] = {}
        self._here = here
        self._connector = connector
        self._membership = membership
        self._clock = clock
        self._forwarding = forwarding
        self._connect_timeout_s = connect_timeout_s
        self._report = report
        self._tell = tell
        self._jitter = here.network.random("retry").random
        self._tasks: dict[asyncio.Task[None], None] = {}  # in the order in which they began
        self._giving_up: dict[str, asyncio.Future[None]] = {}  # of the connects under way
        self._throttle = Throttle()
        self._lasting = Throttle(LASTING_S)
        self._untrusting = Untrusting()
        self._dropped = Dropped(self.secret_ids)

    @property
    def greeting(self) -> bytes:
        """What the application tells peers."""
        return self._forwarding.greeting

    def up(self, node: Node, *, greeting: bytes | None = None, told: bytes = b"") -> None:
        """Report a link that came up.

        Raises:
            TypeError: The greeting is no ``bytes``.
            ValueError: It is too long.
        """
        self._forwarding.up(node, greeting, told)
        self._report(reports.LinkUp(node))

    def message(self, node: Node, payload: bytes) -> None:
        """Report what a linked node has sent.

        Raises:
            TypeError: It is no ``bytes``.
            ValueError: It is too long.
        """
        self._forwarding.message(node, payload)

    def down(self, node: Node, reason: Reason) -> None:
        """Report a link that went down."""
        self._forwarding.down(node)
        self.rtts.pop(node.key, None)
        self.secret_ids.pop(node.key, None)
        self._report(reports.LinkDown(node, Reason(reason)))

    def updated(self, node: Node) -> None:
        """Report that a linked node changed its metadata."""
        self._report(reports.LinkUpdated(node))

    def leaving(self, node: Node) -> None:
        """Report that a linked node is about to leave."""
        self._report(reports.LinkLeaving(node))

    def knows(self, node: Node) -> bool:
        """Return whether discovery or memory vouches for a node."""
        return self._membership.vouches_for(node)

    def hint(self, node: Node, ttl_s: float) -> None:
        """Report that a linked node tells of another."""
        self._report(reports.Observed(EXCHANGE, Seen(node, ttl_s)))

    def rtt(self, node: Node, seconds: float) -> None:
        """Keep the latest round-trip time."""
        self.rtts[node.key] = seconds

    def secrets(self, node: Node, ids: tuple[bytes, ...]) -> None:
        """Keep which secrets a linked node holds."""
        self.secret_ids[node.key] = ids

    def event(self, kind: str, data: Any) -> None:
        """Pass something particular on to the application.

        Raises:
            TypeError: ``kind`` is no string, or ``data`` is not plain.
        """
        kind = str.__str__(kind)
        check_plain(data, f"event {kind!r}")
        if kind == "name_conflict" and isinstance(data, dict):
            self._warn_of_conflict(str(data.get("name")))
        self._tell(TopologyEvent(topology=self._membership.name, kind=kind, data=data))

    def start(self, command: Command) -> None:
        """Begin to carry out ``command``."""
        match command:
            case Connect(node=node):
                self._begin(self._connect(node), f"connect {node}")
            case Disconnect(node=node):
                self._begin(self._disconnect(node), f"disconnect {node}")
            case GiveUp(key=key):
                if key in self._giving_up and not self._giving_up[key].done():
                    self._giving_up[key].set_result(None)

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

    def cancel(self) -> None:
        """Give up all commands under way."""
        for task in self._tasks:
            task.cancel()

    async def _connect(self, node: Node) -> None:
        loop = asyncio.get_running_loop()
        since_s = loop.time()
        give_up = self._giving_up[node.key] = loop.create_future()
        try:
            peer, raised = await attempt(
                lambda: self._connector.connect(node), self._connect_timeout_s, give_up
            )
        finally:
            del self._giving_up[node.key]
        if raised is None and not isinstance(peer, Node):
            raised = TypeError(
                f"connect returned a {type(peer).__name__}: expected the peer's Node"
            )
        if raised is None:
            self._report(reports.Connected(node, peer))
        else:
            error = self._as_connect_error(node, raised, loop.time() - since_s)
            self._log_failure(node, error)
            self._report(reports.ConnectFailed(node, error, self._jitter()))

    def _log_failure(self, node: Node, error: ConnectError) -> None:
        """Warn of what tends to last: seldom for each node, and seldom at all, as strangers make up
        any number of nodes.

        Of a secret that differs the warning comes again each minute, as long as it does, for each
        of a few nodes.
        """
        now_s = self._clock.now_s()
        if error.reason is ConnectReason.AUTH:
            told = self._untrusting.passes(node.key, now_s)
        else:
            told = not (error.retryable or error.reason in _QUIET)
            told = told and self._throttle.passes(error.reason, now_s)
            told = told and self._lasting.passes(f"{node.key} {error.reason}", now_s)
        log.log(logging.WARNING if told else logging.DEBUG, "cannot link to %s: %s", node, error)

    def renewed(self, before: tuple[bytes, ...]) -> None:
        """Note that this node holds other secrets than ``before``, by id, or other certificates."""
        self._dropped.renewed(before, self.security.secret_ids, self._clock.now_s())

    def look(self) -> None:
        """Log who still uses a secret that was dropped, and how many nodes there was no room to
        name; called regularly.
        """
        now_s = self._clock.now_s()
        self._dropped.look(now_s)
        if others := self._untrusting.others(now_s):
            log.warning(
                "cannot link to %d more for want of trust: see 'cluster-kit status'", others
            )

    def _as_connect_error(self, node: Node, exc: BaseException, seconds: float) -> ConnectError:
        now_s = self._clock.now_s()
        if isinstance(exc, NameConflict):
            self._warn_of_conflict(self._here.node.key)
        if isinstance(exc, ConnectError):
            return exc
        if isinstance(exc, TimeoutError):
            message = (
                f"connect: no answer from {str(node)!r} within {seconds:.2g} s: host down, frozen "
                "or filtered"
            )
            return ConnectError(message, node=node.key, reason=ConnectReason.TIMEOUT)
        if self._throttle.passes("connect", now_s):
            more = self._throttle.more("connect")
            log.error(
                "connect: the connector raised for %s: %s%s",
                node,
                described(exc),
                more,
                exc_info=exc,
            )
        return ConnectError(
            f"connect: for {str(node)!r} the connector raised {described(exc)}", node=node.key
        )

    def _warn_of_conflict(self, name: str) -> None:
        """Warn once in a while, however many parts of a worker notice it."""
        if self._throttle.passes(f"name conflict {name}", self._clock.now_s()):
            log.warning("%s", name_taken(name))

    async def _disconnect(self, node: Node) -> None:
        _, raised = await attempt(lambda: self._connector.disconnect(node), self._connect_timeout_s)
        if raised is not None and self._throttle.passes("disconnect", self._clock.now_s()):
            more = self._throttle.more("disconnect")
            log.error(
                "disconnect: the connector raised for %s: %s%s",
                node,
                described(raised),
                more,
                exc_info=raised,
            )
        self._report(reports.Disconnected(node))


def _is_command(connector: Connector, name: str) -> bool:
    """Whether the class has such a command; runs no code of the plugin, such as that of a
    property.
    """
    return (
        getattr(getattr_static(type(connector), name, None), "__cluster_kit_command__", False)
        is True
    )


async def run_command(
    connector: Connector, command: str, arguments: dict[str, Any], timeout_s: float
) -> Any:
    """Run the connector's method ``command``, marked with ``@command``, and return its plain
    result.

    Raises:
        CommandError: There is no such command, it raised, it took too long, or its result is not
            plain data.
    """
    names = [name for name in dir(type(connector)) if _is_command(connector, name)]
    if command not in names:
        known = ", ".join(names) or "none"
        raise CommandError(f"call: connector has no command {command!r}: its commands are: {known}")
    value, raised = await attempt(lambda: getattr(connector, command)(**arguments), timeout_s)
    if isinstance(raised, TimeoutError):
        raise CommandError(f"call: {command!r} took longer than {timeout_s:g} s: it was cancelled")
    if isinstance(raised, ClusterKitError):
        raise CommandError(f"call: {command!r} failed: {text_of(raised)}")
    if raised is not None:
        raise CommandError(f"call: {command!r} raised {described(raised)}")
    try:
        check_plain(value, f"result of {command!r}")
    except TypeError as exc:
        raise CommandError(f"call: {command!r} raised {described(exc)}") from exc
    return value
