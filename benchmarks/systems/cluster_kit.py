"""A node of cluster_kit: ``cluster-kit run`` with ``strategy: gossip`` and nothing else."""

# ruff: noqa: D102 - ``System`` documents them
from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from systems import Kind, Notice, Seat

KINDS = {"ready": Kind.READY, "node_up": Kind.UP, "node_down": Kind.DOWN}


class ClusterKit:
    """Nodes of an installed cluster_kit; ``name`` is its title, and all share ``secret``."""

    leave_signal = signal.SIGTERM

    def __init__(
        self, executable: Path, name: str = "cluster_kit", *, secret: bool = False
    ) -> None:
        self.name = name
        self._secret = secret
        self._executable = executable
        self._folder = Path()

    def prepare(self, folder: Path) -> None:
        self._folder = folder
        if self._secret:
            subprocess.run(
                [str(self._executable), "secret", "--output", str(folder / "secret")], check=True
            )

    def daemon(self, host: str) -> None:
        return None

    def command(self, seat: Seat) -> Sequence[str]:
        file = self._folder / f"{seat.cluster}.yaml"
        if not file.exists():
            protection = "" if seat.host.startswith("127.") else "insecure: true\n"
            protection = f"secret_file: {self._folder / 'secret'}\n" if self._secret else protection
            file.write_text(
                f"cluster: {seat.cluster}\n{protection}topologies:\n  lan:\n    strategy: gossip\n"
            )
        return [
            str(self._executable),
            "run",
            str(file),
            "--name",
            f"{seat.name}@{seat.host}",
            "--events",
            "json",
        ]

    def environment(self) -> Mapping[str, str]:
        return {}

    def notice(self, line: bytes) -> Notice | None:
        event = json.loads(line)
        kind = KINDS.get(event["event"])
        return Notice(kind, event.get("node", "").partition("@")[0]) if kind else None
