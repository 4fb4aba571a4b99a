"""The pipe between supervisor and worker, with both ends in one process."""

import socket
from contextlib import contextmanager

from cluster_kit.worker.channel import Channel


@contextmanager
def pipe():
    """Yield two channels that hear each other, and close them."""
    pair = tuple(map(Channel, socket.socketpair()))
    try:
        yield pair
    finally:
        for end in pair:
            end.close()
