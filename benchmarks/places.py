"""Where nodes run: all on one loopback, or each in a network namespace of its own on a bridge."""

# ruff: noqa: D102 - ``Place`` documents them
from __future__ import annotations

import ctypes
import json
import os
import subprocess
from collections.abc import Sequence
from typing import Protocol

CLONE_NEWNET = 0x40000000
DISABLED, FORWARDING = "0", "3"  # Source: bridge(8), state of a port


def enter_private_network() -> bool:
    """Move this process and its future children to a loopback-only network; say if it may."""
    if ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0:
        return False
    _ip("link", "set", "lo", "up")
    return True


class Place(Protocol):
    """Gives addresses to nodes."""

    def host(self, number: int) -> str:
        """Return the address of node ``number``, made ready for use."""

    def inside(self, number: int, command: Sequence[str]) -> Sequence[str]:
        """Return ``command`` so that it runs where node ``number`` does."""

    def close(self) -> None:
        """Undo everything."""


class Loopback:
    """All nodes on 127.0.0.1."""

    def host(self, number: int) -> str:
        return "127.0.0.1"

    def inside(self, number: int, command: Sequence[str]) -> Sequence[str]:
        return command

    def close(self) -> None:
        """Need nothing."""


class Bridge:
    """A network namespace for each node, joined by a bridge in another; no other routes."""

    def __init__(self) -> None:
        self._prefix = f"ckbench{os.getpid()}"
        self._hub = f"{self._prefix}hub"
        self._spaces: dict[int, str] = {}
        _ip("netns", "add", self._hub)
        _ip("-n", self._hub, "link", "add", "bridge", "type", "bridge", "mcast_snooping", "0")
        _ip("-n", self._hub, "link", "set", "bridge", "up", "addrgenmode", "none")

    def host(self, number: int) -> str:
        address = f"10.77.0.{number}"
        if number not in self._spaces:
            space = self._spaces[number] = f"{self._prefix}n{number}"
            _ip("netns", "add", space)
            _ip(
                "-n",
                self._hub,
                "link",
                "add",
                f"port{number}",
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                space,
            )
            _ip(
                "-n",
                self._hub,
                "link",
                "set",
                f"port{number}",
                "master",
                "bridge",
                "up",
                "addrgenmode",
                "none",
            )
            _ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up", "addrgenmode", "none")
            _ip("-n", space, "link", "set", "lo", "up")
        return address

    def inside(self, number: int, command: Sequence[str]) -> Sequence[str]:
        return ["ip", "netns", "exec", self._spaces[number], *command]

    def cut(self, number: int) -> None:
        """Drop every packet to and from the node; it sees no change of its interface."""
        self._set_port(number, DISABLED)

    def mend(self, number: int) -> None:
        """Let its packets through again."""
        self._set_port(number, FORWARDING)

    def _set_port(self, number: int, state: str) -> None:
        _run("bridge", "-n", self._hub, "link", "set", "dev", f"port{number}", "state", state)

    def sent(self) -> tuple[int, int]:
        """Return the bytes and packets that all nodes together have sent so far."""
        links = json.loads(_ip("-n", self._hub, "-s", "-j", "link"))
        received = [link["stats64"]["rx"] for link in links if link["ifname"].startswith("port")]
        return sum(port["bytes"] for port in received), sum(port["packets"] for port in received)

    def close(self) -> None:
        for space in (*self._spaces.values(), self._hub):
            _ip("netns", "delete", space)


def _ip(*arguments: str) -> str:
    return _run("ip", *arguments)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
