"""What a protected stream takes is given back when it is lost, not some time later."""

import asyncio
import gc
import re
import ssl
from pathlib import Path

import pytest
from made_up_certificates import Authority
from made_up_secrets import keyring

from cluster_kit.network import Endpoint
from cluster_kit.network.system import SystemNetwork
from cluster_kit.security.keys import Keyring
from cluster_kit.security.links import LinkTrust
from cluster_kit.testing import MemoryNetwork, run_virtually
from cluster_kit.testing.networks.harness import StreamRecorder

DEADLINE_S = 30.0
ROOT = Authority("root")


@pytest.fixture
def no_collection():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive():
    """Return how many ends of TLS there are in this process."""
    return sum(isinstance(each, ssl.SSLObject) for each in gc.get_objects())


def both(ring, authority=ROOT):
    return Keyring(
        ring.current, ring.previous, authority.certificates("127.0.0.1", authorities=(ROOT,))
    )


@pytest.mark.parametrize(
    ("anns", "bobs", "trusted"),
    [
        (keyring(1), keyring(1), True),
        (keyring(1), keyring(2), False),
        (both(keyring(1)), both(keyring(1)), True),
        (both(keyring(1)), both(keyring(2)), False),
        (both(keyring(1)), both(keyring(1), Authority("strange")), False),
    ],
    ids=[
        "members",
        "strangers",
        "members with both",
        "strangers by the secret",
        "strangers by the certificate",
    ],
)
def test_lost_streams_are_freed_without_a_collection_of_garbage(no_collection, anns, bobs, trusted):
    async def scenario():
        ann, bob = LinkTrust("ann@127.0.0.1", anns), LinkTrust("bob@127.0.0.1", bobs)
        network, accepted = SystemNetwork(), asyncio.Queue()
        listener = await network.listen(Endpoint("127.0.0.1", 0))
        listener.start(accepted.put_nowait)
        for _ in range(3):
            ours = ann.protect(await network.dial(listener.here), dialled=True)
            theirs = bob.protect(await accepted.get(), dialled=False)
            heard, other = StreamRecorder(DEADLINE_S), StreamRecorder(DEADLINE_S)
            ours.start(heard)
            theirs.start(other)
            ours.send(b"x")
            if trusted:
                await other.got(1)
            assert alive() > before
            ours.close()
            await heard.ended()
            await other.ended()
        await listener.close()

    before = alive()
    asyncio.run(scenario())
    assert alive() == before


LINKS = 200
MOST_KIB = 8 * 1024  # of one end of all of them, under one TLS


def resident_kib():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
@pytest.mark.parametrize(
    ("ring", "most_kib"),
    [
        (keyring(1), MOST_KIB),
        (Keyring(certificates=ROOT.certificates("127.0.0.1")), MOST_KIB),
        (both(keyring(1)), 2 * MOST_KIB),
    ],
    ids=["secret", "certificates", "both"],
)
def test_links_take_little_memory(ring, most_kib):
    async def scenario():
        network, accepted = MemoryNetwork(seed=0).host("10.0.0.1"), asyncio.Queue()
        ann, bob = LinkTrust("ann@10.0.0.1", ring), LinkTrust("bob@10.0.0.1", ring)
        listener = await network.listen(Endpoint("10.0.0.1", 0))
        listener.start(accepted.put_nowait)
        ends = []

        async def link():
            ours = ann.protect(await network.dial(listener.here), dialled=True)
            theirs = bob.protect(await accepted.get(), dialled=False)
            ends.extend((ours, theirs))
            heard, other = StreamRecorder(DEADLINE_S), StreamRecorder(DEADLINE_S)
            ours.start(heard)
            theirs.start(other)
            ours.send(b"x")
            theirs.send(b"x")
            await heard.got(1)
            await other.got(1)

        await link()
        before_kib = resident_kib()
        for _ in range(LINKS):
            await link()
        taken_kib = resident_kib() - before_kib
        for end in ends:
            end.abort()
        await listener.close()
        assert taken_kib / 2 < most_kib

    run_virtually(scenario())
