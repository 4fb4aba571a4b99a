"""A node of Serf: one agent with the ``lan`` profile, read from its log.

What counts is the agent's own member list; applications get the event about a second later.
"""

# ruff: noqa: D102 - ``System`` documents them
from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from systems import Kind, Notice, Seat

GOSSIP_PORT = 17946
RPC_PORT = 27373
EVENT = re.compile(
    rb"serf: EventMember(Join|Failed|Leave|Reap): (\S+)|agent: (Serf agent starting)"
)
KINDS = {b"Join": Kind.UP, b"Failed": Kind.DOWN, b"Leave": Kind.DOWN}


class Serf:
    """Nodes of the Serf that the path has."""

    name = "Serf"
    leave_signal = signal.SIGINT

    def prepare(self, folder: Path) -> None:
        """Need nothing."""

    def daemon(self, host: str) -> None:
        return None

    def command(self, seat: Seat) -> Sequence[str]:
        return [
            *(
                "serf",
                "agent",
                f"-node={seat.name}",
                "-profile=lan",
                f"-bind={seat.host}:{GOSSIP_PORT + seat.number}",
            ),
            *(f"-rpc-addr={seat.host}:{RPC_PORT + seat.number}", "-retry-interval=1s"),
            *([f"-retry-join={seat.first_host}:{GOSSIP_PORT + 1}"] if seat.number > 1 else []),
        ]

    def environment(self) -> Mapping[str, str]:
        return {}

    def notice(self, line: bytes) -> Notice | None:
        match = EVENT.search(line)
        if match is None:
            return None
        if match[3]:
            return Notice(Kind.READY)
        kind = KINDS.get(match[1])
        return Notice(kind, match[2].decode()) if kind else None
