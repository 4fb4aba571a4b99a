"""The nodes of the demo together: started at once, ended at once, closed to any other cluster."""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from typing import Self

from cluster_kit.cli.demo.board import Board
from cluster_kit.cli.demo.member import Member, State


class DemoCluster:
    """A context manager; at its end no process of it is left."""

    def __init__(self, size: int) -> None:
        self.board = Board()
        config = {
            "cluster": f"demo-{secrets.token_hex(8)}",
            "topologies": {"demo": {"strategy": "gossip"}},
        }
        names = [f"n{number}@127.0.0.1" for number in range(1, size + 1)]
        self.members = [Member(name, json.dumps(config).encode(), self.board) for name in names]

    def start(self) -> None:
        """Start all nodes."""
        for member in self.members:
            member.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            with suppress(ProcessLookupError):
                member.thaw()
            member.ask_to_leave()
        for member in self.members:
            member.end()

    def others(self, member: Member) -> list[Member]:
        """Return the nodes that should see ``member``."""
        return [
            other for other in self.members if other is not member and other.state is State.RUNNING
        ]

    def last_words(self) -> str:
        """Return what the nodes wrote to standard error, as far as they did."""
        words = [(member.name, member.last_words()) for member in self.members]
        return "\n".join(f"--- {name}, standard error:\n{text}" for name, text in words if text)
