from cluster_kit.membership.memory import Memory
from cluster_kit.membership.peer import Peers


def test_peer_is_remembered_for_its_time_after_the_link():
    memory = Memory(Peers(), 60, max_nodes=10)
    memory.lose("b@there", 0)
    assert memory.expire(59) == []
    assert memory.expire(60) == ["b@there"]
    assert "b@there" not in memory


def test_peer_is_remembered_without_limit_while_linked():
    memory = Memory(Peers(), 60, max_nodes=10)
    memory.lose("b@there", 0)
    memory.keep("b@there")
    assert memory.next_s() is None
    assert "b@there" in memory


def test_forgotten_peer_leaves_nothing_behind():
    memory = Memory(Peers(), 60, max_nodes=10)
    memory.lose("b@there", 0)
    memory.forget("b@there")
    assert "b@there" not in memory
    assert memory.next_s() is None


def test_memory_is_bounded():
    memory = Memory(Peers(), 60, max_nodes=1)
    memory.lose("b@there", 0)
    memory.lose("c@there", 0)
    memory.keep("d@there")
    assert "c@there" not in memory
    assert "d@there" not in memory
    memory.lose("b@there", 30)
    assert memory.next_s() == 90
