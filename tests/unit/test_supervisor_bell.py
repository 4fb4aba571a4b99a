"""A bell is rung from anywhere, also by a signal handler, and never after its descriptor is somebody else's."""

import os
import select
import signal
import threading

import pytest

from cluster_kit.supervisor.bell import Bell

DEADLINE_S = 10.0


def rings(bell):
    return bool(select.select([bell], [], [], 0)[0])


def test_ringing_wakes_until_it_was_heard():
    bell = Bell()
    bell.ring()
    bell.ring()
    assert rings(bell)
    bell.heard()
    assert not rings(bell)
    bell.close()


def test_closed_bell_is_silent():
    bell = Bell()
    bell.close()
    bell.close()
    bell.ring()
    assert bell.fileno() == -1


def test_closing_amid_the_ringing_is_left_to_the_ringer(monkeypatch):
    bell, fd = Bell(), None
    write = os.write

    def interrupted(number, data):
        nonlocal fd
        fd = number
        closer = threading.Thread(target=bell.close)
        closer.start()
        closer.join()  # it does not wait for us
        monkeypatch.undo()
        bell.ring()  # as a signal handler would
        return write(number, data)  # still ours

    monkeypatch.setattr(os, "write", interrupted)
    bell.ring()
    assert bell.fileno() == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_ringing_waits_for_no_other_ringer(monkeypatch):
    """A signal handler amid the ringing may wait for a thread that rings as well."""
    bell, write, others = Bell(), os.write, []

    def interrupted(number, data):
        monkeypatch.undo()
        other = threading.Thread(target=bell.ring, daemon=True)
        other.start()
        other.join(DEADLINE_S)
        others.append(other)
        return write(number, data)

    monkeypatch.setattr(os, "write", interrupted)
    bell.ring()
    assert not others[0].is_alive()
    bell.close()
    assert bell.fileno() == -1


def test_signal_handler_may_ring_while_others_do_until_the_end():
    bell, over = Bell(), threading.Event()

    def ring():
        while not over.is_set():
            bell.ring()

    signal.signal(signal.SIGUSR1, lambda *_: bell.ring())
    threads = [threading.Thread(target=ring) for _ in range(2)]
    try:
        for each in threads:
            each.start()
        for number in range(2000):
            os.kill(os.getpid(), signal.SIGUSR1)
            bell.ring()
            if number == 1000:
                bell.close()
    finally:
        over.set()
        for each in threads:
            each.join()
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert bell.fileno() == -1
