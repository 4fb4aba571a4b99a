"""The way from a file or a dict to a ``ClusterConfig``, and the keys that a configuration has at its top."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from cluster_kit.config.components import ComponentReader, PluginRegistryLike
from cluster_kit.config.document import Document, Faults, Part
from cluster_kit.config.model import ClusterConfig
from cluster_kit.config.options import convert
from cluster_kit.config.topologies import read_topologies
from cluster_kit.config.values import fence, ignore, plain, read_fields, switch
from cluster_kit.errors import ConfigError
from cluster_kit.host import is_unspecified, why_unexpanded
from cluster_kit.node import Node, canonical_name

_NO_SECRETS = "sealing and TLS do not exist yet in this version; remove it"


def load_config(
    source: Mapping[str, Any] | str | os.PathLike[str] | ClusterConfig,
    registry: PluginRegistryLike,
    *,
    node: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> ClusterConfig:
    """Read and check a configuration.

    Args:
        source: A YAML file, or a dict of the same shape. A ``ClusterConfig`` is returned as it is.
        registry: Knows the plugins.
        node: Takes the place of the configuration's own ``node``.
        environ: For ``${NAME}`` in a file, by default the process's; the text in a dict is taken literally.

    Raises:
        ConfigError: It cannot be used; ``errors`` holds every fault that it has.
    """
    if isinstance(source, ClusterConfig):
        if node is not None:
            raise ConfigError("a configuration that is loaded already cannot be renamed: load it again", path="node")
        return source
    environ = os.environ if environ is None else environ
    document = _document(source, environ)
    faults = Faults(document.errors)
    with faults:
        _refuse_environment(environ)
    with faults:
        if node is not None:
            node = _node(Part(Document(data={}), ("node",), node))
    with faults:
        config = _cluster(document.root, registry, node)
    faults.check()
    return config


def _document(source: Mapping[str, Any] | str | os.PathLike[str], environ: Mapping[str, str]) -> Document:
    if isinstance(source, Mapping):
        return Document(data=source)
    from cluster_kit.config.yaml_source import read_yaml  # a dict needs no YAML

    return read_yaml(os.fspath(source), environ)


def _refuse_environment(environ: Mapping[str, str]) -> None:
    if environ.get("CLUSTER_KIT_SECRET"):
        raise ConfigError(f"environment variable CLUSTER_KIT_SECRET: {_NO_SECRETS}")


def _cluster(root: Part, registry: PluginRegistryLike, node: str | None) -> ClusterConfig:
    components = ComponentReader(registry, _host(root, node), insecure=_is_insecure(root))
    given = read_fields(
        root,
        {
            "node": _node if node is None else ignore,
            "cluster": fence,
            "metadata": _metadata,
            "insecure": switch,
            "topologies": partial(read_topologies, components=components),
            **dict.fromkeys(filter(is_extension, root.by_key()), ignore),
        },
        required=["topologies"],
        refused=dict.fromkeys(["secret", "secret_file", "previous_secrets"], _NO_SECRETS),
    )
    given = {key: value for key, value in given.items() if not is_extension(key)}
    return ClusterConfig(**(given if node is None else given | {"node": node}))


def is_extension(key: str) -> bool:
    """Whether a key at the top is the user's own, a place for YAML anchors, as in Compose files."""
    return key.startswith("x-")


def _host(root: Part, node: str | None) -> str | None:
    """Return where parts will serve; ``None`` if that can't be told because of a fault."""
    try:
        fields = root.by_key()
        if node is None and "node" in fields:
            node = _node(fields["node"])
    except ConfigError:
        return None
    return ClusterConfig(node=node, topologies={}).host


def _is_insecure(root: Part) -> bool:
    """Return whether parts may serve off loopback; true as well if that can't be told because of a fault."""
    try:
        fields = root.by_key()
        return "insecure" in fields and bool(switch(fields["insecure"]))
    except ConfigError:
        return True


def _node(part: Part) -> str:
    given: str = plain(part, str)
    try:
        name = canonical_name(given)
    except ValueError as exc:
        why = str(exc).removeprefix("node: ")
        hint = "" if why_unexpanded(given) else "; a name is basename@host, such as web@${POD_IP}"
        raise part.error(f"{why}{hint}") from exc
    host = name.partition("@")[2]
    if is_unspecified(host):
        raise part.error(
            f"invalid name {given!r}: {host} means every interface; name an address that peers can reach, such as ${{POD_IP}}"
        )
    return name


def _metadata(part: Part) -> dict[str, str]:
    metadata: dict[str, str] = convert(part, Mapping[str, str])
    try:
        Node(address="127.0.0.1:0", metadata=metadata)
    except ValueError as exc:
        raise part.error(str(exc).removeprefix("node: ")) from exc
    return metadata
