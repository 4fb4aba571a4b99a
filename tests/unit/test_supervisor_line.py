"""The supervisor's end of a worker's pipe: any thread sends, one waits for room, and none writes
to a closed pipe.
"""

import selectors
import socket
import threading

import pytest

from cluster_kit.pipe.channel import Parcel
from cluster_kit.pipe.messages import Beat
from cluster_kit.pipe.socket_channel import SocketChannel
from cluster_kit.supervisor.line import WorkerLine

PAYLOAD = b"x" * 60_000


class Ends:
    """A line, the selector that it is watched by, and the worker's end."""

    def __init__(self):
        ours, theirs = socket.socketpair()
        self.channel, self.worker = SocketChannel(ours), SocketChannel(theirs)
        self.selector = selectors.DefaultSelector()
        self.pended = threading.Semaphore(0)
        self.line = WorkerLine(
            self.channel, self.selector, ready=print, request_watch=self.pended.release
        )

    def close(self):
        self.line.hang_up()
        self.channel.close()
        self.worker.close()
        self.selector.close()

    def take(self, count):
        """Have the worker take so many messages, while what waits is sent as the supervising thread
        does it.
        """
        taken = []
        while len(taken) < count:
            if self.pended.acquire(blocking=False):
                self.line.watch()
            for _, mask in self.selector.select(0):
                assert self.line.receive(mask) == []
            if self.worker.wait(0.1):
                taken += self.worker.receive()
        return taken


@pytest.fixture
def ends():
    ends = Ends()
    yield ends
    ends.close()


def test_unsent_parcels_wait_and_wake_the_supervising_thread_once(ends):
    for number in range(20):
        ends.line.send_parcel(number, PAYLOAD)
    assert ends.channel.pending_bytes > 0
    assert ends.pended.acquire(blocking=False)
    assert not ends.pended.acquire(blocking=False)
    assert ends.selector.get_key(ends.channel).events == selectors.EVENT_READ
    ends.line.watch()
    assert (
        ends.selector.get_key(ends.channel).events == selectors.EVENT_READ | selectors.EVENT_WRITE
    )
    assert ends.take(20) == [Parcel(number, PAYLOAD) for number in range(20)]
    assert ends.selector.get_key(ends.channel).events == selectors.EVENT_READ
    assert ends.channel.pending_bytes == 0


def test_parcels_of_several_threads_and_messages_arrive_whole(ends):
    def send(link):
        for _ in range(200):
            ends.line.send_parcel(link, PAYLOAD[:1000])

    threads = [threading.Thread(target=send, args=(link,)) for link in range(4)]
    for each in threads:
        each.start()
    ends.line.send(Beat())
    taken = ends.take(801)
    for each in threads:
        each.join()
    assert sorted(each.link for each in taken if isinstance(each, Parcel)) == sorted(
        [*range(4)] * 200
    )
    assert {each.payload for each in taken if isinstance(each, Parcel)} == {PAYLOAD[:1000]}
    assert taken.count(Beat()) == 1


def test_nothing_is_sent_after_a_hang_up_or_to_a_dying_worker(ends):
    ends.worker.close()
    ends.line.send_parcel(1, PAYLOAD)
    ends.line.send(Beat())
    ends.line.hang_up()
    ends.channel.close()
    ends.line.send_parcel(1, PAYLOAD)
    ends.line.send(Beat())
    assert not ends.selector.get_map()
