"""Links under certificate files: who is let in, and what both ends report when they are not."""

import asyncio
from itertools import pairwise

import pytest
from made_up_certificates import CLIENT, DAY, SERVER, Authority
from made_up_secrets import keyring
from tcp_refusals import refusal, told, until_told
from tcp_stage import FENCE, Local
from waiting import run

from cluster_kit.connectors.tcp import TcpConnector
from cluster_kit.diagnosis import Outcome
from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.network import Endpoint, StreamReader
from cluster_kit.node import BootId, Node, split_address
from cluster_kit.security.keys import Keyring
from cluster_kit.testing import FakeDiscovery, MemoryNetwork, run_virtually

HERE = "127.0.0.1"
ROOT, OTHER = Authority("root"), Authority("other")
GOOD = ROOT.certificates(HERE)


def ring(certificates, *secrets):
    """Return a keyring of certificates and, where there are any, of secrets."""
    made = keyring(*secrets) if secrets else Keyring()
    return Keyring(made.current, made.previous, certificates)


MEMBERS = {
    "certificates": [ring(GOOD)] * 2,
    "both": [ring(GOOD, 1)] * 2,
    "authority in the middle": [
        ring(Authority("middle", issuer=ROOT).certificates(HERE)),
        ring(GOOD),
    ],
    "rsa and ed25519": [ring(ROOT.certificates(HERE, kind=kind)) for kind in ("rsa", "ed25519")],
    "trust domain": [
        ring(ROOT.certificates(f"spiffe://example.org/{each}", trust_domain="example.org"))
        for each in "ab"
    ],
}


@pytest.mark.parametrize("how", MEMBERS)
def test_members_link(how):
    anns, bobs = MEMBERS[how]

    async def scenario():
        async with Local("ann", keyring=anns) as ann, Local("bob", keyring=bobs) as bob:
            assert await ann.connect(bob) == bob.node
            await bob.links.expect("up", ann.name)
            await ann.connector.stop()
            await bob.down(ann)

    run(scenario)


@pytest.mark.parametrize("secrets", [(), (1,)], ids=["certificates", "both"])
def test_members_with_a_machine_each_link(secrets):
    async def scenario():
        lan, nodes = MemoryNetwork(seed=0), []
        for number, name in ((1, "10.0.0.1"), (2, "10.0.0.2"), (3, "*.shop")):
            host = lan.host(f"10.0.0.{number}", names=[f"n{number}.shop"])
            address = f"n{number}.shop" if name == "*.shop" else name
            options = {"network": host, "address": address, "boot_id": BootId(number, 0)}
            nodes.append(
                Local(f"n{number}", keyring=ring(ROOT.certificates(name), *secrets), **options)
            )
        for node in nodes:
            await node.__aenter__()
        for one, other in ((0, 1), (1, 2), (2, 0)):
            await nodes[one].link(nodes[other])
        for node in nodes:
            await node.connector.stop()

    run_virtually(scenario())


NO_AUTHORITY = (
    "no authority in our ca file issued its certificate: give both nodes certificates of an "
    "authority"
)
OUR_NO_AUTHORITY = (
    "no authority in its ca file issued our certificate (alert unknown ca): give both nodes "
    "certificates"
)
STRANGERS = {  # what ann holds, what she is told, what bob says of her, who has GOOD
    "expired": (
        ring(ROOT.certificates(HERE, since=-2 * DAY, until=-DAY)),
        "our certificate has expired by its clock (alert certificate expired): renew it",
        "its certificate, or that of its authority, has expired: renew it",
    ),
    "not yet valid": (
        ring(ROOT.certificates(HERE, since=DAY, until=2 * DAY)),
        "it does not accept our certificate (alert bad certificate): see the log of that node",
        "its certificate, or that of its authority, is not valid yet: check the clocks",
    ),
    "wrong authority": (
        ring(OTHER.certificates(HERE, authorities=(ROOT,))),
        OUR_NO_AUTHORITY,
        NO_AUTHORITY,
    ),
    "self-signed": (
        ring(OTHER.certificates(HERE, own=True, authorities=(ROOT,))),
        OUR_NO_AUTHORITY,
        NO_AUTHORITY,
    ),
    "purpose": (
        ring(ROOT.certificates(HERE, purposes=SERVER)),
        (
            "our certificate is not meant for TLS between nodes (alert unsupported "
            "certificate): have it issued"
        ),
        (
            "its certificate is not meant for TLS between nodes: have it issued for "
            "serverAuth and clientAuth"
        ),
    ),
    "nothing": (
        None,
        (
            "it has a secret or certificates that this node lacks: give both nodes the same "
            "secret, or certificates"
        ),
        "it has no certificate, and this node has one: give both nodes certificates",
    ),
    "secret only": (keyring(1), "it does not hold our secret", OUR_NO_AUTHORITY),
    "both": (
        ring(GOOD, 1),
        "it has no secret, and this node has one",
        "it has a secret or certificates that this node lacks",
    ),
}


@pytest.mark.parametrize("how", STRANGERS)
def test_stranger_is_reported_at_both_ends(how, caplog):
    anns, why, whys = STRANGERS[how]

    async def scenario():
        async with Local("ann", keyring=anns) as ann, Local("bob", keyring=ring(GOOD)) as bob:
            error = await refusal(ann, bob)
            assert error.reason is ConnectReason.AUTH
            assert error.retryable
            assert f"{bob.name!r} at {bob.node.address!r}: {why}" in str(error)
            assert f"refused the node at 127.0.0.1: {whys}" in (await until_told(caplog))[0]
            for _ in range(3):
                await refusal(ann, bob)
            assert len(told(caplog)) == 1
            assert ann.links.reports == bob.links.reports == []

    run(scenario)


@pytest.mark.parametrize(
    ("bobs", "why", "whys"),
    [
        (
            ring(ROOT.certificates(HERE, purposes=CLIENT)),
            STRANGERS["purpose"][2],
            STRANGERS["purpose"][1],
        ),
        (ring(OTHER.certificates(HERE, authorities=(ROOT,))), NO_AUTHORITY, OUR_NO_AUTHORITY),
        (None, STRANGERS["nothing"][2], STRANGERS["nothing"][1]),
        (keyring(1), NO_AUTHORITY, "it does not accept our secret"),
        (
            ring(GOOD, 1),
            "it has a secret or certificates that this node lacks",
            "it has no secret, and this node has one",
        ),
    ],
    ids=["purpose", "wrong authority", "nothing", "secret only", "both"],
)
def test_stranger_that_is_dialled_is_reported_at_both_ends(bobs, why, whys, caplog):
    async def scenario():
        async with Local("ann", keyring=ring(GOOD)) as ann, Local("bob", keyring=bobs) as bob:
            error = await refusal(ann, bob)
            assert error.reason is ConnectReason.AUTH
            assert why in str(error)
            assert whys in (await until_told(caplog))[0]
            assert ann.links.reports == bob.links.reports == []

    run(scenario)


@pytest.mark.parametrize(
    ("anns", "why"),
    [
        (keyring(1), "it does not hold our secret"),
        (ring(GOOD), "it has a secret or certificates that this node lacks"),
        (ring(GOOD, 2), "it does not hold our secret"),
        (
            ring(OTHER.certificates(HERE, authorities=(ROOT,)), 1),
            "no authority in its ca file issued our certificate",
        ),
    ],
    ids=["only secret", "only certificates", "other secret", "other authority"],
)
def test_of_two_things_that_are_asked_for_one_is_not_enough(anns, why):
    async def scenario():
        async with Local("ann", keyring=anns) as ann, Local("bob", keyring=ring(GOOD, 1)) as bob:
            error = await refusal(ann, bob)
            assert error.reason is ConnectReason.AUTH
            assert why in str(error)
            assert (await refusal(bob, ann)).reason is ConnectReason.AUTH
            assert ann.links.reports == bob.links.reports == []

    run(scenario)


@pytest.mark.parametrize("secrets", [(), (1,)], ids=["certificates", "both"])
@pytest.mark.parametrize("lied_to", ["acceptor", "dialler"])
def test_certificate_of_another_host_is_refused_at_once(lied_to, secrets, caplog):
    async def scenario():
        wrong = Local("eve", keyring=ring(ROOT.certificates("10.0.0.9", "eve.example"), *secrets))
        async with wrong, Local("bob", keyring=ring(GOOD, *secrets)) as honest:
            if lied_to == "acceptor":
                await refusal(wrong, honest)
            else:
                error = await refusal(honest, wrong)
                assert error.reason is ConnectReason.NAME
                names = "'10.0.0.9', 'eve.example' only"
                cure = "if that is its host, have it issued for '127.0.0.1'"
                assert f"its certificate is for {names}; {cure}" in str(error)
            (line,) = await until_told(caplog)
            names = "'10.0.0.9', 'eve.example' only"
            assert f"it calls itself 'eve@127.0.0.1', and its certificate is for {names}" in line
            assert honest.links.of("up") == []

    run(scenario)


def test_member_of_another_trust_domain_is_refused(caplog):
    async def scenario():
        rings = [
            ring(ROOT.certificates(f"spiffe://{each}/web", trust_domain=each))
            for each in ("example.org", "example.com")
        ]
        async with Local("ann", keyring=rings[0]) as ann, Local("bob", keyring=rings[1]) as bob:
            error = await refusal(ann, bob)
            assert error.reason is ConnectReason.AUTH
            cause = (
                "names 'spiffe://example.com/web', not a member of the trust domain 'example.org'"
            )
            assert cause in str(error)
            cause = (
                "names 'spiffe://example.org/web', not a member of the trust domain 'example.com'"
            )
            assert cause in (await until_told(caplog))[0]

    run(scenario)


def test_relay_with_a_certificate_of_its_own_is_not_believed():
    async def scenario():
        relay = Local("mallory", keyring=ring(ROOT.certificates("mallory.example")))
        bobs = Local("bob", keyring=ring(GOOD))
        async with Local("ann", keyring=ring(GOOD)) as ann, bobs as bob:
            accepted = asyncio.Queue()
            listener = await ann.links.network.listen(Endpoint(HERE, 0))
            listener.start(accepted.put_nowait)

            async def stand_between():
                theirs = relay.links.security.protect(await accepted.get(), dialled=False)
                ours = await ann.links.network.dial(Endpoint(*split_address(bob.node.address)))
                ours = relay.links.security.protect(ours, dialled=True)
                theirs.start(_Relay(ours))
                ours.start(_Relay(theirs))

            standing = asyncio.create_task(stand_between())
            target = Node(name=bob.name, address=f"127.0.0.1:{listener.here.port}")
            with pytest.raises(ConnectError) as raised:
                await ann.connector.connect(target)
            await standing
            # whoever of the two notices first
            assert raised.value.reason in (ConnectReason.NAME, ConnectReason.RESET)
            assert ann.links.of("up") == bob.links.of("up") == []
            await listener.close()

    run(scenario)


class _Relay(StreamReader):
    """Hands on what it receives."""

    def __init__(self, to):
        self._to = to

    def received(self, data):
        self._to.send(bytes(data))

    def lost(self):
        self._to.close()


def test_links_stay_when_certificates_change_and_new_ones_use_the_new():
    async def scenario():
        both = (ROOT, OTHER)
        steps = [
            ring(GOOD),
            ring(ROOT.certificates(HERE, authorities=both)),
            ring(OTHER.certificates(HERE, authorities=both)),
            ring(OTHER.certificates(HERE)),
        ]
        async with Local("ann", keyring=steps[0]) as ann, Local("bob", keyring=steps[0]) as bob:
            await ann.link(bob)
            for number, (old, new) in enumerate(pairwise(steps)):
                ann.links.security.renew(new)
                async with Local(f"cat{number}", keyring=old) as cat:
                    await cat.link(ann)
                bob.links.security.renew(new)
            async with Local("dan", keyring=steps[-1]) as dan:
                await dan.link(ann)
                await bob.link(dan)
            assert ann.history(bob) == ["up"]

    run(scenario)


def test_node_is_tried_with_certificates():
    async def scenario():
        async with (
            Local("bob", keyring=ring(GOOD)) as bob,
            Local("eve", keyring=ring(ROOT.certificates("else"))) as eve,
        ):
            ann = Node(name="ann@127.0.0.1", boot_id=BootId(5, 5))

            async def tried(node, keyring):
                ctx = FakeDiscovery(ann, fence=FENCE, announce=False, keyring=keyring)
                return await TcpConnector().diagnose(node.node, ctx)

            assert (await tried(bob, ring(GOOD))).outcome is Outcome.OK
            found = await tried(bob, ring(OTHER.certificates(HERE)))
            assert (found.outcome, found.got) == (Outcome.FAILED, "auth")
            assert NO_AUTHORITY in found.cause
            found = await tried(eve, ring(GOOD))
            assert (found.outcome, found.got) == (Outcome.FAILED, "name")
            assert "its certificate is for 'else' only" in found.cause
            assert bob.links.reports == []

    run(scenario)
