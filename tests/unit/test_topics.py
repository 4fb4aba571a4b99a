"""Topics of applications joined in memory: messages arrive in order or are reported as lost, and
no caller waits in vain.
"""

import threading

import pytest
from joined_boards import Application, listening
from waiting import until

from cluster_kit.errors import NotLinkedError, NotSentError
from cluster_kit.node import BootId
from cluster_kit.pipe.channel import Parcel
from cluster_kit.pipe.messages import Forwarded
from cluster_kit.supervisor.topics.items import Gap, Message


def read(subscription, count):
    return [subscription.get(10) for _ in range(count)]


def lost(items):
    return [item.lost if isinstance(item, Gap) else item.data for item in items]


def test_published_messages_arrive_in_order(ann, bob):
    heard = bob.topic("cache").subscribe()
    ann.link(bob)
    cache = ann.topic("cache")
    assert [cache.publish({"user": number}) for number in range(1000)] == [1] * 1000
    assert read(heard, 1000) == [
        Message(sender=ann.node, data={"user": number}, topic="cache") for number in range(1000)
    ]


def test_publish_reaches_only_subscribers_of_the_topic(ann, bob):
    heard = bob.topic("cache").subscribe()
    ann.link(bob)
    assert ann.topic("else").publish(1) == 0
    assert ann.topic("cache").publish(2) == 1
    assert heard.get(10).data == 2


def test_message_published_as_soon_as_the_link_is_up_arrives(ann, bob):
    heard = bob.topic("cache").subscribe()
    ann.link(bob)
    assert ann.topic("cache").publish("first") == 1
    assert heard.get(10).data == "first"


def test_topic_subscribed_after_linking_is_advertised_over_the_link(ann, bob):
    ann.link(bob)
    cache = ann.topic("cache")
    assert cache.nodes() == ()
    with bob.topic("cache").subscribe() as heard:
        listening(cache, bob)
        cache.publish(1)
        assert heard.get(10).data == 1
    listening(cache)


def test_topic_missing_from_the_handshake_is_advertised_over_the_link(ann, bob):
    bob.greets = False
    heard = bob.topic("cache").subscribe()
    ann.link(bob)  # without the topic in its greeting
    cache = ann.topic("cache")
    listening(cache, bob)
    bob.greet()
    cache.publish(1)
    assert heard.get(10).data == 1


def test_interest_received_before_the_first_topic_is_made_is_kept(ann, bob):
    ann.link(bob)
    heard = bob.topic("cache").subscribe()
    bob.settle()
    ann.settle()
    assert ann.topic("cache").publish(1) == 1
    assert heard.get(10).data == 1


def test_each_subscription_receives_every_message(ann, bob):
    one, other = bob.topic("cache").subscribe(), bob.topic("cache").subscribe()
    ann.link(bob)
    ann.topic("cache").publish(1)
    assert [one.get(10).data, other.get(10).data] == [1, 1]


def test_worker_is_notified_once_of_many_changes_in_a_row():
    bob = Application("bob")  # its supervising thread has not started yet
    subscriptions = [bob.topic(f"topic{number}").subscribe() for number in range(100)]
    assert bob.asked_to_greet == 1
    greeting = bob.board.next_greeting()
    assert b"topic99" in greeting
    subscriptions[0].close()
    assert bob.asked_to_greet == 2
    assert bob.board.next_greeting() != greeting


# -- sending to one node ---------------------------------------------------------------------------


def test_send_reaches_a_node_by_name_or_one_run_of_it(ann, bob):
    heard = bob.topic("cache").subscribe()
    ann.link(bob)
    cache = ann.topic("cache")
    cache.send("bob@h", 1)
    cache.send(bob.node, 2)
    cache.send(bob.node.evolve(boot_id=None), 3)
    assert [item.data for item in read(heard, 3)] == [1, 2, 3]
    with pytest.raises(NotLinkedError):
        cache.send(bob.node.evolve(boot_id=BootId(2, 1)), 4)
    with pytest.raises(NotLinkedError):
        cache.send("eve@h", 5)


def test_send_waits_for_room_until_its_timeout(ann, bob):
    heard = bob.topic("cache").subscribe(max_messages=1)
    ann.link(bob)
    cache = ann.topic("cache")
    cache.send("bob@h", 1)
    with pytest.raises(
        NotSentError,
        match=r"bob@h had no room in topic 'cache' for 0.05 s, .*: make it read faster",
    ):
        cache.send("bob@h", 2, timeout_s=0.05)
    sender = threading.Thread(target=cache.send, args=("bob@h", 3))
    sender.start()
    assert heard.get(10).data == 1
    sender.join(10)
    assert not sender.is_alive()
    assert heard.get(10).data == 3


def test_send_waiting_for_the_link_resumes_as_soon_as_there_is_room(ann, bob):
    bob.topic("cache").subscribe(max_bytes=1 << 30)
    ann.link(bob)
    ann.settle()
    ann.forwards = bob.forwards = False
    cache = ann.topic("cache")
    while cache.publish(bytes(1_000_000)):
        pass
    sender = threading.Thread(
        target=cache.send, args=("bob@h", bytes(500_000)), kwargs={"timeout_s": 30}
    )
    sender.start()
    until(lambda: ann.board._tickets, "it waits")
    for _ in range(8):
        ann.forward()
        ann.settle()
    sender.join(0.5)
    assert not sender.is_alive()


@pytest.mark.parametrize(
    ("to", "data", "timeout_s"),
    [(7, 1, 1), ("b@h", {1, 2}, 1), ("b@h", 1, "soon"), ("b@h", 1, None)],
)
def test_send_rejects_arguments_of_the_wrong_type(ann, to, data, timeout_s):
    with pytest.raises(TypeError, match=r"^send: "):
        ann.topic("cache").send(to, data, timeout_s=timeout_s)


def test_error_gives_the_path_of_unsuitable_data(ann):
    with pytest.raises(TypeError, match=r"^publish: data\['user'\]\[1\]"):
        ann.topic("cache").publish({"user": [1, object()]})


def test_message_over_the_size_limit_is_refused(ann, bob):
    bob.topic("cache").subscribe()
    ann.board.limit(1000)
    ann.link(bob)
    assert ann.topic("cache").publish("x" * 900) == 1
    with pytest.raises(ValueError, match="1000"):
        ann.topic("cache").publish("x" * 1001)


# -- losses ----------------------------------------------------------------------------------------


def test_messages_lost_to_a_full_queue_show_as_a_gap_in_order(ann, bob):
    heard = bob.topic("cache").subscribe(max_messages=10)
    ann.link(bob)
    cache = ann.topic("cache")
    handed_over = sum(cache.publish(number) for number in range(100))
    bob.settle()
    items = read(heard, handed_over)
    assert [item.data for item in items] == list(range(handed_over))
    until(lambda: cache.publish("after"), "there is room again")
    items = read(heard, 2)
    assert items[0] == Gap(sender=ann.node, lost=items[0].lost, topic="cache")
    assert items[0].lost >= 100 - handed_over
    assert items[1].data == "after"


def test_senders_sharing_a_queue_each_get_their_own_gap(bob):
    senders = [Application(f"sender{number}").start() for number in range(3)]
    heard = bob.topic("cache").subscribe(max_messages=10)
    for sender in senders:
        sender.link(bob)
        assert sum(sender.topic("cache").publish(number) for number in range(10)) == 10
        sender.settle()
        bob.settle()
    assert heard.queued == 12
    items = read(heard, 12)
    assert [item.sender for item in items] == [senders[0].node] * 10 + [
        senders[1].node,
        senders[2].node,
    ]
    assert lost(items) == [*range(10), 10, 10]
    for sender in senders:
        sender.stop()


def test_queue_is_bounded_in_bytes_too(ann, bob):
    heard = bob.topic("cache").subscribe(max_bytes=1000)
    carl = Application("carl").start()
    for sender in (ann, carl):
        sender.link(bob)
        assert sum(sender.topic("cache").publish("x" * 200) for _ in range(4)) == 4
        sender.settle()
        bob.settle()
    assert [type(item) for item in read(heard, 5)] == [Message] * 4 + [Gap]
    carl.stop()


def test_slow_subscription_loses_only_its_own_messages(ann, bob):
    slow, fast = (
        bob.topic("cache").subscribe(max_messages=5),
        bob.topic("cache").subscribe(max_messages=100),
    )
    ann.link(bob)
    for number in range(50):
        assert ann.topic("cache").publish(number) == 1
        assert fast.get(10).data == number
    assert lost(read(slow, 6)) == [0, 1, 2, 3, 4, 45]


def test_broken_link_loses_a_counted_number_and_repeats_nothing(ann, bob):
    heard = bob.topic("cache").subscribe()
    cache = ann.topic("cache")
    here, _ = ann.link(bob)
    cache.publish(1)
    assert heard.get(10).data == 1
    ann.forwards = False
    assert [cache.publish(number) for number in (2, 3, 4)] == [1, 1, 1]
    ann.held.clear()
    ann.cut(here)
    ann.forwards = True
    ann.link(bob)
    cache.publish(5)
    assert lost(read(heard, 2)) == [3, 5]


def test_replaced_worker_loses_only_what_it_held_and_repeats_nothing(ann, bob):
    heard = bob.topic("cache").subscribe()
    cache = ann.topic("cache")
    here, _ = ann.link(bob)
    cache.publish(1)
    assert heard.get(10).data == 1
    ann.forwards = False
    cache.publish(2)
    ann.held.clear()
    ann.order(ann.board.detach, 1.0)
    ann.cut(here)
    assert cache.nodes() == ()
    ann.forwards = True
    ann.order(ann.board.attach, ann, lambda: None)
    ann.link(bob)
    cache.publish(3)
    assert lost(read(heard, 2)) == [1, 3]


def test_new_run_of_the_sender_leaves_a_gap_of_unknown_size(ann, bob):
    heard = bob.topic("cache").subscribe()
    here, _ = ann.link(bob)
    ann.topic("cache").publish(1)
    assert heard.get(10).data == 1
    ann.cut(here)
    again = Application("ann", boot=2).start()
    again.link(bob)
    again.topic("cache").publish(2)
    items = read(heard, 2)
    assert lost(items) == [None, 2]
    assert [item.sender for item in items] == [ann.node, again.node]
    again.stop()


def test_sender_that_stays_away_leaves_a_gap_of_unknown_size(ann, bob):
    heard = bob.topic("cache").subscribe()
    here, _ = ann.link(bob)
    ann.topic("cache").publish(1)
    assert heard.get(10).data == 1
    ann.cut(here)
    bob.order(bob.board.tick, 5.0)
    bob.settle()
    assert heard.queued == 0
    bob.order(bob.board.tick, 60.0)
    assert heard.get(10) == Gap(sender=ann.node, lost=None, topic="cache")


def test_leaving_node_delivers_everything_first_and_leaves_no_gap(ann, bob):
    heard = bob.topic("cache").subscribe()
    here, _ = ann.link(bob)
    ann.forwards = False
    for number in range(2000):
        assert ann.topic("cache").publish(number) == 1
    ann.order(ann.board.leave, 1.0)
    ann.settle()
    ann.forward()
    assert [item.data for item in read(heard, 2000)] == list(range(2000))
    bob.settle()
    ann.cut(here)
    bob.order(bob.board.tick, 60.0)
    bob.settle()
    assert heard.queued == 0


def test_unreadable_payload_costs_only_its_own_link(ann, bob):
    heard = bob.topic("cache").subscribe()
    _, there = ann.link(bob)
    carl = Application("carl").start()
    carl.link(bob)
    bob.hear(Parcel(there, b"\xc1garbage"))
    carl.topic("cache").publish(1)
    assert heard.get(10).data == 1
    assert len(bob.warnings) == 1
    assert "no messages from ann@h" in bob.warnings[0]
    assert bob.topic("cache").publish(1) == 0
    carl.stop()


# -- parcels held by the worker --------------------------------------------------------------------


def test_worker_holds_four_parcels_and_small_messages_share_the_next(ann, bob):
    heard = bob.topic("cache").subscribe()
    here, _ = ann.link(bob)
    ann.forwards, ann.parcels = False, 0
    cache = ann.topic("cache")
    for number in range(1000):
        assert cache.publish(number) == 1
    assert ann.parcels == 4
    ann.forward()
    ann.settle()
    assert 4 < ann.parcels <= 8
    ann.forwards = True
    ann.forward()
    assert [item.data for item in read(heard, 1000)] == list(range(1000))
    assert here


def test_late_reports_about_a_lost_link_are_ignored(ann, bob):
    here, _ = ann.link(bob)
    ann.cut(here)
    ann.hear(Forwarded(here, 1))
    ann.hear(Parcel(here, b"late"))
    ann.settle()
    assert ann.warnings == []
