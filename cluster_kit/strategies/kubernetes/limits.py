"""How long the strategy waits for the API server, and how much it accepts from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one run of the strategy; it treats a server beyond them as broken."""

    answer_s: float = 15.0  # until an answer begins; libcluster's time-out for the whole of it
    silent_s: float = 150.0  # of a watch: a server that works sends a bookmark about every minute
    early_s: float = 5.0  # before its time: a watch that ends no sooner than that ran its time
    watch_again_s: float = 60.0  # how long to poll until a forbidden watch is tried again
    doubt_s: float = 15.0  # for so long, a store that comes back empty may still be filling up

    max_pages: int = 1_000  # of 500 objects: a longer list has no end
    max_objects: int = 500_000  # that a watch may add up to


LIMITS = Limits()
