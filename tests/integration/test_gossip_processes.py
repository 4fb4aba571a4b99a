"""Real processes on one host find each other by multicast on loopback."""

import signal

from gossip_process import gossipers, options


def mesh(start, size, given):
    peers = [start(f"n{number}@127.0.0.1", given) for number in range(size)]
    for peer in peers:
        peer.sees(*(other for other in peers if other is not peer))
    return peers


def test_processes_that_share_a_port_see_each_other():
    with gossipers() as start:
        for peer in mesh(start, 5, options()):
            assert peer.said(seen=peer.name) == []
            assert peer.errors == []


def test_newcomer_sees_all_and_is_seen_by_all():
    with gossipers() as start:
        given = options(interval_s=60.0, ttl_s=600.0)  # no heartbeat helps
        old = [start(f"n{number}@127.0.0.1", given) for number in range(4)]
        for peer in old:
            peer.boot()
        newcomer = start("new@127.0.0.1", given)
        newcomer.sees(*old)
        for peer in old:
            peer.sees(newcomer)


def test_closed_process_is_gone_for_all():
    with gossipers() as start:
        first, *others = mesh(start, 4, options(interval_s=60.0, ttl_s=600.0))
        first.close()
        for peer in others:
            goodbye = {"gone": first.name, "reason": "left", "boot": first.boot()}
            assert peer.expect(gone=first.name) == goodbye


def test_killed_process_is_seen_again_under_its_name():
    with gossipers() as start:
        given = options()
        first, *others = mesh(start, 3, given)
        first.signal(signal.SIGKILL)
        first.wait()
        again = start(first.name, given)
        again.sees(*others)
        for peer in others:
            peer.expect(seen=first.name, boot=again.boot())
            assert peer.said(gone=first.name) == []


def test_change_of_metadata_is_seen_at_once():
    with gossipers() as start:
        one, other = mesh(start, 2, options(interval_s=60.0, ttl_s=600.0))
        one.change(metadata={"zone": "b"})
        other.expect(seen=one.name, metadata={"zone": "b"})


def test_leaving_is_seen_at_once():
    with gossipers() as start:
        one, other = mesh(start, 2, options(interval_s=60.0, ttl_s=600.0))
        one.change(leaving=True)
        other.expect(leaving=one.name)
        assert other.said(gone=one.name) == []


def test_frozen_process_is_seen_again_when_thawed():
    with gossipers() as start:
        one, other = mesh(start, 2, options())
        one.signal(signal.SIGSTOP)
        one.signal(signal.SIGCONT)
        other.hears_again(one)
        one.hears_again(other)


def test_broadcast_does_without_multicast():
    with gossipers() as start:
        mesh(start, 3, options(broadcast_only=True, multicast_addr="127.255.255.255"))
