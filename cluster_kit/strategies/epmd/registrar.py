"""Keeps this node registered at the EPMD of its own host, however often EPMD restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from cluster_kit.errors import DiscoveryError
from cluster_kit.node import Fence, Node, split_address
from cluster_kit.retry import Backoff
from cluster_kit.strategies.epmd.client import Epmd
from cluster_kit.strategies.epmd.entries import describe, encode_marker, marker_of
from cluster_kit.wire.epmd import NodeType, Registration

BACKOFF = Backoff(first_s=0.1, cap_s=5.0)
CALM_S = BACKOFF.cap_s  # a registration that lasted this long ends the row of failures


def registration_of(local: Node, fence: Fence) -> Registration:
    """Return the registration of this node, which has a name and an address.

    It is hidden and speaks no version of Erlang's distribution protocol, so that no BEAM node
    mistakes it for one of its own.
    """
    assert local.name is not None
    assert local.address is not None
    return Registration(
        name=local.name.partition("@")[0],
        port=split_address(local.address)[1],
        node_type=NodeType.HIDDEN,
        highest_version=0,
        lowest_version=0,
        extra=encode_marker(marker_of(local, fence)),
    )


class Registrar:
    """Registers ``registration``, and again whenever it is lost.

    Args:
        epmd: The EPMD of this host.
        registration: The registration of this node.
        random: The source of jitter.
        report: Called with ``None`` whenever the node is registered, with the error when it isn't.
    """

    def __init__(
        self,
        epmd: Epmd,
        registration: Registration,
        random: Random,
        report: Callable[[DiscoveryError | None], None],
    ) -> None:
        self._epmd = epmd
        self._registration = registration
        self._random = random
        self._report = report

    async def run(self) -> None:
        """Stay registered until cancelled, which ends the registration."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started_s = loop.time()
            try:
                await self._hold()
            except DiscoveryError as error:
                self._report(error)
            failures = 0 if loop.time() - started_s >= CALM_S else failures + 1
            await asyncio.sleep(self._random.random() * BACKOFF.bound_s(failures))

    async def _hold(self) -> None:
        """Register, and return when the registration has been lost."""
        async with self._epmd.answering():
            registered, reader, writer = await self._epmd.register(self._registration)
        try:
            if registered.result != 0:
                raise DiscoveryError(await self._taken())
            self._report(None)
            await self._end_of(reader)
            what = f"{self._epmd} has ended our registration as {self._registration.name!r}"
            raise DiscoveryError(f"{what}: registering again")
        finally:
            writer.transport.abort()

    async def _end_of(self, reader: asyncio.StreamReader) -> None:
        """Wait until EPMD closes the connection, on which it sends nothing."""
        try:
            await reader.read(1)
        except OSError:
            return

    async def _taken(self) -> str:
        name = self._registration.name
        async with self._epmd.answering():
            holder = await self._epmd.find(name)
        who = describe(holder) if holder else "a live process"
        return (
            f"{self._epmd} refuses our name {name!r}: {who} on this host has it, and EPMD ignores "
            "what follows the '@'; give each process on a host a unique name, or stop that one; if "
            "several topologies of one node use EPMD, set register: false in all but one"
        )
