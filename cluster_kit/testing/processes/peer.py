"""A node with a connector, and nothing else, in a process of its own: ``python -m
cluster_kit.testing.processes.peer``.

It reads two pickled lines on standard input, the ``Errand`` and what it is about, starts the
connector, answers with the node and serves until its input ends.
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
    """Where the module with the connector's class is found: test modules needn't be importable by
    their name.
    """

    path: list[str]
    module: str
    file: str


def main() -> None:
    """Serve until the parent goes."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the plugin prints is no answer
    errand = _read(sys.stdin.buffer)
    sys.path[:] = errand.path
    _import(errand)
    connector, local, dial, keyring = _read(sys.stdin.buffer)
    asyncio.run(
        _serve(
            connector,
            local,
            dial,
            answers,
            RecordingLinks(boot_id=local.boot_id, security=Security(local, keyring)),
        )
    )


def _read(source: BinaryIO) -> Any:
    return pickle.loads(bytes.fromhex(source.readline().decode()))  # noqa: S301 - our own parent wrote it


def _import(errand: ModuleLocation) -> None:
    try:
        importlib.import_module(errand.module)
    except ImportError:
        spec = importlib.util.spec_from_file_location(errand.module, errand.file)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[errand.module] = module = importlib.util.module_from_spec(spec)
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
