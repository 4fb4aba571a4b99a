"""What a protected stream takes is given back when it is lost, not some time later."""

import asyncio
import gc
import ssl

import pytest
from made_up_secrets import keyring

from cluster_kit.network import Endpoint
from cluster_kit.network.system import SystemNetwork
from cluster_kit.security.links import LinkTrust
from cluster_kit.testing.networks.stage import Reader

DEADLINE_S = 30.0


@pytest.fixture
def no_collection():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive():
    """Return how many ends of TLS there are in this process."""
    return sum(isinstance(each, ssl.SSLObject) for each in gc.get_objects())


@pytest.mark.parametrize("secrets", [(1,), (2,)], ids=["members", "strangers"])
def test_lost_streams_are_freed_without_a_collection_of_garbage(no_collection, secrets):
    async def scenario():
        ann, bob = LinkTrust("ann@127.0.0.1", keyring(1)), LinkTrust("bob@127.0.0.1", keyring(*secrets))
        network, accepted = SystemNetwork(), asyncio.Queue()
        listener = await network.listen(Endpoint("127.0.0.1", 0))
        listener.start(accepted.put_nowait)
        for _ in range(3):
            ours = ann.protect(await network.dial(listener.here), dialled=True)
            theirs = bob.protect(await accepted.get(), dialled=False)
            heard, other = Reader(DEADLINE_S), Reader(DEADLINE_S)
            ours.start(heard)
            theirs.start(other)
            ours.send(b"x")
            if secrets == (1,):
                await other.got(1)
            assert alive() > before
            ours.close()
            await heard.ended()
            await other.ended()
        await listener.close()

    before = alive()
    asyncio.run(scenario())
    assert alive() == before
