from cluster_kit.membership.memory import Memory
from cluster_kit.membership.peer import Peers


def memory_of(*names, max_nodes=10):
    peers = Peers()
    return Memory(peers, 60, max_nodes), *(peers[f"{name}@there"] for name in names)


def test_peer_is_remembered_for_its_time_after_the_link():
    memory, peer = memory_of("b")
    memory.lose(peer, 0)
    assert memory.expire(59) == []
    assert memory.expire(60) == [peer]
    assert not peer.remembered


def test_peer_is_remembered_without_limit_while_linked():
    memory, peer = memory_of("b")
    memory.lose(peer, 0)
    memory.keep(peer)
    assert memory.next_s() is None
    assert peer.remembered


def test_forgotten_peer_leaves_nothing_behind():
    memory, peer = memory_of("b")
    memory.lose(peer, 0)
    memory.forget(peer)
    assert not peer.remembered
    assert memory.next_s() is None


def test_memory_is_bounded():
    memory, first, second, third = memory_of("b", "c", "d", max_nodes=1)
    memory.lose(first, 0)
    memory.lose(second, 0)
    memory.keep(third)
    assert not second.remembered
    assert not third.remembered
    memory.lose(first, 30)
    assert memory.next_s() == 90


def test_peer_that_comes_and_goes_takes_the_room_of_one():
    memory, first, second = memory_of("b", "c", max_nodes=1)
    for now_s in range(3):
        memory.keep(first)
        memory.lose(first, now_s)
    memory.forget(first)
    memory.keep(second)
    assert second.remembered
