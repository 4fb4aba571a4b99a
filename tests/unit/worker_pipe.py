"""The pipe between supervisor and worker, with both ends in one process."""

import socket
from contextlib import contextmanager

from cluster_kit.pipe.socket_channel import SocketChannel


@contextmanager
def pipe():
    """Yield two channels that hear each other, and close them."""
    pair = tuple(map(SocketChannel, socket.socketpair()))
    try:
        yield pair
    finally:
        for end in pair:
            end.close()
