"""Who may be linked to at all, judged by how an end introduces itself; and the errors that say why not. Pure.

Which of several connections to one peer is kept is not decided here but by ``arbitration``.
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

from cluster_kit.errors import ConnectError, ConnectReason, NameConflict, UntrustedError, name_taken
from cluster_kit.network import Certified
from cluster_kit.node import BootId, Fence, Node, host_and_port
from cluster_kit.wire.frames import MAGIC, VERSION, Answer, Frame, Hello, Identity, Refusal, plain_boot, read_boot

PATIENCE = 8  # hang-ups in a row; with the usual back-off, some ten seconds
MAX_DIALLED = 256  # whoever makes us dial one after the other must not cost memory without end

_WHY = {
    ConnectReason.REFUSED: "nobody listens there; start the node or correct its address",
    ConnectReason.TIMEOUT: "no answer; is its host down, its process frozen, or a firewall in between?",
    ConnectReason.RESET: "the connection broke before the link was up; see the log of that node",
    ConnectReason.UNREACHABLE: "no way there; check its address, name resolution and routes",
    ConnectReason.NAME: "a node speaks for nobody but itself; see what runs at that address",
    ConnectReason.FOREIGN: "it is of another cluster or group; give both the same, or leave it out",
    ConnectReason.SELF: "the connection leads back to this node; give the address of another one",
    ConnectReason.CROSSED: "it dials us at the same time, or holds a link to us already; that one counts",
    ConnectReason.CONFLICT: "its name is in use by another live process; give each process a name of its own",
    ConnectReason.LEAVING: "it is about to stop and takes no new links; wait for its successor",
    ConnectReason.FULL: "it has as many links as it may; raise its limit of open files, or have its discovery find this node",
    ConnectReason.PROTOCOL: "it does not speak our link protocol; check the address and the release that runs there",
    ConnectReason.FAILED: "not possible now; try again later",
}
_SHY = frozenset({ConnectReason.FOREIGN, ConnectReason.PROTOCOL, ConnectReason.SELF})  # don't tell these who refuses them


class Presence(Struct, frozen=True):
    """This node as it shows itself to others, and by which it judges them."""

    local: Node
    fence: Fence
    leaving: bool = False
    features: tuple[str, ...] = ()
    secrets: tuple[bytes, ...] = ()

    def introduction(self, *, wanted: bool) -> Identity:
        """Introduce this node; ``wanted`` tells whether it wants the link for itself."""
        return Identity.of(self.local, self.fence, leaving=self.leaving, wanted=wanted, features=self.features)

    def hello(self) -> Hello:
        """Return the first word of a dialler."""
        return Hello(magic=MAGIC, version=VERSION, identity=self.introduction(wanted=True))

    def refusal(self, reason: ConnectReason, rival: BootId | None = None) -> Refusal:
        """Return what to tell somebody who is turned away."""
        identity = None if reason in _SHY else self.introduction(wanted=False)
        return Refusal(reason=reason, identity=identity, rival=plain_boot(rival))

    def judge_hello(self, hello: Hello) -> ConnectReason | None:
        """Return why the sender of ``hello`` must be turned away, ``None`` if it needn't."""
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

    def judge_answer(self, target: Node, identity: Identity) -> ConnectError | None:
        """Return why whoever answered our dial to ``target`` can't be linked to, ``None`` if it can."""
        peer = identity.node()
        if peer.boot_id == self.local.boot_id:
            return pretender(target)
        if identity.fence != self.fence:
            return connect_error(target, ConnectReason.FOREIGN)
        if peer.name == self.local.name:
            return self.name_taken(target, peer.boot_id)
        return name_mismatch(target, identity)

    def explain(self, target: Node, refusal: Refusal, *, echoed: bool = False) -> ConnectError:
        """Return the error that a refusal of our dial to ``target`` stands for.

        Args:
            target: Whom we dialled.
            refusal: What was answered.
            echoed: Whether our own hello came in meanwhile, without which nobody's word makes an address ours.
        """
        if refusal.reason == ConnectReason.SELF:
            return connect_error(target, ConnectReason.SELF, retryable=True) if echoed else pretender(target)
        if refusal.reason == ConnectReason.CONFLICT:
            return self.name_taken(target, read_boot(refusal.rival))
        if refusal.reason == ConnectReason.PROTOCOL:
            detail = f"it speaks version {refusal.version}, we speak {VERSION}"
            return connect_error(target, ConnectReason.PROTOCOL, detail)
        mismatch = name_mismatch(target, refusal.identity) if refusal.identity else None
        return mismatch or _refused(target, refusal.reason)

    def name_taken(self, target: Node, rival: BootId | None) -> NameConflict:
        """Return the error for a live process, known at ``target``, that has our name and another boot."""
        boots = f"{_described(target)} knows it by the boot {rival}, ours is {self.local.boot_id}"
        return NameConflict(f"{name_taken(self.local.key)}; {boots}", node=target.key)


class HangUps:
    """Tells who hangs up on our hello now and then, overloaded or stopping, from who always does: another kind of server.

    Counts the hang-ups in a row, by whom was dialled; those counted longest ago make room for others.
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()

    def again(self, key: str) -> bool:
        """Count one more; return whether that was one too many."""
        self._counts[key] = count = self._counts.pop(key, 0) + 1
        if len(self._counts) > MAX_DIALLED:
            self._counts.popitem(last=False)
        return count > PATIENCE

    def answered(self, key: str) -> None:
        """Forget them: it has said something that we understand."""
        self._counts.pop(key, None)


def undiallable(target: Node) -> ConnectError | None:
    """Return the error for a node without an address that TCP can dial, ``None`` if it has one."""
    if target.address is None:
        return connect_error(target, ConnectReason.UNREACHABLE, "no address known")
    if host_and_port(target.address) is None:
        detail = "its address is not host:port, it belongs to another connector"
        return connect_error(target, ConnectReason.UNREACHABLE, detail, retryable=False)
    return None


def connect_error(target: Node, reason: ConnectReason, detail: str = "", *, retryable: bool | None = None) -> ConnectError:
    """Return the error for a dial to ``target`` that came to nothing; see ``ConnectError`` for ``retryable``."""
    why = ": ".join(part for part in (detail, _WHY.get(reason)) if part)
    return ConnectError(f"{cannot_link_to(target)}: {why}", node=target.key, reason=reason, retryable=retryable)


def pretender(target: Node) -> ConnectError:
    """Return the error for a peer that says it is this process, which received nothing from itself."""
    why = "it says that it is this very process, which has heard nothing from itself; see what answers at that address"
    return ConnectError(f"{cannot_link_to(target)}: {why}", node=target.key, reason=ConnectReason.FAILED)


def cannot_link_to(target: Node) -> str:
    """Return how the message of most such errors begins."""
    return f"tcp: cannot link to {_described(target)}"


def name_mismatch(target: Node, identity: Identity) -> ConnectError | None:
    """Return the error for a peer that calls itself otherwise than ``target`` is called, ``None`` if it doesn't."""
    if target.name in (None, identity.name):
        return None
    message = f"tcp: {identity.name!r} answers at {target.address!r}, expected {target.name!r}: correct the name or the address"
    return ConnectError(message, node=target.key, reason=ConnectReason.NAME)


def not_itself(certified: Certified, frame: Frame) -> str | None:
    """Return what to say of a peer that introduces itself by a name that it hasn't proved, ``None`` if it doesn't."""
    identity = frame.identity if isinstance(frame, Hello | Answer | Refusal) else None
    if identity is None or not (objection := certified.objection_to(identity.name)):
        return None
    return f"it calls itself {identity.name!r}, and {objection}"


def distrust(error: UntrustedError) -> str:
    """Return why two ends don't trust each other, and what to do about it."""
    return f"{error}: {error.cure}"


def _refused(target: Node, told: str) -> ConnectError:
    if told in _REFUSALS:
        return connect_error(target, ConnectReason(told))
    return connect_error(target, ConnectReason.FAILED, f"refused for a reason unknown here: {told!r}")


_REFUSALS = frozenset({ConnectReason.FOREIGN, ConnectReason.CROSSED, ConnectReason.LEAVING, ConnectReason.FULL})


def _described(target: Node) -> str:
    return f"{target.name!r} at {target.address!r}" if target.name and target.address else repr(target.key)
