"""What a subscription to a topic gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cluster_kit.node import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a linked node said, or asked.

    Attributes:
        sender: Who said it, as it introduced itself when its link came up.
        data: Plain data, which belongs to whoever reads it.
        topic: Name of the topic.
    """

    sender: Node
    data: Any
    topic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Messages of one node are missing at this place; those that follow are in order.

    Attributes:
        sender: Whose messages they are.
        lost: How many; ``None`` where nobody can know, and perhaps none.
        topic: Name of the topic.
    """

    sender: Node
    lost: int | None
    topic: str
