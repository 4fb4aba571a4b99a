"""Translates the system's errors: the one table from ``errno`` to ``NetworkFault``."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from cluster_kit.errors import NetworkError, NetworkFault, cause_of

_FAULT_OF_ERRNO = {
    errno.ECONNREFUSED: NetworkFault.REFUSED,
    errno.ECONNRESET: NetworkFault.RESET,
    errno.ECONNABORTED: NetworkFault.RESET,
    errno.EPIPE: NetworkFault.RESET,
    errno.ETIMEDOUT: NetworkFault.TIMEOUT,
    errno.ENETUNREACH: NetworkFault.UNREACHABLE,
    errno.EHOSTUNREACH: NetworkFault.UNREACHABLE,
    errno.EHOSTDOWN: NetworkFault.UNREACHABLE,
    errno.EINVAL: NetworkFault.UNREACHABLE,  # no route from the address that the socket is bound to
    errno.EADDRINUSE: NetworkFault.IN_USE,
    errno.EACCES: NetworkFault.FORBIDDEN,
    errno.EPERM: NetworkFault.FORBIDDEN,
    errno.EADDRNOTAVAIL: NetworkFault.NOT_OURS,
    errno.ENODEV: NetworkFault.NOT_OURS,  # the interface to join a group on; see ip(7)
    errno.ENETDOWN: NetworkFault.DOWN,
    errno.EAFNOSUPPORT: NetworkFault.UNSUPPORTED,
    errno.EPROTONOSUPPORT: NetworkFault.UNSUPPORTED,
    errno.ENOPROTOOPT: NetworkFault.UNSUPPORTED,
    errno.EMFILE: NetworkFault.EXHAUSTED,
    errno.ENFILE: NetworkFault.EXHAUSTED,
    errno.ENOMEM: NetworkFault.EXHAUSTED,
    errno.ENOBUFS: NetworkFault.EXHAUSTED,
}


def network_error(exc: OSError) -> NetworkError:
    """Return the ``NetworkError`` to raise for an error of the system."""
    if isinstance(exc, socket.gaierror):  # its number is not an errno
        return NetworkError(cause_of(exc), fault=NetworkFault.NO_SUCH_NAME)
    fault = _FAULT_OF_ERRNO.get(exc.errno or 0, NetworkFault.FAILED)
    return NetworkError(cause_of(exc), fault=fault)


@contextmanager
def network_errors() -> Iterator[None]:
    """Translate errors of the system into ``NetworkError``."""
    try:
        yield
    except OSError as exc:
        raise network_error(exc) from exc
    except OverflowError as exc:  # raised by Python's sockets for a port out of range
        message = "no such port, expected 0 to 65535"
        raise NetworkError(message, fault=NetworkFault.FAILED) from exc
