"""pyzmq: ROUTER and DEALER over TCP, not encrypted."""

# ruff: noqa: D102 - ``Driver`` documents them
from __future__ import annotations

import zmq

from messaging.ends import Counter, Driver

ASK, TELL = b"a", b"t"


def serve(port: int, secret: str) -> None:
    """Serve until killed."""
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.bind(f"tcp://127.0.0.1:{port}")
    print("ready", flush=True)
    counter = Counter()
    while True:
        sender, kind, data = socket.recv_multipart()
        if kind == ASK:
            socket.send_multipart([sender, counter.answer(data)])
        else:
            counter.add()


class ZeroMqDriver(Driver):
    """A DEALER."""

    def __init__(self, port: int, secret: str) -> None:
        self._socket = zmq.Context().socket(zmq.DEALER)
        self._socket.connect(f"tcp://127.0.0.1:{port}")

    def ask(self, data: bytes) -> bytes:
        self._socket.send_multipart([ASK, data])
        return bytes(self._socket.recv())

    def tell(self, data: bytes) -> None:
        self._socket.send_multipart([TELL, data])


DRIVER = ZeroMqDriver
