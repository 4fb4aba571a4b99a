"""A JSON Schema of the configuration, for editors, with the options of every installed plugin.

It is made from the same declarations as the checks, but can't express all of them, so that
``cluster-kit check`` has the last word. Any number or boolean may be given as ``${NAME}``.

``msgspec.json.schema`` can't do it: it knows neither aliases of options nor unknown keys nor
descriptions, and fails if a default is a path.

Source: JSON Schema, draft 2020-12.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Protocol, Union, get_args, get_origin, get_type_hints

from cluster_kit.config.bounds import Bounds, bounds_of
from cluster_kit.config.callback import Callback
from cluster_kit.config.certificate_settings import KEYS
from cluster_kit.config.components import PluginRegistryLike
from cluster_kit.config.dicts import ChildSpecDict, ConfigDict, TopologyDict
from cluster_kit.config.lists import is_separable
from cluster_kit.config.model import ChildSpec, TopologyConfig
from cluster_kit.config.options import is_required, names_of, options_of
from cluster_kit.config.secret import Secret
from cluster_kit.config.targets import Kind, Offered
from cluster_kit.config.topologies import CALLBACKS, plain_readers
from cluster_kit.errors import ClusterKitError

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]

_KINDS: tuple[Kind, ...] = ("strategy", "connector", "topology")
_TARGET: Schema = {
    "type": "string",
    "pattern": "^[A-Za-z_][\\w.]*:[A-Za-z_][\\w.]*$",
    "description": "package.module:Class",
}
_CALLBACK: Schema = {
    "anyOf": [
        {**_TARGET, "description": "package.module:function"},
        {
            "type": "array",
            "description": "module, function and the arguments that precede the node",
            "prefixItems": [{"type": "string"}, {"type": "string"}, {"type": ["array", "null"]}],
            "items": False,
            "minItems": 2,
        },
    ]
}
_REFERENCE: Schema = {"type": "string", "pattern": "\\$\\{"}  # to an environment variable
_SEPARATED: Schema = {"type": "string", "title": "text with commas"}
_PLAIN: Mapping[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    Path: "string",
    Secret: "string",
}
_ARGUMENT = re.compile(r"^ {4,}(\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)
_NAME = "^[a-z][a-z0-9_-]{0,63}$"


class PluginRegistryWithNames(PluginRegistryLike, Protocol):
    """The plugins, including which names they offer."""

    def names(self, kind: Offered) -> tuple[str, ...]:
        """Return the names that plugins offer."""


def json_schema(registry: PluginRegistryWithNames) -> Schema:
    """Return the schema as plain data."""
    keys = _described(ConfigDict, _top())
    own = {"options": _options_beside(registry), "topology_entry": _entry(registry)}
    return {
        "$schema": DIALECT,
        "title": "cluster_kit configuration",
        **_object(keys, required=["topologies"]),
        "dependentRequired": {"cert": ["key", "ca"], "key": ["cert", "ca"], "ca": ["cert", "key"]},
        "patternProperties": {"^x-": {"description": "Your own keys, such as for YAML anchors."}},
        "$defs": {kind: _component(registry, kind) for kind in _KINDS} | own,
    }


def _top() -> Mapping[str, Schema]:
    """Return the schemas of the top-level keys."""
    return {
        "node": {"type": "string"},
        "cluster": {"type": "string", "default": "default"},
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
        "secret": of_type(Secret),
        "secret_file": of_type(Path),
        "previous_secrets": of_type(tuple[Secret, ...]),
        **dict.fromkeys(KEYS, of_type(Path)),
        "insecure": _or_reference({"type": "boolean"}) | {"default": False},
        "topologies": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": _NAME},
            "additionalProperties": {"$ref": "#/$defs/topology_entry"},
        },
    }


def _entry(registry: PluginRegistryWithNames) -> Schema:
    """Return the schema of one entry under ``topologies``."""
    own, plain = dict(_properties(TopologyConfig)), plain_readers(TopologyConfig)
    strategy: Schema = {"$ref": "#/$defs/strategy"}
    keys: Mapping[str, Schema] = {
        "use": {"enum": list(registry.names("spec"))},
        "strategy": {"anyOf": [strategy, {"type": "array", "minItems": 1, "items": strategy}]},
        "config": {"type": ["object", "null"]},
        "connector": {"$ref": "#/$defs/connector", "default": "tcp"},
        **dict.fromkeys(CALLBACKS, _CALLBACK),
        "topology": {"$ref": "#/$defs/topology", "default": "full_mesh"},
        "child_spec": _object(_described(ChildSpecDict, dict(_properties(ChildSpec)))),
        "group": {"type": "string"},
        **{name: own[name] for name in plain},
    }
    either = {"anyOf": [{"required": ["strategy"]}, {"required": ["use"]}]}
    described = _object(_described(TopologyDict, keys))
    return {**described, "allOf": [either, {"$ref": "#/$defs/options"}]}


def _component(registry: PluginRegistryWithNames, kind: Kind) -> Schema:
    """Return the schema of a component: its name, or a mapping of name and options."""
    names: list[Schema] = []
    forms: list[Schema] = []
    for name, cls in _offered(registry, kind):
        names.append({"const": name, "description": _summary(cls)})
        properties = {"name": {"const": name}, **dict(_properties(cls))}
        forms.append(_object(properties, required=["name", *_required(cls)]))
    other = {"type": "object", "properties": {"name": _TARGET}, "required": ["name"]}
    return {"anyOf": [{"anyOf": [*names, _TARGET]}, *forms, other]}


def _options_beside(registry: PluginRegistryWithNames) -> Schema:
    """Return the schema of ``config`` for each strategy that an entry names."""
    return {
        "allOf": [
            {
                "if": {"properties": {"strategy": {"const": name}}, "required": ["strategy"]},
                "then": _config_of(cls),
            }
            for name, cls in _offered(registry, "strategy")
        ]
    }


def _config_of(cls: type) -> Schema:
    """Return what an entry with the strategy ``cls`` must have as ``config``."""
    required = _required(cls)
    schema = _object(dict(_properties(cls)), required=required)
    if required:
        return {"properties": {"config": schema}, "required": ["config"]}
    return {"properties": {"config": _or_null(schema)}}


def _offered(registry: PluginRegistryWithNames, kind: Kind) -> Iterator[tuple[str, type]]:
    for name in registry.names(kind):
        try:
            yield name, registry.resolve(kind, name)
        except ClusterKitError:  # such as an extra that isn't installed
            continue


# -- the options of a class ------------------------------------------------------------------------


def _properties(cls: type) -> Iterator[tuple[str, Schema]]:
    """Yield the schema of each option of ``cls``, by each of its names."""
    options = options_of(cls)
    kinds, texts = get_type_hints(cls, include_extras=True) if options else {}, _texts_of(cls)
    for option in options:
        schema = dict(of_type(kinds[option.name]))
        if isinstance(option.default, str | int | float | bool):
            schema["default"] = option.default
        names = names_of(option)
        if names[0] in texts:
            schema["description"] = texts[names[0]]
        for name in names:
            yield name, schema


def _required(cls: type) -> list[str]:
    """Return the options that must be given, except those with aliases."""
    return [
        names_of(option)[0]
        for option in options_of(cls)
        if is_required(option) and not option.metadata.get("aliases")
    ]


def of_type(kind: Any) -> Schema:
    """Return the schema of an option of type ``kind``; it allows anything for an unknown type."""
    origin, arguments = get_origin(kind), get_args(kind)
    bounds = bounds_of(kind)
    if origin is Annotated:
        return _bounded(of_type(arguments[0]), bounds)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, UnionType):
        return _union(arguments)
    if origin is tuple:
        array: Schema = {"type": "array", "items": of_type(arguments[0])}
        return {"anyOf": [array, _SEPARATED]} if is_separable(arguments[0]) else array
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": ["object", "null"], "additionalProperties": of_type(arguments[1])}
    if kind is Callback:
        return _CALLBACK
    if is_dataclass(kind) and isinstance(kind, type):
        return _object(dict(_properties(kind)), required=_required(kind))
    if kind not in _PLAIN:
        return {}
    plain: Schema = {"type": _PLAIN[kind]}
    return plain if plain["type"] == "string" else _or_reference(plain)


def _bounded(schema: Schema, bounds: Bounds | None) -> Schema:
    """Return the schema of a number that has bounds."""
    if bounds is None:
        return schema
    given = {"minimum": bounds.ge, "exclusiveMinimum": bounds.gt, "maximum": bounds.le}
    limits = {keyword: limit for keyword, limit in given.items() if limit is not None}
    number, *others = schema.get("anyOf", [schema])
    return {"anyOf": [number | limits, *others]} if others else number | limits


def _union(arguments: tuple[Any, ...]) -> Schema:
    rest = [each for each in arguments if each is not NoneType]
    if len(rest) == len(arguments):
        return {"anyOf": [of_type(each) for each in rest]}
    return _or_null(of_type(reduce(or_, rest)))


def _texts_of(cls: type) -> dict[str, str]:
    """Return the texts under ``Args:`` or ``Attributes:`` in the docstring of ``cls``, by name."""
    docstrings = [
        inspect.cleandoc(vars(each).get("__doc__") or "") for each in reversed(cls.__mro__)
    ]
    arguments = [match for docstring in docstrings for match in _ARGUMENT.finditer(docstring)]
    return {match[1]: " ".join(match[2].split()).replace("``", "'") for match in arguments}


def _summary(cls: type) -> str:
    return inspect.cleandoc(cls.__doc__ or "").partition("\n")[0].replace("``", "'")


def _described(cls: type, keys: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return ``keys`` with their descriptions in the docstring of ``cls``."""
    texts = _texts_of(cls)
    return {key: schema | {"description": texts[key]} for key, schema in keys.items()}


def _object(properties: Mapping[str, Schema], required: list[str] | None = None) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
    }
    return schema | {"required": required} if required else schema


def _or_reference(schema: Schema) -> Schema:
    return {"anyOf": [schema, _REFERENCE]}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}
