"""``cluster-kit``: the command line.

Each command is a separate module, imported on demand, whose function imports what it needs, so
that a node starts quickly. This module imports nothing at all: until ``__main__`` has installed its
handler, Ctrl-C would end a command with a traceback.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing
if TYPE_CHECKING:
    from cluster_kit.cli.commands import main as main

COMMANDS = (
    "run",
    "status",
    "watch",
    "demo",
    "simulate",
    "check",
    "schema",
    "doctor",
    "nodes",
    "plugins",
    "secret",
    "rotate",
    "certs",
    "manifest",
    "new",
)


def __getattr__(name: str) -> object:
    """Import the command line on first use (PEP 562)."""
    if name != "main":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cluster_kit.cli.commands import main

    return main
