"""A message of 64 MiB barely delays small ones; one above the limit is refused."""

import pytest
from talking import Talk
from waiting import until
from watched import FULL

pytestmark = [pytest.mark.once, pytest.mark.timeout(600 if FULL else 120)]

MIB = 1 << 20
SIZE = 64 * MIB
LIMIT = 65 * MIB
BOUND_S = 2.0  # ``benchmarks/messages.py`` measures; this one runs beside other tests


@pytest.fixture
def talk():
    with Talk() as talk:
        ann, bob = (talk.make(name, max_message_bytes=LIMIT) for name in ("ann", "bob"))
        ann.do("subscribe", topic="large", max_bytes=2 * LIMIT)
        ann.do("time_delays", topic="small")
        talk.start(ann, bob)
        yield talk


def test_large_message_delays_no_small_one_and_arrives_whole(talk):
    ann, bob = talk.talkers.values()
    was_linked = ann.do("events")
    bob.do("speak_small", topic="small")
    sent = bob.do("send_large", to=ann.name, topic="large", size=SIZE)
    assert ann.do("read_digest", topic="large") == sent
    delays = ann.do("delays", count=bob.do("end_small"))
    print(f"\n{len(delays)} small ones beside it, the latest after {max(delays) * 1000:.0f} ms")
    assert len(delays) > 5
    assert max(delays) < BOUND_S
    assert max(ann.do("round_trips")) < BOUND_S
    assert ann.do("events") == was_linked


def test_message_that_is_too_long_is_refused_with_both_sizes(talk):
    _, bob = talk.talkers.values()
    refused = bob.do("send_bytes", to="ann@127.0.0.1", topic="large", size=LIMIT)
    assert refused["error"] == "ValueError"
    assert f"message of {LIMIT + 5} bytes: at most {LIMIT} allowed" in refused["text"]


def test_message_that_is_too_long_for_the_other_end_is_refused_with_both_sizes(talk):
    _, bob = talk.talkers.values()
    eve = talk.make("eve", max_message_bytes=1000)
    eve.do("subscribe", topic="small")
    eve.start(3)
    until(lambda: "eve@127.0.0.1" in bob.do("nodes", topic="small"), "it listens")
    refused = bob.do("send_bytes", to="eve@127.0.0.1", topic="small", size=2000)
    assert refused["error"] == "NotSentError"
    assert "message of 2003 bytes: eve@127.0.0.1 takes at most 1000" in refused["text"]
    assert bob.do("publish", topic="small", data="x" * 2000) == 1
    assert bob.do("publish", topic="small", data="short") == 2
    assert eve.do("read", topic="small", count=2) == [["gap", 1], ["message", "short"]]
