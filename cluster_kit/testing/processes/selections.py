"""What a topology selects for all nodes of a roster, asked in this process or in another one.

The other one is ``python -m cluster_kit.testing.processes.selections``. It has other hashes, and
can pretend to be another machine.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import reduce
from typing import Any

from cluster_kit.abc import Topology
from cluster_kit.node import Node
from cluster_kit.testing.processes.other_machine import move

Selections = list[dict[str, list[str]]]
"""For each roster: by the key of each node, the sorted keys of those it selects."""


def selections(topology: Topology, rosters: Sequence[frozenset[Node]]) -> Selections:
    """Return what all nodes of all rosters select."""
    return [
        {
            local.key: sorted(node.key for node in topology.select(local, roster - {local}))
            for local in sorted(roster, key=str)
        }
        for roster in rosters
    ]


def selections_elsewhere(
    topology: Topology, rosters: Sequence[frozenset[Node]], *, hash_seed: int, is_remote: bool
) -> Selections:
    """Return the same from another process, which builds the topology from its options.

    Nodes are created there in the order of their keys, or in reverse if the seed is odd, to expose
    code that depends on ``id``.

    Args:
        topology: An instance of an importable class.
        rosters: The rosters to ask about.
        hash_seed: The PYTHONHASHSEED of the process.
        is_remote: Whether it pretends to be another machine.

    Raises:
        LookupError: The class can't be imported by another process.
        CalledProcessError: The process failed; its standard error is shown.
    """
    kind = type(topology)
    if "<locals>" in kind.__qualname__:
        raise LookupError(
            f"{kind.__qualname__} is defined in a function, and no other process can import it"
        )
    is_reversed = hash_seed % 2 == 1
    plain = [
        [node.to_plain() for node in sorted(roster, key=str, reverse=is_reversed)]
        for roster in rosters
    ]
    location = inspect.getfile(kind), kind.__module__, kind.__qualname__
    question = is_remote, *location, pickle.dumps(options_of(topology)), plain
    path = os.pathsep.join(filter(None, sys.path))
    answer = subprocess.run(  # noqa: S603 - this very module
        [sys.executable, "-m", __name__],
        input=pickle.dumps(question),
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": path},
        check=True,
    )
    selected: Selections = json.loads(answer.stdout)
    return selected


def options_of(plugin: object) -> dict[str, Any]:
    """Return the options of a plugin, from which its class is built again."""
    if not is_dataclass(plugin):
        return {}
    return {field.name: getattr(plugin, field.name) for field in fields(plugin) if field.init}


def _answer(question: bytes) -> Selections:
    is_remote, *where, options, rosters = pickle.loads(question)  # noqa: S301 - from the test that started this
    if is_remote:
        move()
    kind = _imported(*where)
    nodes = [frozenset(map(Node.from_plain, roster)) for roster in rosters]
    return selections(kind(**pickle.loads(options)), nodes)  # noqa: S301 - likewise


def _imported(path: str, module: str, qualname: str) -> Any:
    """Return the class; import its file if the module has no importable name, as a test may."""
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError:
        spec = importlib.util.spec_from_file_location(module, path)
        assert spec is not None
        assert spec.loader is not None
        found = sys.modules[module] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    return reduce(getattr, qualname.split("."), found)


if __name__ == "__main__":
    json.dump(_answer(sys.stdin.buffer.read()), sys.stdout)
