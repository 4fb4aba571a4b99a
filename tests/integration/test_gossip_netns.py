"""Gossip between hosts: network namespaces on a bridge, without a default route."""

import pytest
from gossip_process import gossipers, options
from netns_lab import Lab

pytestmark = [pytest.mark.once, pytest.mark.netns]


def on_each_node(start, lab, given):
    peers = [start(f"web@{place.address}", given, place) for place in lab.nodes]
    for peer in peers:
        peer.sees(*(other for other in peers if other is not peer))
    return peers


def test_hosts_without_default_route_see_each_other():
    with Lab(3) as lab, gossipers() as start:
        for peer in on_each_node(start, lab, options()):
            assert peer.errors == []


def test_host_that_was_cut_off_is_seen_again():
    with Lab(3) as lab, gossipers() as start:
        one, *others = on_each_node(start, lab, options(interval_s=0.2, ttl_s=0.6))
        lab.nodes[0].cut()
        others[0].hears_again(others[1], times=5)  # by then nothing is under way any more
        heard = len(one.lines)
        others[0].hears_again(others[1], times=5)
        assert len(one.lines) == heard
        lab.nodes[0].heal()
        one.hears_again(*others)
        for other in others:
            other.hears_again(one)
        assert one.failures() == []


def test_interface_that_goes_is_reported_and_used_again_when_it_is_back():
    with Lab(3) as lab, gossipers() as start:
        one, *others = on_each_node(start, lab, options())
        lab.nodes[0].unplug()
        one.until(one.failures, "a failure")
        assert "its interface is down or gone; bring it back" in one.failures()[0]
        lab.nodes[0].plug()
        one.hears_again(*others)
        for other in others:
            other.hears_again(one)


def test_firewall_is_reported_and_the_node_is_seen_again_without_it(require):
    require("nft")
    with Lab(2) as lab, gossipers() as start:
        one, other = on_each_node(start, lab, options())
        for rule in (
            "add table inet t",
            "add chain inet t out { type filter hook output priority 0; policy drop; }",
        ):
            assert lab.nodes[0].run(["nft", rule]).wait() == 0
        one.until(one.failures, "a failure")
        assert "a firewall forbids it" in one.failures()[0]
        assert lab.nodes[0].run(["nft", "delete table inet t"]).wait() == 0
        other.hears_again(one)
