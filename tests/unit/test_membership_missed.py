"""Which peers are redialled although discovery or their links are lost."""

from membership_parts import Driver, FirstOnly, boot, error, node

from cluster_kit.abc import Found, Gone, Seen
from cluster_kit.events import Reason
from cluster_kit.membership.reconciler import Connect
from cluster_kit.membership.reports import Connected, ConnectFailed, Disconnected

B, C = node("b", 1), node("c", 1)


# -- silence is not a goodbye ----------------------------------------------------------------------


def test_healthy_link_outlives_the_silence_of_discovery():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.quiet()
    cluster.wait(10)
    assert cluster.events() == ["lost b@there silent"]
    assert cluster.planned() == []
    assert cluster.membership.up == (B,)


def test_link_lost_after_the_silence_of_discovery_is_redialled():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(10)
    cluster.link_down(B, Reason.SILENT)
    assert cluster.planned() == ["connect b@there"]


def test_remembered_link_that_is_up_again_is_not_withdrawn():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.link_down(B, Reason.SILENT)
    cluster.wait(10)
    cluster.carry_out()
    cluster.wait(1000)
    assert cluster.planned() == []
    assert cluster.membership.up == (B,)


def test_never_linked_node_that_falls_silent_is_not_dialled_any_more():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.refuse()
    cluster.wait(10)
    assert cluster.planned() == []


def test_explicit_absence_disconnects_at_once():
    cluster = Driver()
    cluster.observe(Found([B]))
    cluster.carry_out()
    cluster.quiet()
    cluster.observe(Found([]))
    assert cluster.events() == ["lost b@there gone"]
    assert cluster.planned() == ["disconnect b@there"]


def test_goodbye_after_silence_disconnects_once_the_link_is_down():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(10)
    cluster.observe(Gone("b@there", Reason.LEFT, B.boot_id))
    assert cluster.planned() == []
    cluster.link_down(B, Reason.CLOSED)
    assert cluster.planned() == ["disconnect b@there"]


def test_goodbye_of_a_missed_peer_ends_the_redial():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(4)
    cluster.link_down(B, Reason.SILENT)
    cluster.wait(10)
    cluster.refuse(jitter=1.0)
    cluster.observe(Gone("b@there", Reason.LEFT))
    cluster.carry_out()
    assert cluster.planned() == []
    assert cluster.wake_at_s is None


def test_absence_of_a_missed_peer_ends_the_redial():
    cluster = Driver()
    cluster.observe(Found([B]))
    cluster.carry_out()
    cluster.link_down(B, Reason.CLOSED)
    cluster.observe(Found([]))
    cluster.carry_out()
    assert cluster.planned() == []
    assert cluster.wake_at_s is None


def test_goodbye_of_a_stranger_changes_nothing():
    cluster = Driver()
    cluster.observe(Gone("b@there", Reason.LEFT))
    assert cluster.events() == []


def test_goodbye_of_an_earlier_boot_forgets_no_node():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(10)
    cluster.observe(Gone("b@there", Reason.LEFT, boot(77)))
    assert cluster.planned() == []


def test_closed_link_of_a_gone_node_is_not_missed():
    cluster = Driver()
    cluster.observe(Found([B]))
    cluster.carry_out()
    cluster.observe(Found([]))
    cluster.carry_out()
    cluster.link_down(B, Reason.CLOSED)
    assert cluster.planned() == []
    assert cluster.wake_at_s is None


def test_without_pruning_a_goodbye_changes_nothing():
    cluster = Driver(prune=False)
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.observe(Gone("b@there"))
    cluster.wait(10)
    assert cluster.planned() == []
    assert cluster.membership.known == (B,)


# -- lost peers are remembered ---------------------------------------------------------------------


def test_lost_peer_is_redialled_for_as_long_as_it_is_remembered():
    cluster = Driver(remember_s=60)
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(10)
    cluster.link_down(B, Reason.SILENT)
    for _ in range(11):
        cluster.refuse()
        cluster.wait(5)
    assert cluster.planned() == ["connect b@there"]
    cluster.report(ConnectFailed(B, error("refused"), 0.5))
    cluster.wait(5)
    assert cluster.planned() == []
    assert cluster.wake_at_s is None


def test_peer_that_discovery_loses_after_the_link_is_remembered_for_as_long():
    cluster = Driver(remember_s=60)
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.link_down(B, Reason.SILENT)
    cluster.wait(10)
    cluster.refuse()
    cluster.wait(50)
    assert cluster.planned() == []
    assert cluster.wake_at_s is None


def test_missed_peer_that_turns_out_to_be_us_is_forgotten():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(10)
    cluster.link_down(B, Reason.CLOSED)
    cluster.refuse("self")
    cluster.wait(31)
    assert cluster.planned() == []
    assert cluster.wake_at_s is None


def test_lost_peer_is_redialled_at_its_last_address():
    cluster = Driver()
    moved = B.evolve(address="10.5.5.5:1")
    cluster.observe(Seen(node("b", 1, address=None), 5))
    cluster.link_up(moved)
    cluster.wait(10)
    cluster.link_down(moved, Reason.CLOSED)
    assert [command.node for command in cluster.plan()] == [moved]


def test_known_peer_without_an_address_is_redialled_where_it_was_linked():
    cluster = Driver()
    cluster.observe(Seen(node("b", 1, address=None), 600))
    cluster.link_up(B)
    cluster.carry_out()
    cluster.wait(100)
    cluster.link_down(B, Reason.CLOSED)
    assert cluster.plan() == [Connect(B)]


def test_second_dial_to_a_known_peer_goes_where_it_was_linked():
    cluster = Driver()
    moved = B.evolve(address="10.5.5.5:1")
    cluster.observe(Seen(B, 600))
    cluster.plan()
    cluster.link_up(moved)
    cluster.report(Connected(B, moved))
    cluster.wait(100)
    cluster.link_down(moved, Reason.CLOSED)
    assert cluster.plan() == [Connect(B)]
    cluster.report(ConnectFailed(B, error("refused"), 0.5))
    cluster.wait(5)
    assert cluster.plan() == [Connect(moved)]


def test_missed_peer_is_vouched_for_but_one_that_only_dialled_us_is_not():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.link_up(C)
    cluster.wait(10)
    assert cluster.membership.vouches_for(B)
    assert not cluster.membership.vouches_for(C)


def test_stranger_is_neither_missed_nor_vouched_for():
    membership = Driver().membership
    assert not membership.vouches_for(B)
    assert not membership.is_missed(B.key)


def test_node_known_to_a_source_is_vouched_for_before_it_is_linked():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    assert cluster.membership.vouches_for(B)


def test_topology_decides_about_remembered_peers_too():
    cluster = Driver(FirstOnly())
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.link_down(B, Reason.SILENT)
    cluster.now_s += 10
    cluster.observe(Seen(node("a", 1), 5))
    cluster.observe(Seen(C, 5))
    assert cluster.planned() == ["disconnect b@there", "connect a@there"]


def test_peer_that_only_dialled_us_is_not_remembered():
    cluster = Driver()
    cluster.link_up(B)
    cluster.link_down(B, Reason.CLOSED)
    assert cluster.planned() == []
    assert cluster.wake_at_s is None


def test_link_that_neither_end_wants_is_not_missed():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(10)
    cluster.link_down(B, Reason.UNWANTED)
    assert cluster.planned() == ["disconnect b@there"]


def test_connector_that_keeps_no_links_lets_go_of_whatever_is_lost():
    cluster = Driver(keeps_links=False)
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(10)
    assert cluster.planned() == ["disconnect b@there"]
    cluster.link_down(B, Reason.SILENT)
    cluster.report(Disconnected(B))
    assert cluster.planned() == []


def test_connector_that_keeps_no_links_misses_no_node():
    cluster = Driver(keeps_links=False)
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(4)
    cluster.link_down(B, Reason.CLOSED)
    cluster.wait(1)
    assert cluster.planned() == ["disconnect b@there"]
