"""What the configuration and the connector say about one topology."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one ``Membership``.

    Attributes:
        name: The configured name, for events.
        prune: Whether nodes are ever removed from the roster.
        max_nodes: How many nodes the roster holds at most.
        remember_s: How long a lost peer is redialled although discovery has lost it too.
        keeps_links: False if being known is all there is to a link.
        introduces: False if links say nothing about the peers.
    """

    name: str
    prune: bool
    max_nodes: int
    remember_s: float
    keeps_links: bool
    introduces: bool = True
