"""Keeps NUMBER connections open to HOST PORT, each with a TLS hello only, until it is killed."""

import selectors
import socket
import ssl
import sys
from contextlib import suppress


def main(host, port, number):
    hello = _client_hello()
    waiting = selectors.DefaultSelector()
    for _ in range(number):
        _open(waiting, (host, port))
    print("begun", flush=True)
    while True:
        for key, _ in waiting.select():
            said = key.data
            with suppress(OSError):
                if not said:
                    key.fileobj.send(hello)
                    waiting.modify(key.fileobj, selectors.EVENT_READ, data=True)
                    continue
                if key.fileobj.recv(65536):
                    continue
            waiting.unregister(key.fileobj)
            key.fileobj.close()
            _open(waiting, (host, port))


def _open(waiting, address):
    sock = socket.socket()
    sock.setblocking(False)
    with suppress(BlockingIOError):
        sock.connect(address)
    waiting.register(sock, selectors.EVENT_WRITE, data=False)


def _client_hello():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
