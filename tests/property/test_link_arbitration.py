"""Whatever is dialled and however it arrives, two nodes end with one link and agree on it.

Each has the greeting that the other has sent over that link, and no other.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from link_world import ANN, BOB, Host, World, known, node

from cluster_kit.connectors.tcp.actions import AttemptFailed
from cluster_kit.errors import ConnectReason
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Node
from cluster_kit.wire.link import Role


@given(data=st.data(), swap=st.booleans())
@settings(max_examples=300, deadline=None)
def test_simultaneous_dials_settle_on_one_link_without_a_flap(data, swap):
    world = World(*((BOB, ANN) if swap else (ANN, BOB)))
    one, other = world.hosts
    wishes = data.draw(
        st.lists(
            st.one_of(
                st.tuples(st.just(one), known(other.node)),
                st.tuples(st.just(other), known(one.node)),
            ),
            min_size=1,
            max_size=5,
        )
    )

    def pick(choices):
        return data.draw(st.sampled_from(choices))

    while wishes:
        world.connect(*wishes.pop())
        for _ in range(data.draw(st.integers(0, 6))):
            choices = list(world.choices())
            if choices:
                world.step(*pick(choices))
    world.settle(pick)
    world.check_agreement()
    assert one.ups == {other.node.name: ["up"]}
    assert other.ups == {one.node.name: ["up"]}
    for host in world.hosts:
        assert host.settled.keys() == host.attempts.keys()
        assert {
            outcome.error.reason
            for outcome in host.settled.values()
            if isinstance(outcome, AttemptFailed)
        } <= {ConnectReason.CROSSED}


def test_dial_given_up_for_the_sake_of_an_unrecognized_one_has_crossed():
    world = World(ANN, BOB)
    ann, bob = world.hosts
    world.connect(bob, Node(name=ann.node.name, address=ann.node.address))
    world.step("connect", world.connecting[0])
    world.connect(ann, Node(address=bob.node.address))
    world.step("connect", world.connecting[0])
    hellos = list(world.choices())
    for hello in hellos:
        world.step(*hello)  # each answers the other's dial, and bob gives up his own
    attempt = world.connect(ann, Node(name=bob.node.name, address=bob.node.address))
    assert not world.connecting, "it waits for the dial of bob"
    world.settle()
    world.check_agreement()
    assert ann.settled[attempt].error.reason is ConnectReason.CROSSED


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_ends_agree_whatever_is_abandoned_or_disconnected(data):
    world = World(ANN, BOB)
    one, other = world.hosts

    def act():
        host, peer = data.draw(st.sampled_from([(one, other), (other, one)]))
        pending = [attempt for attempt in host.attempts if attempt not in host.settled]
        match data.draw(st.sampled_from(["connect", "abandon", "disconnect"])):
            case "connect":
                world.connect(host, data.draw(known(peer.node)))
            case "abandon" if pending:
                attempt = data.draw(st.sampled_from(pending))
                host.attempts.pop(attempt)
                world.abandon(host, attempt)
            case "disconnect":
                world.disconnect(host, peer.node)

    for _ in range(data.draw(st.integers(1, 12))):
        act()
        for _ in range(data.draw(st.integers(0, 4))):
            choices = list(world.choices())
            if choices:
                world.step(*data.draw(st.sampled_from(choices)))
    world.settle(lambda choices: data.draw(st.sampled_from(choices)))
    world.check_agreement()
    for host in world.hosts:
        assert host.settled.keys() >= host.attempts.keys()
    if one.linked():
        assert one.wishes or other.wishes, "a link that neither end wants is closed"


@given(data=st.data(), later_boot=st.sampled_from([BootId(9, 9), BootId(0, 1)]))
@settings(max_examples=200, deadline=None)
def test_restarted_peer_is_linked_again_also_with_its_clock_set_back(data, later_boot):
    world = World(ANN, BOB)
    one, other = world.hosts

    def pick(choices):
        return data.draw(st.sampled_from(choices))

    def steps(count):
        for _ in range(data.draw(st.integers(0, count))):
            choices = list(world.choices())
            if choices:
                world.step(*pick(choices))

    world.connect(one, other.node)
    world.connect(other, one.node)
    steps(12)
    world.kill(other)
    steps(3)
    again = Host(other.node.evolve(boot_id=later_boot))
    world.hosts.append(again)
    for _ in range(4):  # the reconciler tries again what failed for now
        for host, peer in ((one, again), (again, one)):
            if peer.node.name not in host.linked():
                world.connect(host, peer.node.evolve(boot_id=None))
            steps(6)
        world.settle(pick)
    world.check_agreement()
    assert again.ups == {one.node.name: ["up"]}
    assert one.linked() == {again.node.name}
    assert set(one.reasons) <= {Reason.CLOSED, Reason.REPLACED}


@given(data=st.data(), boots=st.permutations([1, 2]))
@settings(max_examples=150, deadline=None)
def test_of_two_live_processes_of_one_name_the_first_to_be_linked_stays_linked(data, boots):
    world = World(ANN, node("bob", 2 + boots[0]), node("bob", 2 + boots[1]))
    ann, first, second = world.hosts

    def pick(choices):
        return data.draw(st.sampled_from(choices))

    for _ in range(4):
        for host in (first, second):
            if not host.linked():
                world.connect(host, ANN)
            for _ in range(data.draw(st.integers(0, 6))):
                choices = list(world.choices())
                if choices:
                    world.step(*pick(choices))
        world.settle(pick)
    world.check_agreement()
    assert ann.ups == {"bob@h": ["up"]}
    assert sorted(host.ups == {"ann@h": ["up"]} for host in (first, second)) == [False, True]
    assert sorted(len(host.ups) for host in (first, second)) == [0, 1]


@pytest.mark.parametrize("swap", [False, True])
def test_dials_that_cross_exactly_are_won_by_the_lower_name(swap):
    world = World(ANN, BOB)
    ann, bob = world.hosts
    first, second = ((ann, bob), (bob, ann)) if swap else ((bob, ann), (ann, bob))
    world.connect(first[0], first[1].node)
    world.connect(second[0], second[1].node)
    world.step(*next(iter(world.choices())))
    world.step(*next(iter(world.choices())))  # both hellos are out
    world.settle()
    (end,) = world.open_ends(ann)
    assert end.protocol.role is Role.DIALLER
