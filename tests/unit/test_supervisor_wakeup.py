"""A wakeup pipe may be written to from anywhere, and never after its descriptor is another
file's.
"""

import os
import select
import signal
import threading

import pytest

from cluster_kit.supervisor.wakeup import WakeupPipe

DEADLINE_S = 10.0


def is_readable(pipe):
    return bool(select.select([pipe], [], [], 0)[0])


def test_waking_makes_it_readable_until_it_is_drained():
    pipe = WakeupPipe()
    pipe.wake()
    pipe.wake()
    assert is_readable(pipe)
    pipe.drain()
    assert not is_readable(pipe)
    pipe.close()


def test_waking_after_close_does_nothing():
    pipe = WakeupPipe()
    pipe.close()
    pipe.close()
    pipe.wake()
    assert pipe.fileno() == -1


def test_close_during_a_wake_is_left_to_the_waking_thread(monkeypatch):
    pipe, fd = WakeupPipe(), None
    write = os.write

    def interrupted(number, data):
        nonlocal fd
        fd = number
        closer = threading.Thread(target=pipe.close)
        closer.start()
        closer.join()  # it does not wait for us
        monkeypatch.undo()
        pipe.wake()  # as a signal handler would
        return write(number, data)  # still ours

    monkeypatch.setattr(os, "write", interrupted)
    pipe.wake()
    assert pipe.fileno() == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_waking_waits_for_no_other_thread_that_wakes(monkeypatch):
    """A signal handler in the middle of ``wake`` may wait for a thread that calls it as well."""
    pipe, write, others = WakeupPipe(), os.write, []

    def interrupted(number, data):
        monkeypatch.undo()
        other = threading.Thread(target=pipe.wake, daemon=True)
        other.start()
        other.join(DEADLINE_S)
        others.append(other)
        return write(number, data)

    monkeypatch.setattr(os, "write", interrupted)
    pipe.wake()
    assert not others[0].is_alive()
    pipe.close()
    assert pipe.fileno() == -1


def test_signal_handler_may_wake_while_others_do_until_the_end():
    pipe, over = WakeupPipe(), threading.Event()

    def wake():
        while not over.is_set():
            pipe.wake()

    signal.signal(signal.SIGUSR1, lambda *_: pipe.wake())
    threads = [threading.Thread(target=wake) for _ in range(2)]
    try:
        for each in threads:
            each.start()
        for number in range(2000):
            os.kill(os.getpid(), signal.SIGUSR1)
            pipe.wake()
            if number == 1000:
                pipe.close()
    finally:
        over.set()
        for each in threads:
            each.join()
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert pipe.fileno() == -1
