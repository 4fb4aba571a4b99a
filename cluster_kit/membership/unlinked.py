"""Why known nodes are not linked; the values go all the way to the CLI."""

from __future__ import annotations

from dataclasses import dataclass

from cluster_kit.errors import ConnectReason


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
