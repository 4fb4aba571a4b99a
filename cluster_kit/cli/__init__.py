"""``cluster-kit``: the command line.

Each command is a module of its own that is imported when it is asked for, and imports what it needs
when it runs: starting a node should take no longer than it must. Nothing is imported here either: a
Ctrl-C ends a command quietly only once ``__main__`` has said so, which is therefore the first thing
that it does.
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
    """Import the command line when it is first asked for (PEP 562)."""
    if name != "main":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cluster_kit.cli.commands import main

    return main
