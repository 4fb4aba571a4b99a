"""Decides which peers may be linked to at all, by how each end introduces itself. Pure.

The acceptor judges the dialler by its hello, the dialler judges the acceptor by its answer. Which
of several connections to one peer is kept is decided afterwards, by ``arbitration``.

What an end says about itself is believed only as far as it can be checked:

- On protected streams, a name counts only if a certificate proves it: ``unproved_name_fault``.
- An address is ours only if our own hello arrived there. A peer that claims to be this very process
  is a pretender unless that happened: otherwise anybody could make us give up an address.
- A refusal in plaintext, to a node that has a secret, never gets here: TLS ends the connection.
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

from cluster_kit.connectors.tcp.faults import (
    CLAIMS_OUR_BOOT,
    NO_ADDRESS,
    NOT_FOR_TCP,
    DialFault,
    NameTaken,
    wrong_name,
)
from cluster_kit.errors import ConnectReason
from cluster_kit.network import Certified
from cluster_kit.node import BootId, Fence, Node, host_and_port
from cluster_kit.wire.frames import (
    MAGIC,
    VERSION,
    Frame,
    Hello,
    Identity,
    Refusal,
    Welcome,
    plain_boot,
    read_boot,
)

PATIENCE = 8  # hang-ups in a row; with the usual back-off, about ten seconds
MAX_DIALLED = 256  # bounds the memory for peers, which may be made up

_ANONYMOUS = frozenset({ConnectReason.FOREIGN, ConnectReason.PROTOCOL, ConnectReason.SELF})
"""Refusals that don't say who refuses."""

_EXPECTED = frozenset(
    {ConnectReason.FOREIGN, ConnectReason.CROSSED, ConnectReason.LEAVING, ConnectReason.FULL}
)
"""Reasons for a refusal that ``CAUSES`` explains; the others need more."""


class Presence(Struct, frozen=True):
    """This node as it introduces itself, which is also what it judges others by.

    Attributes:
        local: This node, with name, boot and address.
        fence: What a peer must have in common with it.
        leaving: Whether it is about to stop.
        features: What it can do beyond the protocol's version.
        secrets: The ids of the secrets that it holds.
    """

    local: Node
    fence: Fence
    leaving: bool = False
    features: tuple[str, ...] = ()
    secrets: tuple[bytes, ...] = ()

    def introduction(self, *, wanted: bool) -> Identity:
        """Return our identity; ``wanted`` says whether we want the link for ourselves."""
        return Identity.of(
            self.local, self.fence, leaving=self.leaving, wanted=wanted, features=self.features
        )

    def hello(self) -> Hello:
        """Return the first frame of a dialler."""
        return Hello(magic=MAGIC, version=VERSION, identity=self.introduction(wanted=True))

    def refusal(self, reason: ConnectReason, rival: BootId | None = None) -> Refusal:
        """Return the frame that turns a peer away."""
        identity = None if reason in _ANONYMOUS else self.introduction(wanted=False)
        return Refusal(reason=reason, identity=identity, rival=plain_boot(rival))

    def judge_hello(self, hello: Hello) -> ConnectReason | None:
        """Return why to refuse the sender of ``hello``, ``None`` if there is no reason."""
        identity = hello.identity
        if identity is None:
            return ConnectReason.PROTOCOL
        if BootId(*identity.boot) == self.local.boot_id:
            return ConnectReason.SELF
        if identity.fence != self.fence:
            return ConnectReason.FOREIGN
        if identity.name == self.local.name:
            return ConnectReason.CONFLICT
        return ConnectReason.LEAVING if self.leaving else None

    def judge_answer(self, target: Node, identity: Identity) -> DialFault | None:
        """Return why not to link to the peer that answered our dial to ``target``, if so."""
        peer = identity.node()
        if peer.boot_id == self.local.boot_id:
            return CLAIMS_OUR_BOOT
        if identity.fence != self.fence:
            return DialFault.of(ConnectReason.FOREIGN)
        if peer.name == self.local.name:
            return NameTaken.by(peer.boot_id, self.local)
        return _name_mismatch(target, identity)

    def explain(self, target: Node, refusal: Refusal, *, echoed: bool = False) -> DialFault:
        """Return the fault behind a refusal of our dial to ``target``.

        Args:
            target: The node that we dialled.
            refusal: The answer.
            echoed: Whether our own hello has arrived here in the meantime.
        """
        if refusal.reason == ConnectReason.SELF:
            return DialFault.of(ConnectReason.SELF, retryable=True) if echoed else CLAIMS_OUR_BOOT
        if refusal.reason == ConnectReason.CONFLICT:
            return NameTaken.by(read_boot(refusal.rival), self.local)
        if refusal.reason == ConnectReason.PROTOCOL:
            versions = f"it speaks version {refusal.version}, we speak {VERSION}"
            return DialFault.of(ConnectReason.PROTOCOL, versions)
        if refusal.identity and (mismatch := _name_mismatch(target, refusal.identity)):
            return mismatch
        if refusal.reason in _EXPECTED:
            return DialFault.of(ConnectReason(refusal.reason))
        detail = f"refused for a reason unknown here: {refusal.reason!r}"
        return DialFault.of(ConnectReason.FAILED, detail)


class ClosedAfterHello:
    """Counts how often in a row each node closed the connection after our hello.

    A node that is overloaded or stopping hangs up now and then. A server of some other protocol
    always does. Counts are kept by node key; the least recently counted are evicted.
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()

    def again(self, key: str) -> bool:
        """Count a hang-up; return whether that was one too many."""
        self._counts[key] = count = self._counts.pop(key, 0) + 1
        if len(self._counts) > MAX_DIALLED:
            self._counts.popitem(last=False)
        return count > PATIENCE

    def answered(self, key: str) -> None:
        """Reset the count: the node has answered in our protocol."""
        self._counts.pop(key, None)


def undiallable(target: Node) -> DialFault | None:
    """Return why ``target`` has no address that TCP can dial, ``None`` if it has one."""
    if target.address is None:
        return NO_ADDRESS
    return NOT_FOR_TCP if host_and_port(target.address) is None else None


def unproved_name_fault(certified: Certified, frame: Frame) -> str | None:
    """Return what is wrong if a peer introduces itself by a name that it hasn't proved."""
    identity = frame.identity if isinstance(frame, Hello | Welcome | Refusal) else None
    if identity is None or not (objection := certified.objection_to(identity.name)):
        return None
    return f"it calls itself {identity.name!r}, and {objection}"


def _name_mismatch(target: Node, identity: Identity) -> DialFault | None:
    if target.name is None or target.name == identity.name:
        return None
    return wrong_name(identity.name, target.name)
