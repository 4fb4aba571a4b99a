"""Protected streams in memory: what is kept where, and for how long."""

import pytest
from made_up_secrets import keyring, keys
from stream_pair import DEADLINE_S, plain_pair, play, read

from cluster_kit.errors import UntrustedError
from cluster_kit.security.links import MAX_EARLY_BYTES, LinkTrust
from cluster_kit.testing.networks.harness import StreamRecorder


def protected(ours, theirs, *, anns=(1,), bobs=(1,)):
    return (
        LinkTrust("ann@10.0.0.1", keyring(*anns)).protect(ours, dialled=True),
        LinkTrust("bob@10.0.0.2", keyring(*bobs)).protect(theirs, dialled=False),
    )


def test_each_end_knows_what_the_other_has_proved_before_it_hears_anything():
    async def scenario():
        class Curious(StreamRecorder):
            def received(self, data):
                self.known = (ann.certified.name, ann.certified_by)
                super().received(data)

        async with plain_pair() as ends:
            ann, bob = protected(*ends)
            assert ann.certified is bob.certified is None
            curious = Curious(DEADLINE_S)
            ann.start(curious)
            read(bob)
            bob.send(b"x")
            await curious.got(1)
            assert curious.known == ("bob@10.0.0.2", keys(1).id)
            assert (bob.certified.name, bob.distrust) == ("ann@10.0.0.1", None)

    play(scenario)


def test_waiting_data_is_dropped_once_the_stream_is_lost():
    async def scenario():
        async with plain_pair() as (ours, theirs):
            ann, _ = protected(ours, theirs)
            heard = read(ann)
            ann.send(b"waits for proof")
            assert ann.unsent_bytes == 15
            theirs.abort()
            await heard.ended()
            assert ann.unsent_bytes == 0
            ann.send(b"too late")
            assert ann.unsent_bytes == 0
            assert ann.distrust is None

    play(scenario)


@pytest.mark.parametrize("end", ["close", "abort"])
def test_end_before_start_is_reported_after_it(end):
    async def scenario():
        async with plain_pair() as ends:
            ann, bob = protected(*ends)
            getattr(ann, end)()
            getattr(bob, end)()
            for stream in (ann, bob):
                heard = read(stream)
                assert not heard.losses
                await heard.ended()

    play(scenario)


def test_untrusted_peer_receives_nothing_and_knows_why():
    async def scenario():
        async with plain_pair() as ends:
            ann, bob = protected(*ends, anns=(2, 1))
            heard, other = read(ann), read(bob)
            ann.send(b"let me in")
            bob.send(b"for members")
            await heard.ended()
            await other.ended()
            assert not heard.data
            assert not other.data
            assert isinstance(ann.distrust, UntrustedError)
            assert str(bob.distrust) == "it does not hold our secret"
            assert ann.unsent_bytes == bob.unsent_bytes == 0

    play(scenario)


def test_data_received_before_the_start_is_bounded():
    async def scenario():
        async with plain_pair() as ends:
            ann, bob = protected(*ends)
            heard = read(ann)
            bob.send(b"early")  # which begins the handshake
            await heard.got(5)
            ann.send(bytes(MAX_EARLY_BYTES))
            ann.send(b"too much")
            await heard.ended()
            other = read(bob)
            await other.ended()
            assert len(other.data) <= MAX_EARLY_BYTES

    play(scenario)


def test_new_keys_are_for_new_streams():
    async def scenario():
        trust = LinkTrust("bob@10.0.0.2", keyring(1))
        for ring, secret in ((keyring(1), 1), (keyring(2), 2)):
            trust.renew(ring)
            async with plain_pair() as (ours, theirs):
                ann, bob = (
                    LinkTrust("ann@10.0.0.1", ring).protect(ours, dialled=True),
                    trust.protect(theirs, dialled=False),
                )
                trust.renew(keyring(3))
                heard = read(ann)
                read(bob)
                bob.send(b"x")
                await heard.got(1)
                assert ann.certified_by == keys(secret).id

    play(scenario)
