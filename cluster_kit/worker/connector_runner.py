"""Runs the connector: carries out the reconciler's commands and the application's calls.

``Connect`` and ``Disconnect`` run as tasks, at most one per peer, and each ends in exactly one
report to the membership. A connector is a plugin: whatever it raises stops here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from inspect import getattr_static
from typing import Any

from cluster_kit.abc import Connector
from cluster_kit.errors import (
    ClusterKitError,
    CommandError,
    ConnectError,
    ConnectReason,
    NameConflict,
    described,
    text_of,
)
from cluster_kit.membership import reports
from cluster_kit.membership.reconciler import Command, Connect, Disconnect, GiveUp
from cluster_kit.node import Node
from cluster_kit.throttle import Throttle
from cluster_kit.worker.local_node import LocalNode
from cluster_kit.worker.membership_driver import MembershipDriver
from cluster_kit.worker.plugin_calls import CallResult, attempt
from cluster_kit.worker.plugin_values import check_plain
from cluster_kit.worker.reachability import warn_if_loopback
from cluster_kit.worker.report_receivers import LinkReceiver
from cluster_kit.worker.trust_warnings import DroppedSecrets, UntrustedPeers

log = logging.getLogger("cluster_kit.worker")

LASTING_S = 3600.0  # between two warnings about one node and one reason that tends to last

_QUIET = (ConnectReason.SELF, ConnectReason.IGNORED)  # nobody's fault


class ConnectorRunner:
    """Runs one connector, from ``start`` to ``stop``.

    Args:
        connector: What it runs.
        links: The connector reports to it.
        driver: Gets a report of how each command ended.
        here: This node.
        connect_timeout_s: How long a connect or disconnect may take.
    """

    def __init__(
        self,
        connector: Connector,
        links: LinkReceiver,
        driver: MembershipDriver,
        here: LocalNode,
        connect_timeout_s: float,
    ) -> None:
        self._connector = connector
        self._links = links
        self._driver = driver
        self._here = here
        self._clock = driver.clock
        self._connect_timeout_s = connect_timeout_s
        self._jitter = here.network.random("retry").random
        self._commands: dict[asyncio.Task[None], None] = {}  # in the order in which they began
        self._updates: set[asyncio.Task[None]] = set()
        self._giving_up: dict[str, asyncio.Future[None]] = {}  # of the connects under way
        self._throttle = Throttle()
        self._lasting = Throttle(LASTING_S)
        self._untrusted = UntrustedPeers()
        self._dropped = DroppedSecrets(links.secret_ids)

    # -- life --------------------------------------------------------------------------------------

    async def start(self) -> CallResult:
        """Let the connector accept links; the value is this node with its address."""
        result = await attempt(lambda: self._connector.start(self._here.node, self._links))
        return _checked_node(result, "start", "this node with its address")

    async def check_address(self) -> None:
        """Warn if other machines can't reach the address that this node advertises."""
        host, error = await attempt(lambda: self._connector.serves_on(self._here.node.host))
        if error is None and self._here.node.address is not None:
            await warn_if_loopback(self._here.network, self._here.node.address, host)

    def update(self) -> None:
        """Let the connector show its peers how this node has changed."""
        call = partial(self._connector.update, self._here.node, self._here.leaving)
        task = asyncio.create_task(self._try("update", call))
        self._updates.add(task)
        task.add_done_callback(self._updates.discard)

    def secrets_changed(self, before: tuple[bytes, ...]) -> None:
        """Note new secrets or certificates; ``before`` are the ids of the former secrets."""
        self._dropped.changed(before, self._here.security.secret_ids, self._clock.now_s())

    def log_distrust(self) -> None:
        """Log trouble with secrets that is due for a warning; called regularly."""
        now_s = self._clock.now_s()
        self._dropped.log_users(now_s)
        if others := self._untrusted.take_unnamed(now_s):
            text = "cannot authenticate with %d more nodes: see 'cluster-kit status'"
            log.warning(text, others)

    def cancel(self) -> None:
        """Cancel all commands under way."""
        for task in self._commands:
            task.cancel()

    async def stop(self) -> None:
        """Let the connector say goodbye and close its links."""
        await self._try("stop", self._connector.stop)

    async def _try(self, what: str, call: Callable[[], Awaitable[None]]) -> None:
        """Call the connector; log what it raises, as nothing depends on the call."""
        error = (await attempt(call)).error
        if error is not None:
            log.error("%s: the connector raised %s", what, described(error), exc_info=error)

    # -- commands of the reconciler ----------------------------------------------------------------

    def execute(self, command: Command) -> None:
        """Start ``command`` without waiting for it."""
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
        self._commands[task] = None
        task.add_done_callback(self._commands.pop)

    async def _connect(self, node: Node) -> None:
        loop = asyncio.get_running_loop()
        since_s = loop.time()
        give_up = self._giving_up[node.key] = loop.create_future()
        try:
            result = await attempt(
                lambda: self._connector.connect(node), self._connect_timeout_s, give_up
            )
        finally:
            del self._giving_up[node.key]
        peer, raised = _checked_node(result, "connect", "the peer's Node")
        if raised is None:
            self._driver.report(reports.Connected(node, peer))
        else:
            error = self._as_connect_error(node, raised, loop.time() - since_s)
            self._log_failure(node, error)
            self._driver.report(reports.ConnectFailed(node, error, self._jitter()))

    async def _disconnect(self, node: Node) -> None:
        _, error = await attempt(lambda: self._connector.disconnect(node), self._connect_timeout_s)
        if error is not None:
            self._log_raised("disconnect", node, error)
        self._driver.report(reports.Disconnected(node))

    def _as_connect_error(self, node: Node, exc: BaseException, seconds: float) -> ConnectError:
        if isinstance(exc, NameConflict):
            self._links.warn_of_conflict(self._here.node.key)
        if isinstance(exc, ConnectError):
            return exc
        if isinstance(exc, TimeoutError):
            why = f"no answer from {str(node)!r} within {seconds:.2g} s"
            message = f"connect: {why}: host down, frozen or filtered"
            return ConnectError(message, node=node.key, reason=ConnectReason.TIMEOUT)
        self._log_raised("connect", node, exc)
        message = f"connect: for {str(node)!r} the connector raised {described(exc)}"
        return ConnectError(message, node=node.key)

    def _log_raised(self, what: str, node: Node, exc: BaseException) -> None:
        """Log, once a minute, that the connector raised what it should not."""
        if self._throttle.passes(what, self._clock.now_s()):
            more = self._throttle.more(what)
            text = "%s: the connector raised for %s: %s%s"
            log.error(text, what, node, described(exc), more, exc_info=exc)

    def _log_failure(self, node: Node, error: ConnectError) -> None:
        """Warn about a failure that tends to last; log others for debugging only.

        Strangers can make up any number of nodes, so each reason is warned about once a minute, and
        each node once an hour. A secret that differs needs somebody to act: a few nodes are named
        each minute for as long as it does.
        """
        now_s = self._clock.now_s()
        if error.reason is ConnectReason.AUTH:
            warns = self._untrusted.may_name(node.key, now_s)
        else:
            warns = (
                not error.retryable
                and error.reason not in _QUIET
                and self._throttle.passes(error.reason, now_s)
                and self._lasting.passes(f"{node.key} {error.reason}", now_s)
            )
        log.log(logging.WARNING if warns else logging.DEBUG, "cannot link to %s: %s", node, error)

    # -- calls of the application ------------------------------------------------------------------

    async def call(self, name: str, arguments: dict[str, Any], timeout_s: float) -> Any:
        """Run the connector's ``@command`` method of that name, and return its result.

        Raises:
            CommandError: There is no such command, it raised, it took too long, or its result is
                not plain data.
        """
        names = [each for each in dir(type(self._connector)) if self._is_command(each)]
        if name not in names:
            known = ", ".join(names) or "none"
            text = f"call: connector has no command {name!r}: its commands are: {known}"
            raise CommandError(text)
        value, error = await attempt(lambda: getattr(self._connector, name)(**arguments), timeout_s)
        if isinstance(error, TimeoutError):
            raise CommandError(f"call: {name!r} took longer than {timeout_s:g} s: it was cancelled")
        if isinstance(error, ClusterKitError):
            raise CommandError(f"call: {name!r} failed: {text_of(error)}")
        if error is not None:
            raise CommandError(f"call: {name!r} raised {described(error)}")
        try:
            check_plain(value, f"result of {name!r}")
        except TypeError as exc:
            raise CommandError(f"call: {name!r} raised {described(exc)}") from exc
        return value

    def _is_command(self, name: str) -> bool:
        """Whether ``name`` is a command, found without running a property of the plugin."""
        method = getattr_static(type(self._connector), name, None)
        return getattr(method, "__cluster_kit_command__", False) is True


def _checked_node(result: CallResult, method: str, expected: str) -> CallResult:
    """Return ``result``, or an error if the connector should have returned a node and did not."""
    if result.error is None and not isinstance(result.value, Node):
        got = type(result.value).__name__
        return CallResult(None, TypeError(f"{method} returned a {got}: expected {expected}"))
    return result
