"""Why known nodes are not linked; the values go all the way to the CLI."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster_kit.errors import ConnectReason

if TYPE_CHECKING:  # the CLI needs only the values
    from cluster_kit.membership.peer import Peer


@dataclass(frozen=True, slots=True)
class Unlinked:
    """How the dials to one node went since it was last linked.

    Attributes:
        key: The key of the node.
        reason: Why the last dial failed, ``None`` if none has.
        tries: How many have failed.
        next_s: Seconds until the next one, 0 while one is due or under way; ``None`` if none will
            come.
    """

    key: str
    reason: ConnectReason | None
    tries: int
    next_s: float | None

    def __str__(self) -> str:
        return why_not(self.reason, self.tries, self.next_s)


def why_not(reason: str | None, tries: int, next_s: float | None) -> str:
    """Return the text of an ``Unlinked``: ``not linked: refused, 7 tries, next in 4 s``."""
    details = []
    if reason:
        details += [reason, f"{tries} {'try' if tries == 1 else 'tries'}"]
    if next_s is not None:
        details.append(f"next in {max(1, round(next_s))} s" if next_s > 0 else "next is due")
    return f"not linked: {', '.join(details)}" if details else "not linked"


def why_unlinked(peers: Iterable[Peer], now_s: float, *, draining: bool) -> list[Unlinked]:
    """Return why those of ``peers`` that are known but not linked are not, by key.

    The application may ask, so this goes by the events that it has had. No dials follow while this
    node is ``draining``.
    """
    unlinked = [peer for peer in peers if peer.reported_known and not peer.reported_up]
    unlinked.sort(key=lambda peer: peer.key)
    return [_why_unlinked(peer, now_s, draining=draining) for peer in unlinked]


def _why_unlinked(peer: Peer, now_s: float, *, draining: bool) -> Unlinked:
    dials, dialled = peer.dials, peer.wanted and not draining
    if dials is None:
        return Unlinked(peer.key, None, 0, 0.0 if dialled else None)
    next_s = max(0.0, dials.until_s - now_s) if dialled else None
    return Unlinked(peer.key, dials.reason, dials.tries, next_s)
