"""Reads the entries under ``topologies:``."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields
from functools import cache, partial
from types import MappingProxyType
from typing import Any, get_type_hints

from cluster_kit.config.components import ComponentReader
from cluster_kit.config.document import Faults, Piece, amended
from cluster_kit.config.model import ChildSpec, Component, TopologyConfig
from cluster_kit.config.values import Reader, fence, ignore, plain, read_fields
from cluster_kit.errors import ConfigError
from cluster_kit.fault import KeyPath

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_DEFAULTS: Mapping[str, str] = MappingProxyType({"connector": "tcp", "topology": "full_mesh"})
CALLBACKS = ("connect", "disconnect", "list_nodes")


def read_topologies(piece: Piece, components: ComponentReader) -> dict[str, TopologyConfig]:
    """Read all entries, in the order in which they are written."""
    faults = Faults()
    topologies = {}
    for name, entry in piece.by_key().items():
        with faults:
            if not _NAME.fullmatch(name):
                raise entry.key_error(f"invalid name: expected {_NAME.pattern}")
        with faults:
            topologies[name] = _read_topology(name, entry, components)
    faults.check()
    if not topologies:
        raise piece.error("expected at least one topology")
    return topologies


def _read_topology(name: str, piece: Piece, components: ComponentReader) -> TopologyConfig:
    own = piece.by_key()
    shipped, title = components.ready_made(own["use"]) if "use" in own else ({}, "")
    try:
        return _read_entry(name, piece, shipped, components)
    except ConfigError as exc:
        shipped_paths = {(*piece.path, key) for key in shipped if key not in own}
        errors = [_attributed(error, shipped_paths, title) for error in exc.errors]
        raise ConfigError.gather(errors) from exc.__cause__


def _attributed(error: ConfigError, paths: Collection[KeyPath], title: str) -> ConfigError:
    """Name the ready-made topology that has a faulty value; a missing one is up to the user."""
    fault = error.fault
    if fault.missing or not any(fault.where[: len(path)] == path for path in paths):
        return error
    return amended(error, cure="; ".join(filter(None, (fault.cure, f"it comes from {title}"))))


def _read_entry(
    name: str, piece: Piece, shipped: Mapping[str, Any], components: ComponentReader
) -> TopologyConfig:
    own = {key: field.raw for key, field in piece.by_key().items() if key != "use"}
    piece = piece.replaced(_merged(shipped, own))
    fields = piece.by_key()
    callbacks = piece.replaced({key: fields[key].raw for key in CALLBACKS if key in fields})
    readers: Mapping[str, Reader] = {
        "strategy": partial(components.read_all, kind="strategy", options=fields.get("config")),
        "config": ignore,  # read with the strategy
        "connector": partial(_read_connector, components=components, callbacks=callbacks),
        **dict.fromkeys(CALLBACKS, ignore),  # read with the connector
        "topology": partial(components.read, kind="topology"),
        "child_spec": _read_child_spec,
        "group": fence,
        **plain_readers(TopologyConfig),
    }
    given = read_fields(piece, readers, required=["strategy"])
    return TopologyConfig(name=name, strategies=given.pop("strategy"), **{"group": name, **given})


def _merged(shipped: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of an entry: its own win, and callbacks imply connector ``callback``."""
    if "connector" in own:
        shipped = {key: value for key, value in shipped.items() if key not in CALLBACKS}
    elif any(key in own for key in CALLBACKS):
        shipped = {**shipped, "connector": "callback"}
    elif any(key in shipped for key in CALLBACKS):
        shipped = {"connector": "callback", **shipped}
    return {**_DEFAULTS, **shipped, **own}


def _read_connector(piece: Piece, components: ComponentReader, callbacks: Piece) -> Component:
    """Read the connector, whose options may be callbacks in the entry itself."""
    if callbacks.value and piece.value != "callback":
        first = next(iter(callbacks.by_key().values()))
        why = "is for connector 'callback', and this topology has another"
        raise first.key_error(why, f"remove {piece.key!r} or the callbacks")
    return components.read(piece, "connector", callbacks if callbacks.value else None)


def _read_child_spec(piece: Piece) -> ChildSpec:
    return ChildSpec(**read_fields(piece, plain_readers(ChildSpec)))


@cache
def plain_readers(cls: Any) -> Mapping[str, Reader]:
    """Return readers for those fields of a model that are plain values with a default."""
    hints = get_type_hints(cls, include_extras=True)
    return {
        field.name: partial(plain, kind=hints[field.name])
        for field in fields(cls)
        if field.default is not MISSING
    }
