from math import inf

import pytest

from cluster_kit.membership.command_queue import CommandQueue
from cluster_kit.membership.peer import Peers

PATIENCE_S = 2.0


class Commands:
    """A queue whose peers go by their keys."""

    def __init__(self, *keys, width=2, patience_s=PATIENCE_S, now_s=0.0):
        self.peers = Peers()
        self.commands = CommandQueue(self.peers, width, patience_s)
        self.next_s = self.commands.next_s
        for key in keys:
            self.queue(key, now_s)

    def queue(self, key, at_s):
        self.commands.queue(self.peers[key], at_s)

    def unqueue(self, key):
        self.commands.unqueue(self.peers[key])

    def dismiss(self, key, since_s):
        self.commands.dismiss(self.peers[key], since_s)

    def end(self, key):
        return self.commands.end(self.peers[key])

    def start(self, now_s):
        return [peer.key for peer in self.commands.start(now_s)]

    def evict(self, now_s):
        return [peer.key for peer in self.commands.evict(now_s)]


def test_longest_due_starts_first_as_far_as_there_is_room():
    commands = Commands("b", "c", now_s=1)
    commands.queue("z", 0)
    assert commands.start(1) == ["z", "b"]
    assert commands.start(1) == []
    assert commands.end("b") == 1
    assert commands.start(1) == ["c"]


def test_no_command_makes_way_before_its_time_or_without_need():
    commands = Commands("a", "b")
    commands.start(0)
    assert commands.next_s() is None
    assert commands.evict(100) == []
    commands.queue("c", 1)
    assert commands.start(1) == []
    assert commands.next_s() == PATIENCE_S
    assert commands.evict(PATIENCE_S - 0.1) == []
    assert commands.evict(PATIENCE_S) == ["a"]


def test_each_makes_way_for_one_and_only_once():
    commands = Commands("a", "b", "c")
    commands.start(0)
    assert commands.evict(PATIENCE_S) == ["a"]
    assert commands.evict(PATIENCE_S) == []
    assert commands.next_s() is None
    assert commands.end("a") == 0
    assert commands.start(PATIENCE_S) == ["c"]
    assert commands.evict(100) == []


def test_none_is_left_to_make_way_for_one_that_is_due_later():
    commands = Commands("a", "b", width=1)
    commands.start(0)
    assert commands.evict(PATIENCE_S) == ["a"]
    commands.queue("c", 10)
    assert commands.next_s() is None


def test_command_that_replaced_another_makes_way_in_turn():
    commands = Commands("a", "b", "c", width=1)
    commands.start(0)
    assert commands.evict(PATIENCE_S) == ["a"]
    commands.end("a")
    assert commands.start(PATIENCE_S) == ["b"]
    assert commands.next_s() == 2 * PATIENCE_S
    assert commands.evict(2 * PATIENCE_S) == ["b"]


def test_next_time_is_when_one_that_is_due_later_may_need_room():
    commands = Commands("a", "b")
    commands.start(0)
    commands.queue("c", 10)
    assert commands.next_s() == 10
    commands.start(10)
    assert commands.evict(10) == ["a"]


def test_without_patience_no_command_ever_makes_way():
    commands = Commands("a", "b", width=1, patience_s=inf)
    commands.start(0)
    assert commands.evict(1e9) == []
    assert commands.next_s() is None


def test_waiting_command_can_be_withdrawn_or_postponed():
    commands = Commands("a", "b", "c", "d")
    commands.start(0)
    commands.unqueue("c")
    commands.queue("d", 5)
    commands.end("a")
    assert commands.start(1) == []
    assert commands.next_s() == 5


def test_dismissed_command_makes_way_though_none_waits():
    commands = Commands("a")
    commands.start(1)
    commands.dismiss("a", since_s=0)
    assert commands.evict(1) == []
    commands.dismiss("a", since_s=1)
    assert commands.evict(1) == ["a"]
    commands.dismiss("a", since_s=1)
    assert commands.evict(1) == []


@pytest.mark.parametrize(("waiting", "evicted"), [("c", "a"), ("cd", "ab")])
def test_dismissed_command_makes_way_for_one_waiting_command(waiting, evicted):
    commands = Commands("a", "b", *waiting)
    commands.start(0)
    commands.dismiss("a", since_s=0)
    assert commands.evict(PATIENCE_S) == [*evicted]
