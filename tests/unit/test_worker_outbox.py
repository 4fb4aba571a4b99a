"""A message that can't be sent takes nothing else with it."""

import logging

import pytest
from worker_pipe import pipe

from cluster_kit import Node, NodeDown, NodeFound, NodeLost, NodeUp, NodeUpdated, TopologyEvent
from cluster_kit.events import Reason
from cluster_kit.pipe.messages import Happened, Logged, Reply, View
from cluster_kit.worker.host_process import ChannelHandler
from cluster_kit.worker.outbox import MAX_PENDING_BYTES, Outbox

ANN, BOB, EVE = Node("ann@host", "host:1"), Node("bob@host", "host:2"), Node("eve@host", "host:3")


class Loop:
    """Runs nothing before it is told to."""

    def __init__(self):
        self.due = []

    def time(self):
        return 0.0

    def call_soon(self, callback):
        self.due.append(callback)

    def run(self):
        while self.due:
            self.due.pop(0)()


class Unpicklable:
    def __reduce__(self):
        raise KeyboardInterrupt


@pytest.fixture
def ends():
    with pipe() as pair:
        yield pair


def test_events_that_cannot_be_sent_are_replaced_by_a_view(ends):
    ours, theirs = ends
    loop = Loop()
    outbox = Outbox(ours, loop, known=(ANN,))
    outbox.publish(
        (
            NodeUp(topology="lan", node=ANN),
            TopologyEvent(topology="lan", kind="x", data=Unpicklable()),
        )
    )
    loop.run()
    outbox.publish((NodeUp(topology="lan", node=ANN),))
    [logged, view, happened] = theirs.receive()
    assert "Happened cannot be sent to the application: KeyboardInterrupt" in logged.text
    assert view == View(known=(ANN,), up=(ANN,))
    assert isinstance(happened, Happened)


class Clogged:
    """A channel whose other end has taken nothing for long."""

    def __init__(self):
        self.pending_bytes = MAX_PENDING_BYTES + 1
        self.sent = []

    def send(self, message):
        self.sent.append(message)


def test_unread_events_add_up_to_one_view():
    channel = Clogged()
    outbox = Outbox(channel, Loop(), known=(ANN, BOB))
    tagged = ANN.evolve(metadata={"zone": "a"})
    outbox.publish((NodeUp(topology="lan", node=ANN), NodeUpdated(topology="lan", node=tagged)))
    outbox.publish(
        (
            NodeLost(topology="lan", node=BOB, reason=Reason.GONE),
            NodeFound(topology="lan", node=EVE),
        )
    )
    outbox.publish(
        (NodeUp(topology="lan", node=EVE), NodeDown(topology="lan", node=EVE, reason=Reason.CLOSED))
    )
    assert channel.sent == []
    for _ in range(2):
        outbox.catch_up()
    assert channel.sent == [View(known=(tagged, EVE), up=(tagged,))]


def record(name, level, message, *args):
    return logging.LogRecord(name, level, __file__, 1, message, args, None)


class Mute:
    def __str__(self):
        raise KeyboardInterrupt


class Name(str):
    __slots__ = ()


def test_reply_that_cannot_be_sent_is_an_error_of_the_call(ends):
    ours, theirs = ends
    Outbox(ours, Loop()).send(Reply(id=7, value=Unpicklable()))
    [_, reply] = theirs.receive()
    assert reply.id == 7
    assert "cannot be sent" in str(reply.error)


def test_repeated_failure_to_send_is_logged_once(ends):
    ours, theirs = ends
    outbox = Outbox(ours, Loop())
    for number in range(10):
        outbox.send(Reply(id=number, value=Unpicklable()))
    told = [message for message in theirs.receive() if isinstance(message, Logged)]
    assert len(told) == 1


def test_log_record_that_cannot_be_formatted_says_where_it_is_from():
    sent = []
    ChannelHandler(sent.append).emit(record("x", logging.ERROR, "it says %s", Mute()))
    [logged] = sent
    assert "test_worker_outbox.py:1 cannot be formatted: KeyboardInterrupt" in logged.text


def test_log_record_carries_nothing_of_a_plugins_classes():
    sent = []
    ChannelHandler(sent.append).emit(record(Name("x"), logging.ERROR, Name("text")))
    assert sent == [Logged("x", logging.ERROR, "text")]
    assert type(sent[0].logger) is type(sent[0].text) is str
