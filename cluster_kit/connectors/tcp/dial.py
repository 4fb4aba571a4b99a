"""Dials: tries the endpoints of an address in turn, until one leads to a link.

An address is ``host:port``. Its host name may resolve to several IP addresses, so it has several
endpoints, and each of them may be another node, or this one. ``Dialler`` serves each ``connect``,
``Route`` tries the endpoints of one address, and ``OwnEndpoints`` remembers which lead back to this
node.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from math import inf

from cluster_kit.connectors.tcp.actions import Action, AttemptFailed, Linked
from cluster_kit.connectors.tcp.faults import GIVE_PORT, DialFault, network_fault
from cluster_kit.connectors.tcp.table import LinkTable
from cluster_kit.errors import ConnectError, ConnectReason, NetworkError, NetworkFault
from cluster_kit.network import Endpoint, Network, Stream
from cluster_kit.node import Node, split_address
from cluster_kit.throttle import Throttle

log = logging.getLogger("cluster_kit.connectors.tcp")

STAGGER_S = 0.25  # from one address of a host name to the next, while the first has not answered
OURS_S = 60.0  # an address that is ours may become another machine's
MAX_ENDS = 64  # interfaces and their aliases; no peer can choose where we accept connections
_LASTING = (ConnectReason.CROSSED, ConnectReason.CONFLICT)  # another endpoint wouldn't help


class Dialler:
    """Carries out the dials of one node.

    Args:
        network: The network to dial on.
        table: Decides when to dial, and what a ``connect`` gets.
        apply: Carries out what the table decides.
        opened: Takes over a stream to a peer, with the number of its connection.
    """

    def __init__(
        self,
        network: Network,
        table: LinkTable,
        apply: Callable[[Iterable[Action]], None],
        opened: Callable[[int, Stream], None],
    ) -> None:
        self._network = network
        self._table = table
        self._apply = apply
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self._outcomes: dict[int, asyncio.Future[Linked | AttemptFailed]] = {}
        self._routes: dict[int, Route] = {}  # of those attempts that have an address
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._own_ends = OwnEndpoints(self._loop.time)
        self._throttle = Throttle()
        self._is_stopped = False

    async def connect(self, node: Node) -> Node:
        """Return the peer once a link to ``node`` is up; try all endpoints of its address."""
        if node.address is None and self._throttle.passes("no address", self._loop.time()):
            log.warning("%s: no address known; %s", node, GIVE_PORT)
        avoid = self._own_ends.include
        route = Route(self._network, node.address, avoid) if node.address else None
        errors: list[ConnectError] = []
        while not errors or (route and route.has_more and self._tries_on(errors[-1])):
            outcome = await self._attempt(node, route)
            if isinstance(outcome, Linked):
                return outcome.peer
            error = outcome.error
            if error.reason is ConnectReason.SELF and route and self._own_ends.include(route.at):
                error = DialFault.of(ConnectReason.SELF).error(node)  # we have proof: not retryable
            errors.append(error)
        # the next ``connect`` may succeed where one endpoint failed only for now
        raise max(errors, key=lambda error: error.retryable)

    def _tries_on(self, error: ConnectError) -> bool:
        """Whether to try the next endpoint after ``error``."""
        return error.reason not in _LASTING and not self._is_stopped

    async def _attempt(self, node: Node, route: Route | None) -> Linked | AttemptFailed:
        """Ask the table for a link once; if it dials, use the next endpoint of ``route``."""
        attempt = self._table.next_number()
        outcome: asyncio.Future[Linked | AttemptFailed] = self._loop.create_future()
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
                fault = DialFault.of(ConnectReason.SELF)
                self._apply(self._table.closed(conn, fault=fault))
                return
            stream = await route.dial()
        except NetworkError as exc:
            self._apply(self._table.closed(conn, fault=network_fault(exc)))
        else:
            self._opened(conn, stream)

    def give_up(self, conn: int) -> None:
        """Stop dialling for the attempt of this number; does nothing once its stream is open."""
        if conn in self._tasks:
            self._tasks[conn].cancel()

    def settle(self, outcome: Linked | AttemptFailed) -> None:
        """Give a waiting ``connect`` its outcome."""
        waiting = self._outcomes[outcome.attempt]
        if not waiting.done():  # else its caller has just been cancelled
            waiting.set_result(outcome)

    def reached_ourselves(self, end: Endpoint) -> None:
        """Note that a dial of ours arrived at ``end``, which is therefore our own."""
        self._own_ends.add(end)

    def stop(self) -> None:
        """Let the waiting calls try no other endpoint."""
        self._is_stopped = True

    async def ended(self) -> None:
        """Wait until the dials that were given up have ended."""
        if self._tasks:
            await asyncio.wait(self._tasks.values())


class Route:
    """The IP addresses that the host of one ``host:port`` resolves to, and which were tried.

    Args:
        network: The network to dial on.
        address: ``host:port``.
        avoid: Returns whether an endpoint is not worth a try.

    Attributes:
        at: The endpoint that was reached last.
    """

    def __init__(
        self, network: Network, address: str, avoid: Callable[[Endpoint], bool] = lambda _: False
    ) -> None:
        self.at: Endpoint | None = None
        self._network = network
        self._address = address
        self._avoid = avoid
        self._untried: list[Endpoint] | None = None  # None before the look-up

    @property
    def has_more(self) -> bool:
        """Whether there is an endpoint that has not been tried yet."""
        return bool(self._untried)

    @property
    def is_avoided(self) -> bool:
        """Whether there are no endpoints but those to avoid."""
        return self._untried == [] and self.at is None

    async def look_up(self) -> None:
        """Look up the endpoints, unless they are known already.

        Raises:
            NetworkError: The host can't be looked up.
        """
        if self._untried is None:
            host, port = split_address(self._address)
            endpoints = [Endpoint(address, port) for address in await self._network.resolve(host)]
            self._untried = [each for each in endpoints if not self._avoid(each)]

    async def dial(self) -> Stream:
        """Return a stream to the first endpoint that answers, of those not tried yet.

        A slow one doesn't hold up the next: that is dialled after ``STAGGER_S``. Those that were
        still being dialled in the end count as not tried. Source: RFC 8305, section 5.

        Raises:
            NetworkError: None of them can be reached.
        """
        await self.look_up()
        trying: dict[asyncio.Task[Stream], Endpoint] = {}
        stream: Stream | None = None
        try:
            stream = await self._first(trying)
        finally:
            assert self._untried is not None
            self._untried += trying.values()
            await _call_off(trying, stream)
        return stream

    async def _first(self, trying: dict[asyncio.Task[Stream], Endpoint]) -> Stream:
        """Return the first stream; ``trying`` holds the dials under way, also if this raises."""
        assert self._untried is not None
        error = NetworkError("no address", fault=NetworkFault.NO_SUCH_NAME)
        while self._untried or trying:
            if self._untried:
                endpoint = self._untried.pop(0)
                trying[asyncio.create_task(self._network.dial(endpoint))] = endpoint
            patience_s = STAGGER_S if self._untried else None
            first = asyncio.FIRST_COMPLETED
            done, _ = await asyncio.wait(trying, timeout=patience_s, return_when=first)
            for task in [task for task in trying if task in done]:  # in the order of their start
                endpoint = trying.pop(task)
                failure = task.exception()
                if failure is None:
                    self.at = endpoint
                    return task.result()
                if not isinstance(failure, NetworkError):
                    raise failure
                error = failure
        raise error


async def _call_off(dials: Collection[asyncio.Task[Stream]], won: Stream | None) -> None:
    """Cancel the other dials, and wait until they have ended.

    If this is cancelled meanwhile, ``won`` can't be returned any more, so it is closed.
    """
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


class OwnEndpoints:
    """Remembers for ``OURS_S`` seconds at which endpoints our own hello arrived. Pure.

    Nothing else makes an endpoint ours: what a peer says about an address proves nothing.

    Args:
        now_s: The clock.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._until_s: dict[Endpoint, float] = {}

    def add(self, end: Endpoint) -> None:
        """Note that a dial of ours arrived at ``end``."""
        if len(self._until_s) >= MAX_ENDS:
            now_s = self._now_s()
            self._until_s = {each: at_s for each, at_s in self._until_s.items() if at_s > now_s}
        if len(self._until_s) < MAX_ENDS:
            self._until_s[end] = self._now_s() + OURS_S

    def include(self, end: Endpoint | None) -> bool:
        """Whether ``end`` is ours."""
        return end is not None and self._until_s.get(end, -inf) > self._now_s()
