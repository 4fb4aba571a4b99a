"""Which nodes a roster knows, from what sources observe and links prove."""

from math import inf

import pytest
from membership_parts import B_ADDRESS, LOCAL, bare, boot, error, node
from roster_parts import B, C, D, found, fresh, lost, mirrors, roster

from cluster_kit.abc import Failed, Found, Gone, Leaving, Seen
from cluster_kit.events import Reason
from cluster_kit.membership.sources import EXCHANGE, PREDECESSOR
from cluster_kit.node import Node

# -- what each observation does --------------------------------------------------------------------


def test_node_absent_from_a_complete_answer_is_gone():
    known = roster()
    known.observe("dns", Found([B, C]), 0)
    changes = known.observe("dns", Found([C, D]), 1)
    assert lost(changes) == {"b@there": Reason.GONE}
    assert known.known.keys() == {"c@there", "d@there"}


def test_losses_come_first_then_keys_in_order():
    known = roster()
    known.observe("dns", Found([C]), 0)
    changes = known.observe("dns", Found([D, B]), 1)
    assert [(change.key, change.node is not None) for change in changes] == [
        ("c@there", False),
        ("b@there", True),
        ("d@there", True),
    ]


def test_node_not_seen_again_in_time_is_silent():
    known = roster()
    known.observe("gossip", Seen(B, 5), 0)
    assert known.expire(4.9) == []
    assert lost(known.expire(5)) == {"b@there": Reason.SILENT}


def test_each_sighting_puts_the_end_off():
    known = roster()
    known.observe("gossip", Seen(B, 5), 0)
    known.observe("gossip", Seen(B, 5), 4)
    assert known.expire(5) == []
    assert known.sources.next_s() == 9
    assert lost(known.expire(9)) == {"b@there": Reason.SILENT}


def test_sighting_with_a_shorter_life_counts():
    known = roster()
    known.observe("gossip", Seen(B, 50), 0)
    known.observe("gossip", Seen(B, 5), 1)
    assert lost(known.expire(6)) == {"b@there": Reason.SILENT}


def test_sighting_without_a_limit_counts():
    known = roster()
    known.observe("gossip", Seen(B, 5), 0)
    known.observe("gossip", Seen(B, inf), 1)
    assert known.sources.next_s() is None
    assert known.expire(1000) == []


def test_node_that_has_left_is_lost_for_the_reason_given():
    known = roster()
    known.observe("gossip", Seen(B, 5), 0)
    changes = known.observe("gossip", Gone("b@there", Reason.LEFT), 1)
    assert lost(changes) == {"b@there": Reason.LEFT}
    assert known.sources.next_s() is None


def test_goodbye_of_an_earlier_boot_is_ignored():
    known = roster()
    known.observe("gossip", Seen(node("b", 2), 5), 0)
    assert known.observe("gossip", Gone("b@there", boot_id=boot(1)), 1) == []
    assert lost(known.observe("gossip", Gone("b@there", boot_id=boot(2)), 1))


def test_goodbye_of_some_boot_counts_where_the_boot_is_not_known():
    known = roster()
    known.observe("dns", Found([B]), 0)
    assert lost(known.observe("dns", Gone("b@there", boot_id=boot(1)), 1))


def test_goodbye_of_a_stranger_changes_nothing():
    assert roster().observe("gossip", Gone("not even a name"), 0) == []


def test_failed_lookup_keeps_the_last_view():
    known = roster()
    known.observe("dns", Found([B]), 0)
    assert known.observe("dns", Failed(error("failed")), 1) == []
    assert known.known == {"b@there": B}


def test_leaving_node_is_still_known():
    known = roster()
    known.observe("dns", Found([B]), 0)
    assert known.observe("dns", Leaving("b@there"), 1) == []
    assert known.known == {"b@there": B}


def test_without_pruning_nothing_is_ever_removed():
    known = roster(prune=False)
    known.observe("dns", Found([B]), 0)
    known.observe("gossip", Seen(C, 5), 0)
    assert known.observe("dns", Found([]), 1) == []
    assert known.observe("dns", Gone("b@there"), 1) == []
    assert known.expire(100) == []
    assert known.known.keys() == {"b@there", "c@there"}
    assert known.sources.next_s() is None


def test_expired_node_is_not_listed_even_without_pruning():
    known = roster(prune=False)
    known.observe("gossip", Seen(B, 5), 0)
    known.expire(5)
    assert not known.is_listed(B.key)


# -- several sources -------------------------------------------------------------------------------


def test_node_is_known_while_any_source_vouches():
    known = roster()
    known.observe("dns", Found([B]), 0)
    known.observe("gossip", Seen(B, 5), 0)
    assert known.observe("dns", Found([]), 1) == []
    assert lost(known.expire(5)) == {"b@there": Reason.SILENT}


def test_sources_do_not_answer_for_each_other():
    known = roster()
    known.observe("dns", Found([B]), 0)
    assert known.observe("gossip", Found([C]), 0)
    assert known.observe("gossip", Gone("b@there"), 0) == []
    assert known.known.keys() == {"b@there", "c@there"}


def test_newest_boot_is_believed():
    known = roster()
    known.observe("gossip", Seen(node("b", 2, zone="new"), 5), 0)
    known.observe("etcd", Seen(node("b", 1, address="10.9.9.9:1", zone="old"), 5), 0)
    assert known.known["b@there"] == node("b", 2, zone="new")


def test_fields_missing_from_the_newest_boot_are_not_taken_from_an_older_one():
    known = roster()
    known.observe("gossip", Seen(node("b", 2, address=None), 5), 0)
    known.observe("etcd", Seen(node("b", 1, zone="old"), 5), 0)
    assert known.known["b@there"] == node("b", 2, address=None)


def test_sources_that_agree_complete_each_other():
    known = roster()
    known.observe("mdns", Seen(node("b", 2, address=None), 5), 0)
    known.observe("dns", Found([node("b", zone="a")]), 0)
    assert known.known["b@there"] == node("b", 2, zone="a")


def test_metadata_comes_from_the_source_that_knows_most():
    known = roster()
    known.observe("dns", Found([node("b", address=None, zone="a")]), 0)
    known.observe("mdns", Seen(node("b", zone="b"), 5), 0)
    assert known.known["b@there"] == node("b", zone="b")


# -- sources that fail -----------------------------------------------------------------------------


def test_words_of_a_failing_source_do_not_lapse_and_those_of_others_do():
    known = roster()
    known.observe("etcd", Seen(B, 5), 0)
    known.observe("gossip", Seen(C, 5), 0)
    known.sources.fail("etcd", 4)
    assert lost(known.expire(1000)) == {"c@there": Reason.SILENT}
    assert known.sources.next_s() is None
    assert known.known.keys() == {"b@there"}


def test_source_that_works_again_has_its_whole_ttl_to_speak_of_each_node():
    known = roster()
    known.observe("etcd", Seen(B, 5), 0)
    known.observe("etcd", Seen(C, 5), 0)
    known.sources.fail("etcd", 4)
    known.sources.recover("etcd", 1000)
    known.observe("etcd", Seen(C, 5), 1003)
    assert known.expire(1004.9) == []
    assert lost(known.expire(1005)) == {"b@there": Reason.SILENT}
    assert known.sources.next_s() == 1008


def test_source_that_fails_now_and_then_does_not_keep_the_dead():
    known = roster()
    known.observe("etcd", Seen(B, 5), 0)
    for start_s in (4, 14, 24):
        known.sources.fail("etcd", start_s)
        known.sources.recover("etcd", start_s + 9)
        known.expire(start_s + 9)
    assert known.known
    assert lost(known.expire(42)) == {"b@there": Reason.SILENT}


@pytest.mark.parametrize("first", ["etcd", "dns"])
def test_inherited_nodes_do_not_lapse_while_any_source_fails(first):
    known = roster()
    known.observe(PREDECESSOR, Seen(B, 5), 0)
    known.sources.fail("etcd", 1)
    known.sources.fail("dns", 2)
    known.sources.recover(first, 100)
    assert known.expire(1000) == []
    known.sources.recover("dns" if first == "etcd" else "etcd", 1000)
    assert known.sources.next_s() is not None
    known.expire(1004)
    assert known.known.keys() == {"b@there"}
    known.expire(1006)
    assert known.known == {}


def test_failing_source_may_still_take_back_its_word():
    known = roster()
    known.observe("etcd", Seen(B, 5), 0)
    known.sources.fail("etcd", 1)
    assert lost(known.observe("etcd", Gone("b@there"), 2)) == {"b@there": Reason.GONE}


# -- evidence of life ------------------------------------------------------------------------------


def test_first_sighting_is_fresh_and_a_refresh_is_not():
    known = roster()
    assert fresh(known.observe("gossip", Seen(B, 5), 0)) == ["b@there"]
    assert known.observe("gossip", Seen(B, 5), 1) == []


def test_new_boot_and_new_address_are_fresh():
    known = roster()
    known.observe("gossip", Seen(node("b", 1), 5), 0)
    assert fresh(known.observe("gossip", Seen(node("b", 2), 5), 1))
    assert fresh(known.observe("gossip", Seen(node("b", 2, address="10.1.1.1:1"), 5), 2))


def test_new_metadata_is_a_change_but_not_fresh():
    known = roster()
    known.observe("gossip", Seen(B, 5), 0)
    changes = known.observe("gossip", Seen(node("b", zone="a"), 5), 1)
    assert found(changes) == {"b@there"}
    assert not fresh(changes)


def test_node_that_was_silent_for_its_source_is_fresh_though_others_kept_it():
    known = roster()
    known.observe("dns", Found([B]), 0)
    known.observe("gossip", Seen(B, 5), 0)
    known.expire(5)
    assert fresh(known.observe("gossip", Seen(B, 5), 6)) == ["b@there"]


def test_node_seen_again_after_its_time_is_fresh_though_never_pruned():
    known = roster(prune=False)
    known.observe("gossip", Seen(B, 5), 0)
    known.expire(5)
    assert fresh(known.observe("gossip", Seen(B, 5), 6)) == ["b@there"]


# -- boots -----------------------------------------------------------------------------------------


def test_late_packet_of_an_earlier_boot_is_ignored():
    known = roster()
    known.observe("gossip", Seen(node("b", 2), 5), 0)
    assert known.observe("gossip", Seen(node("b", 1), 5), 1) == []
    assert known.sources.next_s() == 5


def test_boot_with_a_clock_set_back_is_accepted_when_the_other_is_silent():
    known = roster()
    known.observe("gossip", Seen(node("b", 2), 5), 0)
    assert fresh(known.observe("gossip", Seen(node("b", 1), 5), 5)) == ["b@there"]
    assert known.known["b@there"].boot_id == boot(1)


def test_boot_with_a_clock_set_back_is_accepted_when_a_link_proves_it():
    known = roster()
    known.observe("gossip", Seen(node("b", 2), 5), 0)
    known.meet(node("b", 1))
    assert known.known["b@there"].boot_id == boot(1)
    assert known.observe("gossip", Seen(node("b", 1), 5), 1) == []
    assert known.expire(5) == []


# -- bounds ----------------------------------------------------------------------------------------


def test_full_roster_ignores_the_new_and_refreshes_the_old():
    known = roster(max_nodes=2)
    known.observe("gossip", Seen(B, 5), 0)
    known.observe("gossip", Seen(C, 5), 0)
    assert not known.sources.overflowing_source
    assert known.observe("gossip", Seen(D, 5), 1) == []
    assert known.sources.overflowing_source
    known.observe("gossip", Seen(B, 5), 4)
    known.expire(5)
    assert known.known.keys() == {"b@there"}
    assert found(known.observe("gossip", Seen(D, 5), 6)) == {"d@there"}


def test_roster_names_the_source_that_overflowed_it_first():
    known = roster(max_nodes=1)
    for source, each in ("gossip", B), ("dns", C), ("mdns", D):
        known.observe(source, Seen(each, 5), 0)
    assert known.sources.overflowing_source == "dns"


def test_node_known_to_several_sources_counts_once():
    known = roster(max_nodes=2)
    for source in "dns", "gossip":
        known.observe(source, Found([B]), 0)
    assert found(known.observe("gossip", Found([B, C]), 1)) == {"c@there"}


def test_full_roster_follows_the_changes_of_known_nodes():
    known = roster(max_nodes=1)
    known.observe("gossip", Seen(B, 5), 0)
    assert found(known.observe("gossip", Seen(node("b", zone="a"), 5), 1)) == {"b@there"}
    assert not known.sources.overflowing_source


def test_answer_that_is_too_large_is_cut_at_the_same_place_each_time():
    known = roster(max_nodes=2)
    known.observe("dns", Found([D, C, B]), 0)
    assert known.known.keys() == {"b@there", "c@there"}


def test_complete_answer_makes_room_for_itself():
    known = roster(max_nodes=2)
    known.observe("dns", Found([B, C]), 0)
    known.observe("dns", Found([C, D]), 1)
    assert known.known.keys() == {"c@there", "d@there"}
    assert not known.sources.overflowing_source


# -- ourselves -------------------------------------------------------------------------------------


def test_we_never_enter_by_name_or_address():
    known = roster()
    known.disown(LOCAL.name, LOCAL.address)
    by_name = LOCAL.evolve(address="10.1.1.1:1", boot_id=boot(7))
    by_address = [Node(None, LOCAL.address), Node("old@here", LOCAL.address)]
    assert known.observe("gossip", Seen(by_name, 5), 0) == []
    assert known.observe("dns", Found(by_address), 0) == []
    assert not known.sources.overflowing_source


def test_own_node_in_an_answer_does_not_hide_those_after_it():
    known = roster()
    known.disown(LOCAL.name, LOCAL.address)
    assert found(known.observe("dns", Found([LOCAL, node("z")]), 0)) == {"z@there"}


def test_addresses_without_names_are_not_ours_if_we_have_no_address():
    known = roster()
    known.disown(LOCAL.name, None)
    assert found(known.observe("dns", Found([bare()]), 0)) == {B_ADDRESS}


def test_own_address_is_disowned_for_good():
    known = roster(prune=False)
    known.observe("dns", Found([bare()]), 0)
    assert not known.sources.saw_itself
    assert lost(known.disown(B_ADDRESS)) == {B_ADDRESS: Reason.GONE}
    assert known.observe("dns", Found([bare()]), 1) == []
    assert known.sources.saw_itself


@pytest.mark.parametrize("prune", [True, False])
def test_node_that_led_back_to_us_is_set_aside_until_a_link_proves_otherwise(prune):
    known = roster(prune=prune)
    known.observe("dns", Found([bare()]), 0)
    assert lost(known.set_aside(bare())) == {B_ADDRESS: Reason.GONE}
    assert known.observe("dns", Found([bare()]), 1) == []
    assert known.known == {}
    assert mirrors(known) == {B_ADDRESS: bare()}
    released = known.release(B_ADDRESS)
    assert found(released) == {B_ADDRESS}
    assert fresh(released) == []
    assert mirrors(known) == {}
    assert known.release(B_ADDRESS) == []


def test_node_set_aside_is_forgotten_when_no_source_vouches_for_it():
    known = roster()
    known.observe("dns", Found([bare()]), 0)
    known.set_aside(bare())
    assert lost(known.observe("dns", Found([]), 1)) == {B_ADDRESS: Reason.GONE}
    assert mirrors(known) == {}
    assert found(known.observe("dns", Found([bare()]), 2)) == {B_ADDRESS}


def test_node_set_aside_is_kept_as_sources_describe_it_now():
    known = roster()
    known.observe("gossip", Seen(B, 5), 0)
    known.set_aside(B)
    moved = B.evolve(address="10.1.1.1:1")
    assert fresh(known.observe("gossip", Seen(moved, 5), 1)) == []
    assert mirrors(known) == {B.key: moved}


def test_node_set_aside_does_not_change_when_another_source_agrees():
    known = roster()
    known.observe("dns", Found([B]), 0)
    known.set_aside(B)
    assert known.observe("mdns", Found([B]), 1) == []


def test_hearsay_gives_no_address_a_name():
    known = roster()
    known.observe("static", Found([bare()]), 0)
    known.observe(EXCHANGE, Seen(B, 5), 0)
    assert known.known.keys() == {B_ADDRESS, B.key}


# -- a predecessor's roster ------------------------------------------------------------------------


def test_predecessors_word_holds_for_its_time():
    known = roster()
    known.observe(PREDECESSOR, Seen(B, 30), 0)
    assert lost(known.expire(30)) == {"b@there": Reason.SILENT}


def test_predecessors_word_ends_when_a_source_speaks_of_the_node():
    known = roster()
    known.observe(PREDECESSOR, Seen(B, 30), 0)
    assert not found(known.observe("gossip", Seen(B, 5), 1)) - {"b@there"}
    assert lost(known.expire(6)) == {"b@there": Reason.SILENT}


def test_inherited_claim_ends_when_a_source_repeats_its_own():
    known = roster()
    for source, ttl_s in ("gossip", 5), (PREDECESSOR, 30), ("gossip", 5):
        known.observe(source, Seen(B, ttl_s), 0)
    assert lost(known.expire(5)) == {"b@there": Reason.SILENT}


def test_predecessors_word_ends_with_a_goodbye():
    known = roster()
    known.observe(PREDECESSOR, Seen(B, 30), 0)
    changes = known.observe("gossip", Gone("b@there", Reason.LEFT), 1)
    assert lost(changes) == {"b@there": Reason.LEFT}


def test_predecessors_word_is_not_taken_back_by_an_answer_about_others():
    known = roster()
    known.observe(PREDECESSOR, Seen(B, 30), 0)
    assert not lost(known.observe("dns", Found([C]), 1))


def test_departure_counts_in_whatever_spelling_it_is_reported():
    known = roster()
    known.observe("gossip", Found([Node("b@LocalHost"), Node("c@::1")]), 0)
    changes = known.observe("gossip", Gone("b@localhost.", Reason.LEFT), 1)
    assert lost(changes) == {"b@localhost": Reason.LEFT}
    assert Leaving("c@0:0::1").name == "c@::1"
