"""Whose name stands in the licence of a new plugin."""

from __future__ import annotations

import subprocess

PLACEHOLDER = "YOUR NAME"
_ASK_S = 5.0
_MAX_CHARS = 100


def author() -> str:
    """Return the name that git puts into commits here, or a placeholder where it knows of none."""
    command = ["git", "config", "--get", "user.name"]
    try:
        asked = subprocess.run(command, capture_output=True, timeout=_ASK_S, stdin=subprocess.DEVNULL, check=False)  # noqa: S603 - no input of anybody
    except (OSError, subprocess.TimeoutExpired):
        return PLACEHOLDER
    name = " ".join(asked.stdout.decode(errors="replace").split())[:_MAX_CHARS]
    return name if name and name.isprintable() else PLACEHOLDER
