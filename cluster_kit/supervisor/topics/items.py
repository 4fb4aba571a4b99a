"""The items that a subscription to a topic yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cluster_kit.node import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message or a question from a linked node.

    Attributes:
        sender: The node, as it introduced itself when its link came up.
        data: What was sent; each reader gets its own copy.
        topic: Name of the topic.
    """

    sender: Node
    data: Any
    topic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Messages of one node are missing here; later ones are in order again.

    Attributes:
        sender: The node that sent them.
        lost: How many are missing; ``None`` if that is unknown, and perhaps none is.
        topic: Name of the topic.
    """

    sender: Node
    lost: int | None
    topic: str
