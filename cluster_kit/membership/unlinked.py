"""Why a known node is not linked."""

from __future__ import annotations

from dataclasses import dataclass

from cluster_kit.errors import ConnectReason


@dataclass(frozen=True, slots=True)
class Unlinked:
    """What came of the dials to one node since it was last linked.

    Attributes:
        key: Of the node.
        reason: Why the last one failed, ``None`` if none has.
        tries: How many have failed.
        next_s: Seconds until the next one, 0 while one is due or under way; ``None`` if none is
            meant to come.
    """

    key: str
    reason: ConnectReason | None
    tries: int
    next_s: float | None

    def __str__(self) -> str:
        return why_not(self.reason, self.tries, self.next_s)


def why_not(reason: str | None, tries: int, next_s: float | None) -> str:
    """Return the same as text: ``not linked: refused, 7 tries, next in 4 s``."""
    failed = [f"{reason}, {tries} {'try' if tries == 1 else 'tries'}"] if reason else []
    return ": ".join(["not linked", ", ".join([*failed, *_next(next_s)])]).removesuffix(": ")


def _next(next_s: float | None) -> list[str]:
    if next_s is None:
        return []
    return [f"next in {max(1, round(next_s))} s" if next_s > 0 else "next is due"]
