"""Links that something else holds: the list of backends that a proxy such as nginx includes.

``cluster.yaml`` names these functions. They run in the topology's worker, and what they write
outlives it: after a crash the next worker finds in the list who is linked.
"""

from pathlib import Path
from threading import Lock

from cluster_kit import IGNORED, Node

HTTP = "http"  # the key in a node's metadata that tells its port
_writing = Lock()  # calls for several nodes run side by side, each in a thread of its own


def add(path: str, node: Node) -> str | None:
    """Write ``node`` into the list; who serves no HTTP isn't wanted."""
    if HTTP not in node.metadata:
        return IGNORED
    with _writing:
        _replace(
            path,
            {
                **_lines(path),
                node.name: f"server {node.host}:{node.metadata[HTTP]};  # {node.name}",
            },
        )
    return None


def remove(path: str, node: Node) -> None:
    """Take ``node`` out of the list."""
    with _writing:
        _replace(path, {name: line for name, line in _lines(path).items() if name != node.name})


def listed(path: str) -> list[str]:
    """Return the names of all who are in the list."""
    return list(_lines(path))


def _lines(path: str) -> dict[str, str]:
    file = Path(path)
    lines = file.read_text().splitlines() if file.exists() else []
    return {line.rpartition("# ")[2]: line for line in lines}


def _replace(path: str, lines: dict[str, str]) -> None:
    """Write the list to a file beside it and rename that, so that nobody reads half of it."""
    new = Path(f"{path}.new")
    new.write_text("".join(f"{lines[name]}\n" for name in sorted(lines)))
    new.replace(path)
