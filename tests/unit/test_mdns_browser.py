"""Which questions are asked when, and what answers mean, with a clock that is turned by hand."""

from itertools import pairwise
from math import inf
from random import Random

import pytest

from cluster_kit.abc import Gone, Leaving, Seen
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.strategies.mdns.browser import (
    COMPLETE_AT_S,
    COMPLETE_S,
    GOODBYE_KEPT_S,
    MAX_ASKED,
    MAX_BROWSE_S,
    MAX_INSTANCES,
    NETWORK_BROWSE_S,
    Browser,
    GoodbyeRecord,
    IgnoredInstance,
    PointerRecord,
    ServiceRecord,
    TextRecord,
)
from cluster_kit.strategies.mdns.options import MAX_TTL_S, MIN_TTL_S
from cluster_kit.strategies.mdns.records import Announcement, encode

FENCE = Fence("shop", "lan")
OWN = BootId(1, 1)
TTL_S = 30


class Network:
    """What a browser hears and asks, and when."""

    def __init__(self, *, loopback=False):
        self.addresses = {}
        self.now_s = 1000.0
        self.browser = Browser(
            OWN, FENCE, addresses_of=lambda host: self.addresses.get(host, ()), random=Random(7)
        )
        self.browser.loopback = loopback

    def hear(self, *records):
        for record in records:
            self.browser.hear(record, self.now_s)
        return list(self.browser.take(self.now_s))

    def announce(self, node, *, address="10.0.0.2", port=4000, ttl_s=TTL_S, fence=FENCE, **told):
        """Have all records of a node arrive."""
        self.addresses[host(node)] = [address]
        return self.hear(
            PointerRecord(instance(node)),
            service(node, port=port, ttl_s=ttl_s),
            text(node, fence=fence, **told),
        )

    def run(self, seconds):
        """Let time pass; return the questions that were asked, each with its time from now."""
        started_s, end_s, asked = self.now_s, self.now_s + seconds, []
        while self.browser.next_s <= end_s:
            self.now_s = max(self.now_s, self.browser.next_s)
            if questions := self.browser.tick(self.now_s):
                asked.append((self.now_s - started_s, questions))
        self.now_s = end_s
        return asked


def node(name="bob@10.0.0.2", nonce=2, **fields):
    return Node(name=name, boot_id=BootId(2, nonce), **fields)


BOB = node()


def instance(node):
    return f"{node.name.replace('.', '-')}-{node.boot_id.nonce:x}._clusterkit._tcp.local."


def host(node):
    return f"host-{node.boot_id.nonce:x}.local."


def service(node, port=4000, ttl_s=TTL_S):
    return ServiceRecord(instance(node), host(node), port, ttl_s)


def text(node, fence=FENCE, **told):
    return TextRecord(instance(node), encode(Announcement(node=node, fence=fence, **told)))


def goodbye(node):
    return GoodbyeRecord(instance(node))


def kinds(observations):
    return [type(observation).__name__ for observation in observations]


# Hearing


def test_node_is_seen_once_everything_is_heard():
    network = Network()
    network.addresses[host(BOB)] = ["10.0.0.2"]
    assert network.hear(PointerRecord(instance(BOB))) == []
    assert network.hear(text(BOB)) == []
    assert network.hear(service(BOB)) == [Seen(BOB.evolve(address="10.0.0.2:4000"), TTL_S)]


def test_node_is_seen_once_its_address_is_heard():
    network = Network()
    assert network.hear(service(BOB), text(BOB)) == []
    network.addresses[host(BOB)] = ["10.0.0.2"]
    network.browser.hear_addresses({host(BOB)})
    assert kinds(network.hear()) == ["Seen"]


def test_node_is_seen_anew_with_each_answer():
    network = Network()
    network.announce(BOB)
    network.now_s += 20
    assert network.hear(service(BOB)) == [Seen(BOB.evolve(address="10.0.0.2:4000"), TTL_S)]


def test_repeated_text_is_no_sign_of_life():
    network = Network()
    network.announce(BOB)
    assert network.hear(text(BOB)) == []


def test_changed_text_is_seen_at_once_and_prolongs_nothing():
    network = Network()
    network.announce(BOB)
    network.now_s += 10
    changed = BOB.evolve(metadata={"zone": "b"})
    assert network.hear(text(changed, revision=1)) == [
        Seen(changed.evolve(address="10.0.0.2:4000"), TTL_S - 10)
    ]


def test_belated_text_is_ignored_and_the_node_lives_on():
    network = Network()
    new, old = (BOB.evolve(metadata={"zone": zone}) for zone in "ba")
    network.announce(new, revision=2)
    assert network.hear(text(old, revision=1)) == []
    assert network.hear(service(BOB))[0].node.metadata == {"zone": "b"}


def test_leaving_is_reported_of_a_node_that_is_seen():
    assert kinds(Network().announce(BOB, leaving=True)) == ["Seen", "Leaving"]
    assert Network().announce(BOB, leaving=True)[1] == Leaving(BOB.name)


def test_node_without_a_port_has_no_address():
    assert Network().announce(BOB, port=0)[0].node.address is None


def test_names_are_compared_without_case():
    network = Network()
    network.announce(BOB)
    assert kinds(network.hear(ServiceRecord(instance(BOB).upper(), host(BOB), 4000, TTL_S))) == [
        "Seen"
    ]
    assert kinds(network.hear(GoodbyeRecord(instance(BOB).upper()))) == ["Gone"]


@pytest.mark.parametrize(("heard", "counted"), [(1, MIN_TTL_S), (60, 60), (2**32 - 1, MAX_TTL_S)])
def test_time_to_live_is_bounded(heard, counted):
    assert Network().announce(BOB, ttl_s=heard)[0].ttl_s == counted


# Who is of no use


def test_own_announcement_is_noted_and_not_reported():
    network = Network()
    assert network.announce(Node(name="ann@10.0.0.1", boot_id=OWN)) == []
    assert network.browser.heard_itself


@pytest.mark.parametrize("fence", [Fence("other", "lan"), Fence("shop", "other")])
def test_foreign_node_is_ignored_with_a_cure(fence):
    (ignored,) = Network().announce(BOB, fence=fence)
    assert isinstance(ignored, IgnoredInstance)
    assert repr(fence.cluster) in ignored.why
    assert repr(fence.group) in ignored.why
    assert "same cluster" in ignored.cure


def test_foreign_node_is_not_asked_again():
    network = Network()
    network.announce(BOB, fence=Fence("other", "lan"))
    assert network.run(10 * TTL_S) == []


def test_text_of_another_program_is_ignored():
    network = Network()
    network.addresses[host(BOB)] = ["10.0.0.2"]
    (ignored,) = network.hear(service(BOB), TextRecord(instance(BOB), b"\x05a=b\nc"))
    assert "not the TXT record of a node" in ignored.why


def test_addresses_of_no_use_are_named():
    (ignored,) = Network().announce(BOB, address="127.0.0.1")
    assert "127.0.0.1" in ignored.why


def test_loopback_is_of_use_on_loopback():
    assert kinds(Network(loopback=True).announce(BOB, address="127.0.0.1")) == ["Seen"]


# Goodbyes


def test_goodbye_is_reported_once_with_its_boot():
    network = Network()
    network.announce(BOB)
    assert network.hear(goodbye(BOB)) == [Gone(BOB.name, Reason.LEFT, BOB.boot_id)]
    assert network.hear(goodbye(BOB)) == []


def test_goodbye_of_a_stranger_is_not_reported():
    assert Network().hear(goodbye(BOB)) == []


def test_belated_answer_after_a_goodbye_is_not_believed():
    network = Network()
    network.announce(BOB)
    network.hear(goodbye(BOB))
    network.now_s += GOODBYE_KEPT_S / 2
    assert network.announce(BOB) == []


def test_service_that_is_published_again_is_seen_again():
    network = Network()
    network.announce(BOB)
    network.hear(goodbye(BOB))
    network.run(GOODBYE_KEPT_S + 1)
    assert kinds(network.announce(BOB)) == ["Seen"]


# Asking


def test_life_is_renewed_by_one_question_in_its_last_half():
    network = Network()
    network.announce(BOB)
    asked = network.run(0.8 * TTL_S)
    assert [questions.instances for _, questions in asked] == [[instance(BOB)]]
    assert 0.5 * TTL_S <= asked[0][0] <= 0.8 * TTL_S
    assert kinds(network.hear(service(BOB))) == ["Seen"]
    assert network.run(0.5 * TTL_S) == []


def test_node_that_answers_nothing_is_asked_four_times_and_forgotten_unreported():
    network = Network()
    network.announce(BOB)
    asked = network.run(TTL_S + 0.5)
    assert [at_s < TTL_S for at_s, questions in asked if questions.instances] == [True] * 4
    assert network.hear(goodbye(BOB)) == []


def test_incomplete_instance_is_asked_for_and_given_up():
    network = Network()
    assert network.hear(PointerRecord(instance(BOB))) == []
    asked = network.run(COMPLETE_S + 1)
    assert [round(at_s, 3) for at_s, _ in asked] == list(COMPLETE_AT_S)
    assert network.browser.next_s == inf


@pytest.mark.parametrize(
    ("nodes", "longest_s"),
    [(0, NETWORK_BROWSE_S), (9, 10 * NETWORK_BROWSE_S), (100, MAX_BROWSE_S), (1000, MAX_BROWSE_S)],
)
def test_browse_interval_doubles_up_to_a_limit_that_grows_with_the_network(nodes, longest_s):
    network = Network()
    for number in range(nodes):
        network.browser.hear(PointerRecord(f"x{number}._clusterkit._tcp.local."), inf)
    network.browser.start(network.now_s)
    times = [at_s for at_s, questions in network.run(5 * MAX_BROWSE_S) if questions.browse]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert times[0] <= 0.12
    assert 1.0 <= waits[0] <= 1.2
    assert all(
        later == pytest.approx(min(2 * earlier, longest_s)) for earlier, later in pairwise(waits)
    )
    assert waits[-1] == pytest.approx(longest_s)


def test_loss_without_goodbye_makes_it_ask_often_again():
    network = Network()
    network.browser.start(network.now_s)
    network.run(MAX_BROWSE_S)
    network.announce(BOB)
    network.run(TTL_S)
    assert [questions.browse for _, questions in network.run(5)] == [True, True, True]


def test_goodbye_makes_it_ask_no_more_often():
    network = Network()
    network.announce(BOB)
    network.hear(goodbye(BOB))
    assert network.run(100) == []


def test_records_with_much_time_left_are_sent_as_known_answers():
    network = Network()
    network.browser.start(network.now_s)
    network.announce(BOB, ttl_s=1000)
    (_, first), *_ = network.run(0.5)
    cat = node("cat@10.0.0.3", 3)
    network.announce(cat, ttl_s=10)
    network.now_s += 8
    (_, second), *_ = network.run(0)
    assert [first.known, second.known] == [[(instance(BOB), 999)], [(instance(BOB), 991)]]


def test_after_a_start_everybody_is_to_answer():
    network = Network()
    network.announce(BOB)
    network.run(1)
    network.browser.start(network.now_s)
    assert [questions.known for _, questions in network.run(0.2)] == [[]]


# Bounds


def test_number_of_instances_is_bounded():
    network = Network()
    for number in range(MAX_INSTANCES + 100):
        network.browser.hear(PointerRecord(f"x{number}._clusterkit._tcp.local."), network.now_s)
    assert kinds(network.announce(BOB)) == []
    network.run(COMPLETE_S + 1)
    assert kinds(network.announce(BOB)) == ["Seen"]


def test_whoever_was_turned_away_is_asked_for_once_there_is_room():
    network = Network()
    network.browser.start(network.now_s)
    network.run(3600)
    for number in range(MAX_INSTANCES):
        network.browser.hear(PointerRecord(f"x{number}._clusterkit._tcp.local."), network.now_s)
    asked = network.run(COMPLETE_S + 2)
    assert [questions.browse for at_s, questions in asked if at_s >= COMPLETE_S].count(True) == 1


def test_number_of_questions_is_bounded():
    network = Network()
    for number in range(1000):
        network.browser.hear(PointerRecord(f"x{number}._clusterkit._tcp.local."), network.now_s)
    asked = network.run(1.0)
    assert max(len(questions.instances) for _, questions in asked) <= MAX_ASKED
    assert len(asked) <= 11
