"""What the objects of a collection add up to, and what of that is news."""

import pytest

from cluster_kit.abc import Found, Gone, Leaving
from cluster_kit.strategies.kubernetes.resources import PeerAddress, Reading
from cluster_kit.strategies.kubernetes.view import CollectionView, Naming


def entry(ip, owner=None, *, port=4000, ready=True, terminating=False):
    return PeerAddress(
        ip=ip,
        port=port,
        namespace="d",
        owner=ip if owner is None else owner,
        hostname=None,
        ready=ready and not terminating,
        terminating=terminating,
    )


def make(*, basename="web", prefer_ipv6=False, count_unready=True, needs_port=True):
    naming = Naming(basename=basename, mode="ip", service=None, domain="cluster.local")
    return CollectionView(
        naming, prefer_ipv6=prefer_ipv6, count_unready=count_unready, needs_port=needs_port
    )


def put(view, name, *entries, problem=None):
    view.put(name, Reading(entries, problem))


def keys(observations):
    """Return what is told, with a complete answer as the sorted names in it."""
    return [
        sorted(node.key for node in each.nodes)
        if isinstance(each, Found)
        else (type(each), each.name)
        for each in observations
    ]


class TestNews:
    def test_an_empty_list_is_an_answer_once(self):
        view = make()
        view.replace([])
        assert keys(view.observe()) == [[]]
        assert view.observe() == []

    def test_new_entry_makes_a_complete_answer(self):
        view = make()
        put(view, "a", entry("10.0.0.1"))
        assert keys(view.observe()) == [["web@10.0.0.1"]]
        put(view, "b", entry("10.0.0.2"))
        assert keys(view.observe()) == [["web@10.0.0.1", "web@10.0.0.2"]]

    def test_many_changes_are_one_answer(self):
        view = make()
        for number in range(900):
            put(view, f"s{number}", entry(f"10.0.{number // 250}.{number % 250}"))
        [found] = view.observe()
        assert len(found.nodes) == 900

    def test_change_without_effect_is_no_news(self):
        view = make()
        put(view, "a", entry("10.0.0.1"), entry("10.0.0.2"))
        view.observe()
        put(view, "a", entry("10.0.0.2", ready=False), entry("10.0.0.1"))
        assert view.observe() == []

    def test_unchanged_view_can_be_reported_again(self):
        view = make()
        put(view, "a", entry("10.0.0.1"))
        view.observe()
        assert keys(view.observe(again=True)) == [["web@10.0.0.1"]]

    def test_node_absent_from_a_new_list_is_gone(self):
        view = make()
        view.replace([("a", Reading((entry("10.0.0.1"),))), ("b", Reading((entry("10.0.0.2"),)))])
        view.observe()
        view.replace([("b", Reading((entry("10.0.0.2"),)))])
        assert keys(view.observe()) == [["web@10.0.0.2"]]

    def test_a_removed_object_takes_its_nodes_away(self):
        view = make()
        put(view, "a", entry("10.0.0.1"))
        view.observe()
        view.remove("a")
        view.remove("never there")
        assert keys(view.observe()) == [[]]
        assert not view.knows_nodes


class TestMerging:
    def test_a_pod_in_two_slices_is_one_node(self):
        view = make()
        put(view, "a", entry("10.0.0.1", "pod"))
        put(view, "b", entry("10.0.0.1", "pod", ready=False))
        assert keys(view.observe()) == [["web@10.0.0.1"]]
        view.remove("a")
        assert view.observe() == []

    @pytest.mark.parametrize(
        ("prefer_ipv6", "key"), [(False, "web@10.0.0.1"), (True, "web@fd00::1")]
    )
    def test_a_pod_of_both_families_is_known_by_ours(self, prefer_ipv6, key):
        view = make(prefer_ipv6=prefer_ipv6)
        put(view, "four", entry("10.0.0.1", "pod"))
        put(view, "six", entry("fd00::1", "pod"))
        assert keys(view.observe()) == [[key]]

    def test_a_pod_of_the_other_family_alone_counts_too(self):
        view = make()
        put(view, "four", entry("10.0.0.1", "a"))
        put(view, "six", entry("fd00::2", "b"))
        assert keys(view.observe()) == [["web@10.0.0.1", "web@fd00::2"]]

    def test_the_entry_with_a_port_wins(self):
        view = make(needs_port=False)
        put(view, "a", entry("10.0.0.1", "pod", port=None))
        put(view, "b", entry("10.0.0.1", "pod"))
        [found] = view.observe()
        assert [node.address for node in found.nodes] == ["10.0.0.1:4000"]

    def test_a_living_pod_has_the_address_of_a_dying_one(self):
        view = make()
        put(view, "a", entry("10.0.0.1", "old", terminating=True), entry("10.0.0.1", "new"))
        assert keys(view.observe()) == [["web@10.0.0.1"]]

    def test_endpoints_without_a_pod_are_distinguished_by_their_ports(self):
        view = make(basename=None)
        put(view, "a", entry("127.0.0.1", "", port=4000))
        put(view, "b", entry("127.0.0.1", "", port=4001))
        assert keys(view.observe()) == [["127.0.0.1:4000", "127.0.0.1:4001"]]


class TestUnready:
    def test_unready_pods_count(self):
        view = make()
        put(view, "a", entry("10.0.0.1", ready=False))
        assert keys(view.observe()) == [["web@10.0.0.1"]]

    def test_unready_pods_do_not_count_where_the_option_says_so(self):
        view = make(count_unready=False)
        put(view, "a", entry("10.0.0.1"), entry("10.0.0.2", ready=False))
        assert keys(view.observe()) == [["web@10.0.0.1"]]
        put(view, "a", entry("10.0.0.1", ready=False), entry("10.0.0.2"))
        assert keys(view.observe()) == [["web@10.0.0.2"]]


class TestLeaving:
    @pytest.mark.parametrize("count_unready", [True, False])
    def test_a_terminating_pod_is_leaving_until_it_is_gone(self, count_unready):
        view = make(count_unready=count_unready)
        put(view, "a", entry("10.0.0.1"), entry("10.0.0.2"))
        view.observe()
        put(view, "a", entry("10.0.0.1", terminating=True), entry("10.0.0.2"))
        assert view.observe() == [Leaving("web@10.0.0.1")]
        assert view.observe() == []
        put(view, "a", entry("10.0.0.2"))
        assert keys(view.observe()) == [["web@10.0.0.2"]]

    def test_terminating_entry_is_not_vouched_for_if_it_never_was(self):
        view = make()
        put(view, "a", entry("10.0.0.1", terminating=True), entry("10.0.0.2"))
        assert keys(view.observe()) == [(Leaving, "web@10.0.0.1"), ["web@10.0.0.2"]]

    def test_a_successor_under_the_same_name_is_another_node(self):
        view = make()
        put(view, "a", entry("10.0.0.1", "old"))
        view.observe()
        put(view, "a", entry("10.0.0.1", "old", terminating=True))
        view.observe()
        put(view, "a", entry("10.0.0.1", "new"))
        assert keys(view.observe()) == [(Gone, "web@10.0.0.1"), ["web@10.0.0.1"]]
        assert view.observe() == []


class TestDoubt:
    def test_no_node_is_removed_in_doubt(self):
        view = make()
        put(view, "a", entry("10.0.0.1"))
        view.observe()
        view.replace([])
        assert view.observe(doubt=True) == []
        put(view, "b", entry("10.0.0.2"))
        assert keys(view.observe(doubt=True)) == [["web@10.0.0.1", "web@10.0.0.2"]]
        assert keys(view.observe()) == [["web@10.0.0.2"]]

    def test_objects_without_the_port_are_a_problem_if_all_are(self):
        view = make()
        put(view, "a", entry("10.0.0.1", port=None), problem="EndpointSlice 'a' has no ports")
        assert view.problem.startswith("EndpointSlice 'a' has no ports: set port to ")
        put(view, "b", entry("10.0.0.2"))
        assert view.problem is None
        assert keys(view.observe()) == [["web@10.0.0.2"]]

    def test_names_do_without_a_port(self):
        view = make(needs_port=False)
        put(view, "a", entry("10.0.0.1", port=None), problem="EndpointSlice 'a' has no ports")
        assert view.problem is None
        assert keys(view.observe()) == [["web@10.0.0.1"]]

    def test_invalid_entry_is_a_problem(self):
        view = make()
        put(view, "d/a", entry("not an address"))
        assert view.problem.startswith("'d/a' holds what can't be a node: ")
        view.remove("d/a")
        assert view.problem is None
