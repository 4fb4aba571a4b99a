"""A connector in a separate process: ``python -m cluster_kit.testing.processes.peer``.

It reads two pickled lines from standard input: the ``ModuleLocation``, then the arguments of the
peer. It starts the connector, writes its node to standard output, and serves until its input ends.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pickle
import sys
from typing import Any, BinaryIO, NamedTuple

from cluster_kit.abc import Connector
from cluster_kit.node import Node
from cluster_kit.security import Security
from cluster_kit.testing.fakes import RecordingLinks


class ModuleLocation(NamedTuple):
    """Where to import the connector's class from; a test module may lack an importable name."""

    path: list[str]
    module: str
    file: str


def main() -> None:
    """Serve until the parent closes standard input."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # the plugin may print
    location = _read(sys.stdin.buffer)
    sys.path[:] = location.path
    _import(location)
    connector, local, dial, keyring = _read(sys.stdin.buffer)
    links = RecordingLinks(boot_id=local.boot_id, security=Security(local, keyring))
    asyncio.run(_serve(connector, local, dial, answers, links))


def _read(source: BinaryIO) -> Any:
    return pickle.loads(bytes.fromhex(source.readline().decode()))  # noqa: S301 - our own parent wrote it


def _import(location: ModuleLocation) -> None:
    try:
        importlib.import_module(location.module)
    except ImportError:
        spec = importlib.util.spec_from_file_location(location.module, location.file)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[location.module] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


async def _serve(
    connector: Connector, local: Node, dial: Node | None, answers: BinaryIO, links: RecordingLinks
) -> None:
    node = await connector.start(local, links)
    answers.write(pickle.dumps(node).hex().encode() + b"\n")
    answers.flush()
    if dial is not None:
        await connector.connect(dial)
    await asyncio.to_thread(sys.stdin.buffer.read)
    await connector.stop()


if __name__ == "__main__":
    main()
