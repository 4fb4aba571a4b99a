"""A pipe between processes, written to by threads and by signal handlers that interrupt them."""

import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from cluster_kit.pipe import socket_channel, writer
from cluster_kit.pipe.socket_channel import SocketChannel

WRITING = (writer.__file__, socket_channel.__file__)
DEADLINE_S = 30.0
INTERRUPTIONS = 50
SIZES = (0, 10, 3_000, 5_000, 60_000)
HIGH_BYTES = 500_000

READER = """
import json, sys
from cluster_kit.pipe.socket_channel import SocketChannel

channel = SocketChannel.from_fd(int(sys.argv[1]))
heard = {}
try:
    while True:
        channel.wait()
        for link, payload, _ in channel.receive():
            head, rest = payload[:8], payload[8:]
            assert rest == head[-1:] * len(rest), "torn"
            heard.setdefault(link, []).append(int.from_bytes(head, "big"))
except EOFError as exc:
    print(json.dumps({"fault": exc.args, "heard": heard}))
"""


class InterruptedHereError(Exception):
    """What a signal handler raises."""


def payload(number):
    head = number.to_bytes(8, "big")
    return head + head[-1:] * random.choice(SIZES)


@pytest.fixture
def writer():
    """Return one end of a pipe; the other process reports what it received once it is closed."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-c", READER, str(theirs.fileno())]
        reader = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE, text=True
        )
    channel = SocketChannel(ours)

    def close():
        channel.drain(DEADLINE_S)
        channel.close()
        told, _ = reader.communicate(timeout=DEADLINE_S)
        return json.loads(told)

    yield channel, close
    channel.close()
    reader.kill()
    reader.wait()


class Writing:
    """Everybody who writes to one channel at the same time, each as a link of its own."""

    def __init__(self, channel):
        self.sent = {}
        self.tries = self.interruptions = 0
        self._channel = channel
        self._until_s = time.monotonic() + DEADLINE_S
        self._is_handling = False

    @property
    def is_over(self):
        return self.interruptions == INTERRUPTIONS or time.monotonic() > self._until_s

    def send_as(self, link):
        number = 0
        while not self.is_over:
            self._send(link, number)
            number += 1
            self.sent[link] = number

    def send_though_interrupted(self):
        while not self.is_over:
            self.tries += 1
            try:
                self._send(3, self.tries)
            except InterruptedHereError:
                self.interruptions += 1

    def _send(self, link, number):
        self._channel.send_parcel(link, payload(number))
        while self._channel.pending_bytes > HIGH_BYTES:
            self._channel.flush()

    def interrupt(self, _, frame):
        if self._is_handling:
            return
        self._is_handling = True
        number = self.sent.get(2, 0)
        self._channel.send_parcel(2, payload(number))
        self.sent[2] = number + 1
        self._is_handling = False
        if number % 2 and frame.f_code.co_filename in WRITING:
            raise InterruptedHereError


def test_every_message_arrives_whole_and_in_order_whatever_interrupts_the_writing(writer):
    channel, close = writer
    writing = Writing(channel)
    threads = [threading.Thread(target=writing.send_as, args=(link,)) for link in (0, 1)]
    for each in threads:
        each.start()
    previous = signal.signal(signal.SIGVTALRM, writing.interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005, 0.0005)
    try:
        writing.send_though_interrupted()
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)
        for each in threads:
            each.join()
    told = close()
    assert told["fault"] == []
    for link in (0, 1, 2):
        assert told["heard"][str(link)] == list(range(writing.sent[link]))
    ours = told["heard"]["3"]
    assert ours == sorted(set(ours))
    assert writing.tries - INTERRUPTIONS <= len(ours) <= writing.tries
    assert writing.interruptions == INTERRUPTIONS
