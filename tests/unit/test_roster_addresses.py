"""Nodes of which only the address is known, and other addresses at which a node may be."""

from membership_parts import B_ADDRESS, bare, boot, node
from roster_parts import B, C, D, found, fresh, lost, roster

from cluster_kit.abc import Found, Gone, Seen
from cluster_kit.events import Reason
from cluster_kit.membership.sources import EXCHANGE

# -- nodes of which only the address is known ------------------------------------------------------


def test_address_is_resolved_by_a_source_that_gives_its_name():
    known = roster()
    known.observe("dns", Found([bare()]), 0)
    changes = known.observe("gossip", Seen(node("b", 1), 5), 1)
    assert lost(changes) == {B_ADDRESS: Reason.REPLACED}
    assert found(changes) == {"b@there"}


def test_address_of_a_known_name_is_never_a_node_of_its_own():
    known = roster()
    known.observe("gossip", Seen(node("b", 1), 5), 0)
    assert not lost(known.observe("dns", Found([bare()]), 1))
    assert known.known == {"b@there": node("b", 1)}


def test_address_vouches_for_the_name_that_a_link_has_proved():
    known = roster()
    known.observe("dns", Found([bare()]), 0)
    changes = known.meet(node("b", 1, address="192.168.0.2:1"), B_ADDRESS)
    assert lost(changes) == {B_ADDRESS: Reason.REPLACED}
    assert fresh(changes) == []
    assert known.known == {"b@there": B}
    assert lost(known.observe("dns", Found([]), 1)) == {"b@there": Reason.GONE}


def test_address_is_a_node_again_when_the_source_of_its_name_falls_silent():
    known = roster()
    known.observe("dns", Found([bare()]), 0)
    known.observe("gossip", Seen(B, 5), 0)
    changes = known.expire(5)
    assert lost(changes) == {"b@there": Reason.SILENT}
    assert found(changes) == {B_ADDRESS}


def test_proved_name_outlives_the_silence_of_other_sources():
    known = roster()
    known.observe("dns", Found([bare()]), 0)
    known.observe("gossip", Seen(B, 5), 0)
    known.meet(B, B_ADDRESS)
    assert not lost(known.expire(5))
    assert known.known == {"b@there": B}


def test_address_seen_alive_is_evidence_of_the_name():
    known = roster()
    known.observe("dns", Found([bare()]), 0)
    known.meet(B, B_ADDRESS)
    assert fresh(known.observe("mdns", Seen(bare(), 5), 1)) == ["b@there"]


def test_address_given_with_a_name_beats_the_one_where_it_was_met():
    known = roster()
    known.observe("dns", Found([bare()]), 0)
    known.meet(B, B_ADDRESS)
    named = B.evolve(address="10.0.0.9:1")
    known.observe("etcd", Found([named]), 1)
    assert known.known == {"b@there": named}


def test_address_that_two_names_claim_counts_for_the_first_of_them():
    known = roster()
    known.observe("dns", Found([bare()]), 0)
    known.observe("gossip", Seen(B, 5), 0)
    known.observe("gossip", Seen(C.evolve(address=B_ADDRESS), 5), 0)
    assert known.is_listed(B.key)
    assert not known.is_listed(C.key)


def test_address_claimed_twice_passes_to_the_second_when_the_first_is_gone():
    known = roster()
    known.observe("dns", Found([bare()]), 0)
    known.observe("gossip", Seen(B, 5), 0)
    known.observe("gossip", Seen(C.evolve(address=B_ADDRESS), 5), 0)
    known.observe("gossip", Gone(B.key), 1)
    assert known.known.keys() == {C.key}
    assert known.is_listed(C.key)


def test_proof_that_is_repeated_changes_nothing():
    known = roster()
    known.observe("dns", Found([bare()]), 0)
    known.meet(B, B_ADDRESS)
    assert known.meet(B, B_ADDRESS) == []


def test_link_to_an_address_that_no_source_gives_proves_nothing():
    known = roster()
    known.meet(B, B_ADDRESS)
    assert found(known.observe("dns", Found([bare()]), 0)) == {B_ADDRESS}


def test_sources_vouch_for_names_and_addresses_but_hearsay_does_not():
    known = roster()
    known.observe("gossip", Seen(B, 5), 0)
    known.observe("dns", Found([bare(C.address)]), 0)
    known.observe(EXCHANGE, Seen(D, 5), 0)
    assert [known.vouches_for(each) for each in (B, C, D)] == [True, True, False]


def test_nothing_is_kept_of_an_address_that_is_gone():
    known = roster()
    known.observe("dns", Found([bare()]), 0)
    known.meet(B, B_ADDRESS)
    known.meet(C, B_ADDRESS)
    known.observe("dns", Found([]), 1)
    assert not known._book._claimed_names
    assert all(peer.is_idle(1) for peer in known._peers.values())


def test_proof_is_forgotten_when_another_node_answers():
    known = roster()
    known.observe("dns", Found([bare()]), 0)
    known.meet(B, B_ADDRESS)
    changes = known.discard_proof(B_ADDRESS)
    assert lost(changes) == {"b@there": Reason.REPLACED}
    assert found(changes) == {B_ADDRESS}


def test_proof_that_a_source_confirms_is_discarded_without_a_change():
    known = roster()
    known.observe("dns", Found([bare()]), 0)
    known.observe("mdns", Found([B]), 0)
    known.meet(B, B_ADDRESS)
    assert known.discard_proof(B_ADDRESS) == []


def test_name_given_in_place_of_its_address_is_the_same_node():
    known = roster()
    known.observe("dns", Found([bare()]), 0)
    known.meet(B, B_ADDRESS)
    assert not lost(known.observe("dns", Found([B]), 1))
    assert known.known == {"b@there": B}


def test_named_node_does_not_absorb_another_bare_address():
    known = roster()
    known.observe("dns", Found([bare()]), 0)
    known.observe("etcd", Found([B, bare(C.address)]), 1)
    assert known.known.keys() == {"b@there", C.address}


def test_address_that_moved_from_one_name_to_another_follows_the_link():
    known = roster()
    known.observe("dns", Found([bare()]), 0)
    known.meet(B, B_ADDRESS)
    changes = known.meet(C, B_ADDRESS)
    assert lost(changes) == {"b@there": Reason.REPLACED}
    assert known.known == {"c@there": C.evolve(address=B_ADDRESS)}


# -- other addresses -------------------------------------------------------------------------------


def test_other_sources_and_older_runs_show_where_else_a_node_may_be():
    known = roster()
    later, older, listed = (
        B.evolve(address=f"10.0.0.{number}:1", boot_id=run)
        for number, run in ((9, boot(2)), (8, boot(1)), (7, None))
    )
    known.observe("gossip", Seen(later, 5), 0)
    assert known.elsewhere(B.key, None, 0) == []
    known.observe("static", Found([listed]), 0)
    known.observe("gossip", Seen(older, 5), 1)
    assert known.known[B.key] == later
    assert known.elsewhere(B.key, None, 1) == [listed, older]
    assert known.elsewhere(B.key, older, 1) == [older, listed]
    assert known.elsewhere(B.key, None, 6) == [listed]
    known.observe("static", Found([]), 6)
    known.observe("gossip", Gone(B.key, Reason.LEFT, later.boot_id), 6)
    assert known.elsewhere(B.key, older, 6) == []


def test_older_run_at_the_same_address_is_nowhere_else():
    known = roster()
    known.observe("gossip", Seen(B.evolve(address="10.0.0.9:1", boot_id=boot(2)), 5), 0)
    known.observe("gossip", Seen(B.evolve(address="10.0.0.9:1", boot_id=boot(1)), 5), 0)
    assert known.elsewhere(B.key, None, 0) == []
