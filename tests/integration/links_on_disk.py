"""An application whose links are files in a folder, where any worker can see them."""

import asyncio
import os
from pathlib import Path

from cluster_kit import IGNORED


def connect(folder, node):
    if node.name.startswith("stranger@"):
        return IGNORED
    if node.name.startswith("late@") and not Path(folder, "late").exists():
        return False
    Path(folder, node.name).write_text(str(os.getpid()))
    return True


async def disconnect(folder, node):
    await asyncio.to_thread(Path(folder, node.name).unlink, missing_ok=True)


def list_nodes(folder):
    return sorted(path.name for path in Path(folder).iterdir() if "@" in path.name)


def connect_any(node):
    return True
