"""Turns a file or a dict into a ``ClusterConfig``; reads the top-level keys."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cluster_kit.config import certificate_settings
from cluster_kit.config.components import ComponentReader, PluginRegistryLike
from cluster_kit.config.dicts import ConfigDict
from cluster_kit.config.document import Document, Faults, Piece
from cluster_kit.config.model import ClusterConfig
from cluster_kit.config.options import convert
from cluster_kit.config.secret import SECRET_VARIABLE, Secret
from cluster_kit.config.secret_file import MAX_SECRETS, SecretFile, read_secret_file
from cluster_kit.config.topologies import read_topologies
from cluster_kit.config.values import fence, ignore, plain, read_fields, switch
from cluster_kit.errors import ConfigError
from cluster_kit.host import is_unspecified, why_unexpanded
from cluster_kit.node import Node, canonical_name


def load_config(
    source: ConfigDict | Mapping[str, Any] | str | os.PathLike[str] | ClusterConfig,
    registry: PluginRegistryLike,
    *,
    node: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> ClusterConfig:
    """Read and check a configuration.

    Args:
        source: A YAML file, or a dict of the same shape. A ``ClusterConfig`` is returned as it is.
        registry: The plugins.
        node: Replaces the configuration's own ``node``.
        environ: Variables for ``${NAME}`` in a file, by default the process's; text in a dict is
            literal. CLUSTER_KIT_SECRET is used if the configuration names no secret.

    Raises:
        ConfigError: It cannot be used; ``errors`` lists every fault.
    """
    if isinstance(source, ClusterConfig):
        if node is not None:
            raise ConfigError("cannot rename a loaded configuration: load it again", path="node")
        return source
    document = _document(source, environ)
    variable = _variable(environ)
    del source  # a traceback with local variables would show the secrets in it
    if isinstance(document, ConfigError):
        raise document
    faults = Faults(document.errors)
    with faults:
        if node is not None:
            node = _node(Piece(Document(data={}), ("node",), node))
    with faults:
        config = _cluster(document.root, registry, node, variable)
    faults.check()
    return config


def _document(
    source: ConfigDict | Mapping[str, Any] | str | os.PathLike[str],
    environ: Mapping[str, str] | None,
) -> Document | ConfigError:
    """Return the document, or the error without its traceback, which would hold the file's text."""
    if isinstance(source, Mapping):
        return Document(data=source)
    from cluster_kit.config.yaml_source import read_yaml  # a dict needs no YAML

    try:
        return read_yaml(os.fspath(source), os.environ if environ is None else environ)
    except ConfigError as exc:
        exc.__cause__ = exc.__context__ = None
        return exc.with_traceback(None)


def _cluster(
    root: Piece, registry: PluginRegistryLike, node: str | None, variable: Secret | None
) -> ClusterConfig:
    keys = root.by_key().keys()
    names_secret = not keys.isdisjoint({"secret", "secret_file"})
    has_secret = names_secret or variable is not None
    host = _host(root, node)
    components = ComponentReader(
        registry,
        host,
        insecure=_is_insecure(root),
        has_secret=has_secret,
        has_certificates=not keys.isdisjoint(certificate_settings.FILES),
    )
    readers = {
        "node": _node if node is None else ignore,
        "cluster": fence,
        "metadata": _metadata,
        "secret": _secret,
        "secret_file": partial(_secret_file, beside="secret" in keys),
        "previous_secrets": partial(_previous_secrets, has_secret=has_secret),
        "insecure": switch,
        "topologies": partial(read_topologies, components=components),
        **dict.fromkeys((*certificate_settings.KEYS, *filter(is_extension, keys)), ignore),
    }
    faults = Faults()
    given: dict[str, Any] = {} if node is None else {"node": node}
    with faults:
        given |= read_fields(root, readers, required=["topologies"])
    with faults:
        if variable is not None and not names_secret:
            given["secret"] = _of_environment(variable)
    with faults:
        given["certificates"] = certificate_settings.read_certificates(root, host)
    faults.check()
    return ClusterConfig(**given)


# -- secrets ---------------------------------------------------------------------------------------


def _secret(piece: Piece) -> Secret:
    secret = Secret(convert(piece, Secret).reveal().rstrip("\r\n"))
    fault = _fault_of(secret)
    if fault is not None:
        raise piece.error(fault)
    return secret


def _variable(environ: Mapping[str, str] | None) -> Secret | None:
    value = (os.environ if environ is None else environ).get(SECRET_VARIABLE)
    return Secret(value.rstrip("\r\n")) if value else None


def _of_environment(secret: Secret) -> Secret:
    fault = _fault_of(secret)
    if fault is not None:
        raise ConfigError(f"environment variable {SECRET_VARIABLE}: {fault}")
    return secret


def _fault_of(secret: Secret) -> str | None:
    """Return why ``secret`` can't be one, without showing any of it."""
    text = secret.reveal()
    if not text.strip():
        return "is empty: 'cluster-kit secret' makes a secret"
    if "\n" in text:
        return "has several lines: write one, and further accepted secrets as 'previous_secrets'"
    if any("\ud800" <= char <= "\udc7f" or "\udd00" <= char <= "\udfff" for char in text):
        return "has half of a surrogate pair, which has no bytes: remove it"
    return None


def _secret_file(piece: Piece, *, beside: bool) -> SecretFile:
    if beside:
        raise piece.key_error("conflicts with 'secret'", "give one of them")
    path: Path = convert(piece, Path)
    try:
        return read_secret_file(path)
    except ConfigError as exc:
        raise piece.error_of(exc.fault) from None


def _previous_secrets(piece: Piece, *, has_secret: bool) -> tuple[Secret, ...]:
    secrets: tuple[Secret, ...] = convert(piece, tuple[Secret, ...])
    if not has_secret and secrets:
        cure = f"give 'secret', 'secret_file' or {SECRET_VARIABLE}"
        raise piece.key_error("needs a current secret", cure)
    if len(secrets) > MAX_SECRETS:
        raise piece.error(f"more than {MAX_SECRETS} secrets", "remove those that nobody uses")
    for secret in secrets:
        fault = _fault_of(secret)
        if fault is not None:
            raise piece.error(f"one secret {fault}")
    return secrets


def is_extension(key: str) -> bool:
    """Whether a top-level key is the user's own, such as for YAML anchors, as in Compose files."""
    return key.startswith("x-")


def _host(root: Piece, node: str | None) -> str | None:
    """Return the host where components serve; ``None`` if a fault hides it."""
    try:
        fields = root.by_key()
        if node is None and "node" in fields:
            node = _node(fields["node"])
    except ConfigError:
        return None
    return ClusterConfig(node=node, topologies={}).host


def _is_insecure(root: Piece) -> bool:
    """Whether components may serve off loopback unprotected; true if a fault hides it."""
    try:
        fields = root.by_key()
        return "insecure" in fields and bool(switch(fields["insecure"]))
    except ConfigError:
        return True


def _node(piece: Piece) -> str:
    given: str = plain(piece, str)
    try:
        name = canonical_name(given)
    except ValueError as exc:
        cure = "" if why_unexpanded(given) else "a name is basename@host, such as web@${POD_IP}"
        raise piece.error(str(exc), cure) from exc
    host = name.partition("@")[2]
    if is_unspecified(host):
        what = f"invalid name {given!r}: {host} means every interface"
        raise piece.error(what, "name an address that peers can reach, such as ${POD_IP}")
    return name


def _metadata(piece: Piece) -> dict[str, str]:
    metadata: dict[str, str] = convert(piece, Mapping[str, str])
    try:
        Node(address="127.0.0.1:0", metadata=metadata)
    except ValueError as exc:
        raise piece.error(str(exc)) from exc
    return metadata
