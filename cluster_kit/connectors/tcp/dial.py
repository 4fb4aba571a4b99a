"""Dials: each ``connect`` over the ways to its address, until one leads to a link; and what was learnt on the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from math import inf

from cluster_kit.connectors.tcp.handshake import connect_error
from cluster_kit.connectors.tcp.links import Action, Failed, Linked
from cluster_kit.connectors.tcp.table import LinkTable
from cluster_kit.errors import ConnectError, ConnectReason, NetworkError, NetworkFault
from cluster_kit.network import Endpoint, Network, Stream
from cluster_kit.node import Node, split_address
from cluster_kit.throttle import Throttle

log = logging.getLogger("cluster_kit.connectors.tcp")

STAGGER_S = 0.25  # from one address of a host name to the next, while the first has not answered
OURS_S = 60.0  # an address may become another machine's
MAX_ENDS = 64  # interfaces and their aliases; what we accept connections at is nobody else's choice
_LASTING = (ConnectReason.CROSSED, ConnectReason.CONFLICT)  # whatever other address is tried

_REASON_OF = {
    NetworkFault.REFUSED: ConnectReason.REFUSED,
    NetworkFault.RESET: ConnectReason.RESET,
    NetworkFault.TIMEOUT: ConnectReason.TIMEOUT,
    NetworkFault.UNREACHABLE: ConnectReason.UNREACHABLE,
    NetworkFault.NO_SUCH_NAME: ConnectReason.UNREACHABLE,
    NetworkFault.NOT_OURS: ConnectReason.UNREACHABLE,
    NetworkFault.DOWN: ConnectReason.UNREACHABLE,
}


class Dialler:
    """Carries out the dials of one node.

    Args:
        network: What is dialled on.
        table: Decides when to dial, and what a ``connect`` gets.
        numbers: Of connections, and so of attempts.
        apply: Carries out what the table decides.
        opened: Takes a stream to a peer, with the number of its connection.
    """

    def __init__(
        self,
        network: Network,
        table: LinkTable,
        numbers: Iterator[int],
        apply: Callable[[Iterable[Action]], None],
        opened: Callable[[int, Stream], None],
    ) -> None:
        self._network = network
        self._table = table
        self._numbers = numbers
        self._apply = apply
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self._outcomes: dict[int, asyncio.Future[Linked | Failed]] = {}
        self._routes: dict[int, Route] = {}  # of those attempts that have an address
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._own_ends = OwnEnds(self._loop.time)
        self._throttle = Throttle()
        self._is_stopped = False

    async def connect(self, node: Node) -> Node:
        """Want a link to ``node``, and return the peer once it is up."""
        if node.address is None and self._throttle.passes("no address", self._loop.time()):
            log.warning("%s: no address known; tell its strategy on which port its nodes serve", node)
        route = Route(self._network, node.address, self._own_ends.include) if node.address else None
        errors: list[ConnectError] = []
        while not errors or (route and route.has_more and errors[-1].reason not in _LASTING and not self._is_stopped):
            outcome = await self._attempt(node, route)
            if isinstance(outcome, Linked):
                return outcome.peer
            is_ours = outcome.error.reason is ConnectReason.SELF and route and self._own_ends.include(route.at)
            errors.append(connect_error(node, ConnectReason.SELF) if is_ours else outcome.error)
        raise max(errors, key=lambda error: error.retryable)

    async def _attempt(self, node: Node, route: Route | None) -> Linked | Failed:
        """Try for a link once, if by dialling, on the next way of ``route`` that can be reached."""
        attempt = next(self._numbers)
        outcome: asyncio.Future[Linked | Failed] = self._loop.create_future()
        self._outcomes[attempt] = outcome
        if route:
            self._routes[attempt] = route
        self._apply(self._table.connect(attempt, node))
        try:
            return await outcome
        finally:
            del self._outcomes[attempt]
            self._routes.pop(attempt, None)
            self._apply(self._table.abandon(attempt))

    def dial(self, conn: int) -> None:
        """Begin to dial for the attempt of this number."""
        task = self._tasks[conn] = self._loop.create_task(self._dial(conn, self._routes[conn]))
        task.add_done_callback(lambda _: self._tasks.pop(conn))

    async def _dial(self, conn: int, route: Route) -> None:
        try:
            await route.look_up()
            if route.is_avoided:
                self._apply(self._table.closed(conn, cause=ConnectReason.SELF))
                return
            stream = await route.dial()
        except NetworkError as exc:
            cause, detail = reason_of(exc)
            self._apply(self._table.closed(conn, cause=cause, detail=detail))
        else:
            self._opened(conn, stream)

    def give_up(self, conn: int) -> None:
        """Dial no longer for the attempt of this number; does nothing once its stream is open."""
        if conn in self._tasks:
            self._tasks[conn].cancel()

    def settle(self, outcome: Linked | Failed) -> None:
        """Let a ``connect`` have its outcome."""
        waiting = self._outcomes.get(outcome.attempt)
        if waiting is not None and not waiting.done():
            waiting.set_result(outcome)

    def reached_ourselves(self, end: Endpoint) -> None:
        """Note that a dial of ours arrived at ``end``, which is an end of our own."""
        self._own_ends.add(end)

    def stop(self) -> None:
        """Try no other address for those who wait."""
        self._is_stopped = True

    async def ended(self) -> None:
        """Wait until nothing is left of dials that were given up."""
        if self._tasks:
            await asyncio.wait(self._tasks.values())


class Route:
    """The ways to one address: what its host name resolves to, each of which may lead to another node.

    Args:
        network: What is dialled on.
        address: ``host:port``.
        avoid: Tells which ends of connections are not worth a try.

    Attributes:
        at: The address and port that were reached last.
    """

    def __init__(self, network: Network, address: str, avoid: Callable[[Endpoint], bool] = lambda _: False) -> None:
        self.at: Endpoint | None = None
        self._network = network
        self._address = address
        self._avoid = avoid
        self._left: list[Endpoint] | None = None  # None before the look-up
        self._avoided = False

    @property
    def has_more(self) -> bool:
        """Whether there is a way that has not been tried yet."""
        return bool(self._left)

    @property
    def is_avoided(self) -> bool:
        """Whether there are no ways but those to avoid."""
        return self._avoided and self._left == [] and self.at is None

    async def look_up(self) -> None:
        """Find out which ways there are, unless that is known already.

        Raises:
            NetworkError: The host can't be looked up.
        """
        if self._left is None:
            host, port = split_address(self._address)
            ways = [Endpoint(address, port) for address in await self._network.resolve(host)]
            self._left = [way for way in ways if not self._avoid(way)]
            self._avoided = len(self._left) < len(ways)

    async def dial(self) -> Stream:
        """Return a stream to the first that answers of those not tried yet; a slow one doesn't hold up the next.

        Source: RFC 8305, section 5, which waits as long between two attempts.

        Raises:
            NetworkError: None of them can be reached.
        """
        await self.look_up()
        trying: dict[asyncio.Task[Stream], Endpoint] = {}
        stream: Stream | None = None
        try:
            stream = await self._first(trying)
        finally:
            assert self._left is not None
            self._left += trying.values()
            await _call_off(trying, stream)
        return stream

    async def _first(self, trying: dict[asyncio.Task[Stream], Endpoint]) -> Stream:
        """Return the first stream; ``trying`` has the dials that are under way."""
        assert self._left is not None
        error = NetworkError("no address", fault=NetworkFault.NO_SUCH_NAME)
        while self._left or trying:
            if self._left:
                way = self._left.pop(0)
                trying[asyncio.create_task(self._network.dial(way))] = way
            patience_s = STAGGER_S if self._left else None
            done, _ = await asyncio.wait(trying, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in trying if task in done]:  # in the order in which they began
                way = trying.pop(task)
                failure = task.exception()
                if failure is None:
                    self.at = way
                    return task.result()
                if not isinstance(failure, NetworkError):
                    raise failure
                error = failure
        raise error


async def _call_off(dials: Collection[asyncio.Task[Stream]], won: Stream | None) -> None:
    """Cancel what was tried besides, and wait until it is gone; who is cancelled meanwhile can't return ``won`` any more."""
    for dial in dials:
        dial.add_done_callback(_abort)
        dial.cancel()
    try:
        if dials:
            await asyncio.wait(dials)
    except asyncio.CancelledError:
        if won is not None:
            won.abort()
        raise


def _abort(dial: asyncio.Task[Stream]) -> None:
    if not dial.cancelled() and dial.exception() is None:
        dial.result().abort()


def reason_of(error: NetworkError) -> tuple[ConnectReason, str]:
    """Return why dialling failed, and a detail where that says more."""
    detail = f"its host name does not resolve ({error})" if error.fault is NetworkFault.NO_SUCH_NAME else str(error)
    return _REASON_OF.get(error.fault, ConnectReason.FAILED), detail


class OwnEnds:
    """Remembers for ``OURS_S`` seconds where our own hello came in; nobody else's word makes an address ours. Pure.

    Args:
        now_s: The clock.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._until_s: dict[Endpoint, float] = {}

    def add(self, end: Endpoint) -> None:
        """Note that a dial of ours arrived at ``end``."""
        if len(self._until_s) >= MAX_ENDS:
            self._until_s = {each: until_s for each, until_s in self._until_s.items() if until_s > self._now_s()}
        if len(self._until_s) < MAX_ENDS:
            self._until_s[end] = self._now_s() + OURS_S

    def include(self, end: Endpoint | None) -> bool:
        """Whether ``end`` is ours."""
        return end is not None and self._until_s.get(end, -inf) > self._now_s()
