"""Whom a topology selects, asked here, or in another process, whose hashes of text are others.

That one is ``python -m cluster_kit.testing.processes.selections``. It can be on another machine, as
far as it can tell.
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
    """Return whom all nodes of all rosters select."""
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
    """Return the same from a process with this PYTHONHASHSEED, where the topology is built from its
    options.

    Nodes are made there in the order of their keys, or in the reverse one where the seed is odd,
    since ``id`` is no order. Time and the name of the host are others where it ``is_remote``.

    Raises:
        LookupError: The class is not one that a process can import.
        CalledProcessError: That process failed; its standard error is shown.
    """
    kind = type(topology)
    if "<locals>" in kind.__qualname__:
        raise LookupError(
            f"{kind.__qualname__} is defined in a function, and no other process can import it"
        )
    names: list[str] = (
        [field.name for field in fields(topology) if field.init] if is_dataclass(topology) else []
    )
    options = {name: getattr(topology, name) for name in names}
    plain = [
        [node.to_plain() for node in sorted(roster, key=str, reverse=hash_seed % 2 == 1)]
        for roster in rosters
    ]
    asked = (
        is_remote,
        inspect.getfile(kind),
        kind.__module__,
        kind.__qualname__,
        pickle.dumps(options),
        plain,
    )
    answer = subprocess.run(  # noqa: S603 - this very module
        [sys.executable, "-m", __name__],
        input=pickle.dumps(asked),
        stdout=subprocess.PIPE,
        env=os.environ
        | {"PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=True,
    )
    selected: Selections = json.loads(answer.stdout)
    return selected


def _answer(question: bytes) -> Selections:
    is_remote, *where, options, rosters = pickle.loads(question)  # noqa: S301 - from the test that started this
    if is_remote:
        move()
    kind = _imported(*where)
    nodes = [frozenset(map(Node.from_plain, roster)) for roster in rosters]
    return selections(kind(**pickle.loads(options)), nodes)  # noqa: S301 - likewise


def _imported(path: str, module: str, qualname: str) -> Any:
    """Return the class, from its file if its module has no name that can be imported, as that of a
    test may.
    """
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
