"""Up means reachable: messages from and to a node that has just joined arrive.

``tox -e attacks`` has fifty nodes join.
"""

import pytest
from talking import Talk
from watched import FULL

pytestmark = [pytest.mark.once, pytest.mark.timeout(600 if FULL else 120)]

JOINS = 50 if FULL else 4


def test_node_that_has_just_joined_can_send_and_receive():
    with Talk() as talk:
        ann = talk.make("ann")
        ann.do("subscribe", topic="hello")
        ann.do("greet", topic="hello")
        ann.start()
        for number in range(JOINS):
            bob = talk.make(f"bob{number}")
            bob.do("subscribe", topic="hello")
            bob.do("greet", topic="hello")
            bob.start(2)
            assert bob.do("publish", topic="hello", data="after the wait") == 1
            heard = ann.do("read", topic="hello", count=2, of=bob.name)
            on_the_link = f"on the link to {ann.name}"
            assert sorted(heard) == [["message", "after the wait"], ["message", on_the_link]]
            assert bob.do("read", topic="hello", count=1) == [
                ["message", f"on the link to {bob.name}"]
            ]
            bob.do("stop")
            del talk.talkers[f"bob{number}"]
            bob.end()
