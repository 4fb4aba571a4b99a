"""The bytes of a pipe stay whole and in order, whatever interrupts the writing."""

import dis
import socket
import sys
import threading
from contextlib import ExitStack, closing
from functools import cache, partial

import pytest

from cluster_kit.pipe import writer
from cluster_kit.pipe.writer import PipeWriter

DEADLINE_S = 30.0


class InterruptedHere(BaseException):
    """What a signal handler may raise."""


class Narrow:
    """A socket that takes a few bytes at a time, and sometimes none."""

    def __init__(self, *, most=7):
        self.taken = bytearray()
        self._most = most
        self._calls = 0

    def send(self, data):
        return self.sendmsg([data])

    def sendmsg(self, buffers):
        self._calls += 1
        if self._calls % 3 == 0:
            raise BlockingIOError
        data = b"".join(buffers)[: self._most]
        self.taken += data
        return len(data)


def fill(out):
    """Add pieces of all lengths, and return what they come to."""
    pieces = [
        (b"head", b"payload of a parcel"),
        (b"",),
        (b"a",),
        (b"bc",),
        (b"message",),
        (b"longer than one call takes",),
    ]
    for piece in pieces:
        out.add(*piece)
    return b"".join(b"".join(piece) for piece in pieces)


def write_all(out):
    while not out.write():
        pass


@pytest.mark.parametrize("most", [1, 3, 7, 1000])
def test_pieces_go_out_in_order_however_few_bytes_are_taken(most):
    narrow = Narrow(most=most)
    out = PipeWriter(narrow)
    expected = fill(out)
    assert out.pending_bytes == len(expected)
    while not out.write():
        assert out.pending_bytes == len(expected) - len(narrow.taken) > 0
    assert narrow.taken == expected
    assert out.pending_bytes == 0


@cache
def operations(code):
    return {each.offset: each.opname for each in dis.get_instructions(code)}


class Tracer:
    """Acts at one of the points in the module under test where the interpreter runs signal
    handlers.

    These are behind calls and jumps back and at the start of functions. The code around a lock
    relies on there being no others.
    """

    def __init__(self, number, act):
        self.left = number
        self._act = act
        self._last = {}

    def __call__(self, frame, event, _):
        code = frame.f_code
        if code.co_filename != writer.__file__ or code.co_name in ("add", "__init__", "<genexpr>"):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            last, self._last[frame] = self._last.get(frame, ""), operations(code)[frame.f_lasti]
            if last.startswith(("CALL", "RESUME", "JUMP_BACKWARD", "POP_JUMP_BACKWARD")):
                self.left -= 1
                if self.left == 0:
                    self._act()
        return self


def traced(work, number, act):
    """Run ``work`` and return whether it came as far as that operation."""
    before = sys.gettrace()
    tracer = Tracer(number, act)
    sys.settrace(tracer)
    try:
        work()
    finally:
        sys.settrace(before)
    return tracer.left <= 0


def interrupt():
    raise InterruptedHere


@pytest.mark.parametrize("most", [3, 1000])
def test_an_exception_at_any_point_of_the_writing_loses_and_repeats_nothing(most):
    number, done = 0, False
    while not done:
        number += 1
        narrow = Narrow(most=most)
        out = PipeWriter(narrow)
        expected = fill(out)
        try:
            done = not traced(partial(write_all, out), number, interrupt)
        except InterruptedHere:
            write_all(out)
        assert narrow.taken == expected, number
        assert out.pending_bytes == 0
    assert number > 50


def test_sender_that_interrupts_a_writer_does_not_wait_and_comes_behind():
    number, done = 0, False
    while not done:
        number += 1
        narrow = Narrow()
        out = PipeWriter(narrow)
        expected = fill(out)

        def send(out=out):
            out.add(b"interruption")
            out.write()

        done = not traced(partial(write_all, out), number, send)
        write_all(out)
        assert narrow.taken in (expected, expected + b"interruption"), number
        assert done or narrow.taken == expected + b"interruption", number
        assert out.pending_bytes == 0
    assert number > 50


class Slow(Narrow):
    """A socket whose sending takes until the test lets it go on."""

    def __init__(self):
        super().__init__(most=1000)
        self.is_sending, self.may_go_on = threading.Event(), threading.Event()
        self.closed_after = None

    def sendmsg(self, buffers):
        self.is_sending.set()
        assert self.may_go_on.wait(DEADLINE_S)
        return super().sendmsg(buffers)

    def close(self):
        self.closed_after = bytes(self.taken)


def test_socket_is_not_closed_while_another_thread_writes():
    slow = Slow()
    out = PipeWriter(slow, close_s=DEADLINE_S)
    out.add(b"parcel")
    writing, closing = (threading.Thread(target=each) for each in (out.write, out.close))
    writing.start()
    assert slow.is_sending.wait(DEADLINE_S)
    closing.start()
    out.add(b"left")
    assert not out.write()  # who adds something meanwhile waits for nobody
    slow.may_go_on.set()
    writing.join(DEADLINE_S)
    closing.join(DEADLINE_S)
    assert slow.closed_after.startswith(b"parcel")


def test_each_write_to_a_gone_peer_fails():
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(closing(end)) for end in socket.socketpair())
        ours.setblocking(False)
        out = PipeWriter(ours)
        theirs.close()
        out.add(b"anybody there?")
        for _ in range(2):
            with pytest.raises(OSError):
                out.write()
