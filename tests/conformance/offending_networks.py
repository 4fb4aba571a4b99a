"""Networks that each break one sentence of the contract; the suite must fail at ``breaks`` only.

Collected by ``test_offending_networks`` only, in processes of its own. All are in memory, in
virtual time.
"""

import asyncio
import contextlib
from random import Random

from sound_network import (
    Sound,
    breaks_in,
)

from cluster_kit import (
    Endpoint,
    NetworkError,
    NetworkFault,
)

breaks = breaks_in(globals())


@breaks()
class Nothing(Sound):
    """Sound."""


# Places


@breaks("test_listening_on_a_port_in_use_fails")
class TakesAPortTwice(Sound):
    async def listen(self, at):
        try:
            return await super().listen(at)
        except NetworkError as error:
            if error.fault is not NetworkFault.IN_USE:
                raise
            return await super().listen(Endpoint(at.host, 0))


@breaks("test_listening_at_a_foreign_address_fails")
class RaisesOSErrorsOfTheSystem(Sound):
    async def listen(self, at):
        try:
            return await super().listen(at)
        except NetworkError as error:
            if error.fault is NetworkFault.NOT_OURS:
                raise OSError(99, "Cannot assign requested address") from error
            raise


class TakesAnyPort(Sound):
    @contextlib.contextmanager
    def as_sockets(self, port):
        if not 0 <= port <= 65535:
            raise OverflowError("port must be 0-65535.")
        yield


@breaks("test_a_port_out_of_range_fails")
class DialsAnyPort(TakesAnyPort):
    async def dial(self, to):
        with self.as_sockets(to.port):
            return await super().dial(to)


@breaks("test_a_port_out_of_range_fails")
class ListensAtAnyPort(TakesAnyPort):
    async def listen(self, at):
        return await super().listen(at._replace(port=at.port % 65536) if at.port == 65536 else at)


@breaks("test_joining_at_a_port_out_of_range_fails")
class JoinsAtAnyPort(TakesAnyPort):
    async def join(self, group, *, max_bytes):
        with self.as_sockets(group.port):
            return await super().join(group, max_bytes=max_bytes)


@breaks("test_dialling_a_closed_port_is_refused", "test_a_closed_listener_accepts_nothing_more")
class SwallowsRefused(Sound):
    async def dial(self, to):
        try:
            return await super().dial(to)
        except NetworkError as error:
            if error.fault is not NetworkFault.REFUSED:
                raise
            return await asyncio.get_running_loop().create_future()


@breaks("test_a_cancelled_dial_leaves_nothing")
class DialsOnWhenCancelled(Sound):
    async def dial(self, to):
        return await asyncio.shield(asyncio.ensure_future(super().dial(to)))


# Names, addresses, time, randomness


@breaks("test_an_address_resolves_to_itself")
class KnowsNoVersions(Sound):
    async def resolve(self, host, *, version=None):
        return await super().resolve(host)


@breaks("test_a_name_has_each_address_once")
class ListsAnAddressTwice(Sound):
    async def resolve(self, host, *, version=None):
        found = await super().resolve(host, version=version)
        return [*found, *found] if "example" in host else found


@breaks("test_an_unknown_name_fails")
class KnowsNothingOfAnUnknownName(Sound):
    async def resolve(self, host, *, version=None):
        return [] if "invalid" in host else await super().resolve(host, version=version)


@breaks("test_own_addresses_are_known")
class HasEveryAddress(Sound):
    def has_address(self, address):
        return True


@breaks("test_the_clock_is_that_of_the_event_loop")
class HasAClockOfItsOwn(Sound):
    def __init__(self, network):
        super().__init__(network)
        self.clock = self

    def monotonic_s(self):
        return self.inner.clock.monotonic_s() + 1

    def wall_s(self):
        return self.inner.clock.wall_s()


@breaks("test_each_concern_has_separate_randomness")
class DrawsTheSameForAll(Sound):
    def random(self, concern):
        return Random(7)


@breaks("test_some_streams_fit")
class HoldsNoStreams(Sound):
    def __init__(self, network):
        super().__init__(network)
        self.most_streams = 0
