"""Once faults stop, every node vouches for those that are there, and for nobody else."""

from random import Random

import pytest
from gossip_lan import DELAY_S, FENCE, INTERVAL_S, KEYRING, TTL_S, Lan, encoded
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.abc import Gone, Seen
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Node
from cluster_kit.strategies.gossip.engine import LATE_S, SPREAD
from cluster_kit.strategies.gossip.peers import BELATED_S, HeardPeers, Novelty, Statement
from cluster_kit.wire.gossip import Kind

NAMES = tuple(f"{basename}@10.0.0.1" for basename in ("ann", "bob", "cat", "dan"))
ANN = Node(name=NAMES[0], boot_id=BootId(1, 1))

happenings = st.lists(
    st.one_of(
        # with clocks set forth and back
        st.tuples(st.just("start"), st.sampled_from(NAMES), st.integers(0, 20)),
        st.tuples(st.sampled_from(["leave", "kill", "cut"]), st.sampled_from(NAMES)),
        st.tuples(st.just("heal")),
        st.tuples(st.just("wait"), st.sampled_from([0.01, 0.5, INTERVAL_S, 2 * INTERVAL_S, TTL_S])),
    ),
    max_size=12,
)


def troubled(random):
    """Lose, repeat and delay datagrams."""
    return [
        DELAY_S + random.random() * random.choice([0, 0, 2])
        for _ in range(random.choice([0, 0, 1, 1, 1, 2]))
    ]


def untroubled(random):
    return [DELAY_S]


def happen(lan, what, *details):
    here = {peer.name: peer for peer in lan.peers}
    match what, *details:
        case "start", name, started_ms:
            if name in here:
                lan.kill(here[name])
            lan.start(name, boot=BootId(started_ms, lan.random.getrandbits(64)))
        case "leave" | "kill" | "cut", name:
            if name in here:
                getattr(lan, what)(here[name])
        case "heal", *_:
            lan.heal()
        case "wait", seconds:
            lan.run(seconds)


@pytest.mark.parametrize("keyring", [None, KEYRING], ids=["plain", "sealed"])
@settings(max_examples=100, deadline=None)
@given(script=happenings, seed=st.integers(0, 2**32))
def test_after_the_last_fault_all_views_are_true(keyring, script, seed):
    lan = Lan(seed, troubled, keyring)
    for event in script:
        happen(lan, *event)
    lan.fate = untroubled
    lan.heal()
    lan.run(TTL_S + 3 * INTERVAL_S)
    present = {peer.name: peer.node for peer in lan.peers}
    for peer in lan.peers:
        others = {name: node for name, node in present.items() if name != peer.name}
        vouched = peer.vouches_for(lan.now_s)
        vouched.pop(peer.name, None)  # an earlier run of its own
        assert vouched == others


packets = st.lists(st.tuples(st.booleans(), st.floats(0, BELATED_S, exclude_max=True)), max_size=20)


@given(packets, st.floats(0, 100))
def test_of_packets_in_any_order_the_first_goodbye_is_the_last_word(arriving, silent_s):
    """Each is a goodbye or not, and arrives so long after the first."""
    peers, left = HeardPeers(silent_s=silent_s, ttl_s=TTL_S), False
    for is_goodbye, at_s in sorted(arriving, key=lambda packet: packet[1]):
        if is_goodbye:
            assert peers.record_goodbye(ANN.name, ANN.boot_id, at_s) is not left
            left = True
        else:
            assert (peers.hear(Statement(ANN, FENCE, leaving=False), at_s) is Novelty.LATE) is left
        assert not (left and peers.current(ANN.name))


@pytest.mark.parametrize("keyring", [None, KEYRING], ids=["plain", "sealed"])
@settings(max_examples=100, deadline=None)
@given(script=happenings, seed=st.integers(0, 2**32))
def test_no_run_is_seen_after_its_goodbye(keyring, script, seed):
    lan = Lan(seed, troubled, keyring)
    for event in script:
        happen(lan, *event)
    for peer in lan.peers:
        gone = set()
        for observation in peer.observations:
            if isinstance(observation, Gone) and observation.reason is Reason.LEFT:
                gone.add(observation.boot_id)
            if isinstance(observation, Seen):
                assert observation.node.boot_id not in gone


@pytest.mark.parametrize(("boot", "kind"), [(1, Kind.HEARTBEAT), (3, Kind.GOODBYE)], ids=str)
@pytest.mark.parametrize("late_s", [0, 0.9 * LATE_S])
def test_live_run_is_vouched_for_whatever_is_heard_of_others(boot, kind, late_s):
    """Ticks may be late, and packets of another run come at any time."""
    live, other = ANN.evolve(boot_id=BootId(2, 0)), ANN.evolve(boot_id=BootId(boot, 0))
    for seed in range(10):
        random = Random(seed)
        lan = Lan(seed)
        peer = lan.start("bob", ttl_s=3 * INTERVAL_S)
        lan.deliver(peer, encoded(live))
        next_s = dict.fromkeys(["live", "other", "tick"], lan.now_s)
        while lan.now_s < 1500:
            what = min(next_s, key=next_s.__getitem__)
            lan.now_s = next_s[what]
            assert live.name in peer.vouches_for(lan.now_s)
            match what:
                case "live":
                    lan.deliver(peer, encoded(live))
                    next_s[what] += INTERVAL_S * random.uniform(1 - SPREAD, 1 + SPREAD)
                case "other":
                    lan.deliver(peer, encoded(other, kind))
                    next_s[what] += random.expovariate(1 / (2 * INTERVAL_S))
                case "tick":
                    for action in peer.engine.tick(lan.now_s):
                        if isinstance(action, Seen):
                            peer.observe(action, lan.now_s)
                    next_s[what] = peer.engine.next_s + random.random() * late_s
