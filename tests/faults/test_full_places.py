"""Strangers fill all handshake slots: it costs a node with a secret little, and others get in."""

import contextlib
import selectors
import socket
import threading
import time

import pytest
from dialling import HOST, HUNG_UP_S, client_hello
from watched import FORMATION_S, Watched

from cluster_kit.node import split_address

pytestmark = [pytest.mark.once, pytest.mark.timeout(240)]

PLACES = 256  # for connections that aren't links yet, as docs/security.md has it

HELLO = client_hello()
WORDS = {
    "whole": HELLO,
    "cut off": HELLO[:-1],
    # the end is to come in another record
    "in part": HELLO[:3] + (len(HELLO) - 6).to_bytes(2) + HELLO[5:-1],
    "plain": b"\x00\x00\x00\x05\x95abcd",
    "long": b"\x16\x03\x01\x40\x00" + bytes(4091),
}


@pytest.fixture
def watched(caplog):
    with Watched(caplog) as watched:
        watched.form(1, 2)
        yield watched


class Crowd(threading.Thread):
    """Fills a node's handshake slots, sends one thing on each, and reads until all are closed."""

    def __init__(self, address, words):
        super().__init__()
        self._address = split_address(address)
        self._words = words
        self.taken = threading.Event()
        self.left = 0

    def run(self):
        with contextlib.ExitStack() as opened, selectors.DefaultSelector() as selector:
            for _ in range(PLACES):
                sock = opened.enter_context(
                    socket.create_connection(self._address, source_address=(HOST, 0))
                )
                selector.register(sock, selectors.EVENT_READ)
                sock.sendall(self._words)
            self.taken.set()
            self._hear(selector)
            self.left = len(selector.get_map())

    def _hear(self, selector):
        until_s = time.monotonic() + HUNG_UP_S
        while selector.get_map() and time.monotonic() < until_s:
            for key, _ in selector.select(1.0):
                with contextlib.suppress(ConnectionError):
                    if key.fileobj.recv(65536):
                        continue
                selector.unregister(key.fileobj)


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_all_places_for_handshakes_cost_little_memory(watched, words):
    watched.began()
    crowd = Crowd(watched.addresses()[watched.name(1)], words)
    crowd.start()
    try:
        assert crowd.taken.wait(HUNG_UP_S)
        watched.start(5).wait_for(2, timeout_s=FORMATION_S)
    finally:
        crowd.join()
    assert not crowd.left
    watched.unharmed(5)
