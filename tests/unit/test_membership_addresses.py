"""Addresses that lead back to this node, and names that turn out to be at an address."""

import pytest
from membership_parts import B_ADDRESS, LOCAL, Driver, bare, node

from cluster_kit.abc import Found, Seen
from cluster_kit.events import Reason
from cluster_kit.membership.reconciler import FINAL_RETRY_S
from cluster_kit.membership.reports import Connected

B, C = node("b", 1), node("c", 1)


@pytest.mark.parametrize(
    "us", [bare(), node("b", address=None), B], ids=["address", "name", "both"]
)
def test_node_that_leads_back_to_us_is_not_known_but_tried_again(us):
    cluster = Driver()
    cluster.observe(Found([us]))
    cluster.refuse("self")
    assert cluster.events() == [f"found {us}", f"lost {us} gone"]
    cluster.observe(Found([us]))
    assert cluster.planned() == []
    cluster.wait(FINAL_RETRY_S)
    assert cluster.planned() == [f"connect {us}"]
    assert cluster.membership.finds_only_itself
    assert cluster.membership.known == ()
    assert cluster.events() == []


def test_address_that_led_back_to_us_may_lead_to_another_node_the_next_time():
    cluster = Driver()
    cluster.observe(Found([bare()]))
    cluster.refuse("self")
    cluster.wait(FINAL_RETRY_S)
    cluster.quiet().carry_out(B)
    assert cluster.events() == ["up b@there", "found b@there"]
    assert cluster.membership.known == cluster.membership.up == (B,)
    assert not cluster.membership.finds_only_itself


def test_node_that_has_found_another_does_not_find_only_itself():
    cluster = Driver()
    cluster.observe(Found([LOCAL, B]))
    assert not cluster.membership.finds_only_itself


def test_node_linked_by_a_peer_does_not_find_only_itself():
    cluster = Driver()
    cluster.observe(Found([LOCAL]))
    cluster.link_up(B)
    assert not cluster.membership.finds_only_itself


def test_node_that_has_found_itself_and_no_other_finds_only_itself():
    cluster = Driver()
    assert not cluster.membership.finds_only_itself
    cluster.observe(Found([LOCAL]))
    assert cluster.membership.finds_only_itself


def test_address_that_led_back_to_us_is_dialled_no_more_when_no_source_vouches_for_it():
    cluster = Driver()
    cluster.observe(Found([bare()]))
    cluster.refuse("self")
    cluster.observe(Found([]))
    cluster.wait(1000)
    assert cluster.planned() == []
    assert not cluster.membership.finds_only_itself


def test_address_claimed_by_a_peer_is_no_proof():
    cluster = Driver()
    cluster.observe(Found([bare()]))
    cluster.link_up(C.evolve(address=B_ADDRESS))
    assert cluster.membership.known == (bare(),)
    assert cluster.planned() == [f"connect {B_ADDRESS}"]


def test_address_gets_its_name_from_the_link():
    cluster = Driver()
    cluster.observe(Found([bare()]))
    cluster.carry_out(B)
    assert cluster.events() == [
        f"found {B_ADDRESS}",
        "up b@there",
        f"lost {B_ADDRESS} replaced",
        "found b@there",
    ]
    assert cluster.planned() == []
    assert cluster.membership.known == cluster.membership.up == (B,)


def test_named_node_found_by_its_address_too_is_not_found_twice():
    cluster = Driver()
    cluster.observe(Seen(B, 5), source="gossip")
    cluster.observe(Found([bare()]), source="dns")
    assert cluster.events() == ["found b@there"]
    assert cluster.planned() == ["connect b@there"]


def test_address_under_which_a_peer_was_reached_is_dialled_again():
    cluster = Driver()
    behind = B.evolve(address="192.168.0.2:1")
    cluster.observe(Found([bare()]))
    cluster.plan()
    cluster.link_up(behind)
    cluster.report(Connected(bare(), behind))
    cluster.wait(100)
    cluster.link_down(behind, Reason.CLOSED)
    assert [command.node for command in cluster.plan()] == [B]


def test_refused_dial_does_not_put_the_name_in_doubt():
    cluster = Driver()
    cluster.observe(Found([bare()]))
    cluster.carry_out(B)
    cluster.wait(100)
    cluster.link_down(B, Reason.CLOSED)
    cluster.quiet()
    cluster.refuse("refused")
    assert cluster.events() == []


def test_other_name_of_a_node_without_an_address_is_only_an_error():
    cluster = Driver()
    cluster.observe(Found([node("b", address=None)]))
    cluster.refuse("name")
    assert cluster.events() == ["found b@there"]


def test_other_name_at_an_address_is_found_out():
    cluster = Driver()
    cluster.observe(Found([bare()]))
    cluster.carry_out(B)
    cluster.wait(100)
    cluster.link_down(B, Reason.CLOSED)
    cluster.quiet()
    cluster.refuse("name")
    assert cluster.events() == ["lost b@there replaced", f"found {B_ADDRESS}"]
    newcomer = C.evolve(address=B_ADDRESS)
    cluster.carry_out(newcomer)
    assert cluster.events() == ["up c@there", f"lost {B_ADDRESS} replaced", "found c@there"]
    cluster.wait(1000)
    assert cluster.planned() == []
