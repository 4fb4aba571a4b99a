"""Why a link could not be opened: each cause once, with its cure. Pure.

A fault stays a value from where it is found to where it is shown: ``connect`` raises its ``error``,
and a diagnosis, which has named the node already, shows its ``cause`` alone.
"""

from __future__ import annotations

from typing import Self

from msgspec import Struct

from cluster_kit.errors import (
    ConnectError,
    ConnectReason,
    NameConflict,
    NetworkError,
    NetworkFault,
    UntrustedError,
    name_taken,
)
from cluster_kit.node import BootId, Node

CAUSES = {  # what is wrong, and what to do about it; an ``UntrustedError`` brings its own cure
    ConnectReason.REFUSED: ("nothing listens there", "start the node or correct its address"),
    ConnectReason.TIMEOUT: (
        "no answer",
        "is its host down, its process frozen, or a firewall in between?",
    ),
    ConnectReason.RESET: (
        "the connection broke before the link was up",
        "see the log of that node",
    ),
    ConnectReason.UNREACHABLE: ("it can't be reached", "check address, name resolution and routes"),
    ConnectReason.NAME: ("a node may use only its own name", "check what runs at that address"),
    ConnectReason.FOREIGN: (
        "it belongs to another cluster or group",
        "give both nodes the same, or remove its address",
    ),
    ConnectReason.SELF: (
        "the connection leads back to this node",
        "give the address of another one",
    ),
    ConnectReason.CROSSED: (
        "both nodes dialled at the same time, or are already linked",
        "the other connection is used",
    ),
    ConnectReason.CONFLICT: (
        "its name is in use by another live process",
        "give each process a unique name",
    ),
    ConnectReason.LEAVING: ("it is about to stop and takes no new links", "wait for its successor"),
    ConnectReason.FULL: (
        "it has reached its limit of links",
        "raise its limit of open files, or let its discovery find this node",
    ),
    ConnectReason.PROTOCOL: (
        "it does not speak our link protocol",
        "check the address and the release that runs there",
    ),
    ConnectReason.FAILED: ("not possible now", "try again later"),
}

_REASON_OF = {
    NetworkFault.REFUSED: ConnectReason.REFUSED,
    NetworkFault.RESET: ConnectReason.RESET,
    NetworkFault.TIMEOUT: ConnectReason.TIMEOUT,
    NetworkFault.UNREACHABLE: ConnectReason.UNREACHABLE,
    NetworkFault.NO_SUCH_NAME: ConnectReason.UNREACHABLE,
    NetworkFault.NOT_OURS: ConnectReason.UNREACHABLE,
    NetworkFault.DOWN: ConnectReason.UNREACHABLE,
}


class DialFault(Struct, frozen=True):
    """Why a link could not be opened.

    Attributes:
        reason: From a closed list.
        cause: What is wrong and what to do about it, on one line that doesn't name the node.
        retryable: As in ``ConnectError``.
    """

    reason: ConnectReason
    cause: str
    retryable: bool | None = None

    @classmethod
    def of(cls, reason: ConnectReason, detail: str = "", *, retryable: bool | None = None) -> Self:
        """Return the fault for ``reason``; ``detail`` precedes what ``CAUSES`` says of it."""
        known = "; ".join(CAUSES.get(reason, ()))
        return cls(reason, ": ".join(part for part in (detail, known) if part), retryable)

    def error(self, target: Node) -> ConnectError:
        """Return what the ``connect`` to ``target`` raises."""
        message = f"tcp: cannot link to {_described(target)}: {self.cause}"
        reason, retryable = self.reason, self.retryable
        return ConnectError(message, node=target.key, reason=reason, retryable=retryable)


class NameTaken(DialFault, frozen=True):
    """Another live process uses our name.

    Attributes:
        ours: The boot of this process.
        rival: The boot of the other one, where it is known.
    """

    ours: BootId | None = None
    rival: BootId | None = None

    @classmethod
    def by(cls, rival: BootId | None, local: Node) -> Self:
        """Return the fault for the process ``rival``, which has the name of ``local``."""
        cause = name_taken(local.key)
        return cls(ConnectReason.CONFLICT, cause, ours=local.boot_id, rival=rival)

    def error(self, target: Node) -> NameConflict:
        """Return what a ``connect`` to ``target``, which knows the other process, raises."""
        boots = f"{_described(target)} knows it by the boot {self.rival}, ours is {self.ours}"
        return NameConflict(f"{self.cause}; {boots}", node=target.key)


_CLAIM = "it claims to be this process, but our own hello never arrived here"
CLAIMS_OUR_BOOT = DialFault(ConnectReason.FAILED, f"{_CLAIM}; check what runs at that address")
"""The peer claims our boot, although nothing that we sent came back to us."""

GIVE_PORT = "in its strategy's options, set the port that nodes listen on"

NO_ADDRESS = DialFault.of(ConnectReason.UNREACHABLE, "no address known")
NOT_FOR_TCP = DialFault.of(
    ConnectReason.UNREACHABLE,
    "its address is not host:port, it belongs to another connector",
    retryable=False,
)


def network_fault(error: NetworkError) -> DialFault:
    """Return the fault of a dial that failed in the network."""
    detail = str(error)
    if error.fault is NetworkFault.NO_SUCH_NAME:
        detail = f"its host name does not resolve ({error})"
    return DialFault.of(_REASON_OF.get(error.fault, ConnectReason.FAILED), detail)


def untrusted(error: UntrustedError) -> DialFault:
    """Return the fault for two ends that don't trust each other."""
    return DialFault(ConnectReason.AUTH, f"{error}: {error.cure}")


def wrong_name(found: str, expected: str) -> DialFault:
    """Return the fault for a node of another name than the one that was expected there."""
    cause = f"{found!r} answers there, expected {expected!r}: correct the name or the address"
    return DialFault(ConnectReason.NAME, cause)


def _described(target: Node) -> str:
    if target.name and target.address:
        return f"{target.name!r} at {target.address!r}"
    return repr(target.key)
