"""The methods of an event loop that would leave virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn


def _leaking(name: str) -> Any:
    def method(self: NoRealWorld, *_: object, **__: object) -> NoReturn:
        self.leak(f"{name}()")

    method.__name__ = name
    method.__doc__ = "Raise ``LeakError``."
    return method


class NoRealWorld(asyncio.AbstractEventLoop):
    """An event loop whose methods for real I/O, threads, processes and signals call ``leak``."""

    leak: Callable[[str], NoReturn]

    add_reader = _leaking("add_reader")
    add_signal_handler = _leaking("add_signal_handler")
    add_writer = _leaking("add_writer")
    connect_accepted_socket = _leaking("connect_accepted_socket")
    connect_read_pipe = _leaking("connect_read_pipe")
    connect_write_pipe = _leaking("connect_write_pipe")
    create_connection = _leaking("create_connection")
    create_datagram_endpoint = _leaking("create_datagram_endpoint")
    create_server = _leaking("create_server")
    create_unix_connection = _leaking("create_unix_connection")
    create_unix_server = _leaking("create_unix_server")
    getaddrinfo = _leaking("getaddrinfo")
    getnameinfo = _leaking("getnameinfo")
    remove_reader = _leaking("remove_reader")
    remove_signal_handler = _leaking("remove_signal_handler")
    remove_writer = _leaking("remove_writer")
    run_in_executor = _leaking("run_in_executor")
    sendfile = _leaking("sendfile")
    set_default_executor = _leaking("set_default_executor")
    sock_accept = _leaking("sock_accept")
    sock_connect = _leaking("sock_connect")
    sock_recv = _leaking("sock_recv")
    sock_recv_into = _leaking("sock_recv_into")
    sock_recvfrom = _leaking("sock_recvfrom")
    sock_recvfrom_into = _leaking("sock_recvfrom_into")
    sock_sendall = _leaking("sock_sendall")
    sock_sendfile = _leaking("sock_sendfile")
    sock_sendto = _leaking("sock_sendto")
    start_tls = _leaking("start_tls")
    subprocess_exec = _leaking("subprocess_exec")
    subprocess_shell = _leaking("subprocess_shell")
