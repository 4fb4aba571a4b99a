"""The entries under ``topologies:``, each with its keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Annotated

from msgspec import Meta

from cluster_kit.config.components import ComponentReader
from cluster_kit.config.document import Faults, Part
from cluster_kit.config.model import ChildSpec, Restart, TopologyConfig
from cluster_kit.config.values import Reader, fence, ignore, plain, read_fields, seconds, switch

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_DEFAULTS: Mapping[str, str] = MappingProxyType({"connector": "tcp", "topology": "full_mesh"})
_NO_CALLBACKS = "the callback connector does not exist yet in this version; remove it, or write a connector"

CHILD_SPEC: Mapping[str, Reader] = MappingProxyType(
    {
        "restart": partial(plain, kind=Restart),
        "max_restarts": partial(plain, kind=Annotated[int, Meta(ge=0)]),
        "max_seconds": seconds,
        "shutdown_s": seconds,
        "escalate": switch,
    }
)


def read_topologies(part: Part, components: ComponentReader) -> dict[str, TopologyConfig]:
    """Read all entries, in written order."""
    faults = Faults()
    topologies = {}
    for name, entry in part.by_key().items():
        with faults:
            if not _NAME.fullmatch(name):
                raise entry.key_error(f"invalid name: expected {_NAME.pattern}")
        with faults:
            topologies[name] = _read_topology(name, entry, components)
    faults.check()
    if not topologies:
        raise part.error("expected at least one topology")
    return topologies


def _read_topology(name: str, part: Part, components: ComponentReader) -> TopologyConfig:
    own = part.by_key()
    shipped = components.ready_made(own["use"]) if "use" in own else {}
    part = part.replaced({**_DEFAULTS, **shipped, **{key: field.raw for key, field in own.items() if key != "use"}})
    fields = part.by_key()
    given = read_fields(
        part,
        {
            "strategy": partial(components.read_all, kind="strategy", options=fields.get("config")),
            "config": ignore,  # read with the strategy
            "connector": partial(components.read, kind="connector"),
            "topology": partial(components.read, kind="topology"),
            "child_spec": _read_child_spec,
            "group": fence,
            "prune": switch,
            "max_nodes": partial(plain, kind=Annotated[int, Meta(ge=1)]),
            "connect_timeout_s": seconds,
            "remember_s": seconds,
        },
        required=["strategy"],
        refused=dict.fromkeys(["connect", "disconnect", "list_nodes"], _NO_CALLBACKS),
    )
    given.pop("config", None)
    return TopologyConfig(name=name, strategies=given.pop("strategy"), **{"group": name, **given})


def _read_child_spec(part: Part) -> ChildSpec:
    return ChildSpec(**read_fields(part, CHILD_SPEC))
