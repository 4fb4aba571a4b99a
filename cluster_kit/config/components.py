"""Reads a strategy, connector or topology into a ``Component`` that works in a worker.

A component is given as a plugin's name, ``package.module:Class``, or a mapping of ``name`` and
options; in a dict also as a class or a configured instance. It is built once here, so that its
faults show before anything starts.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from cluster_kit.abc import Connector, Strategy
from cluster_kit.config.contract import check_contract, faults_of_instance
from cluster_kit.config.document import Faults, Piece, type_name
from cluster_kit.config.model import Component
from cluster_kit.config.options import construct, read_options
from cluster_kit.config.targets import (
    CONTRACTS,
    Kind,
    Offered,
    check_class,
    import_class,
    reason_of,
    target_of,
)
from cluster_kit.config.values import plain
from cluster_kit.errors import ConfigError, PluginError
from cluster_kit.host import is_loopback

_ADD_SECRET = "run 'cluster-kit secret --output FILE' and add 'secret_file: FILE'"  # noqa: S105


class PluginRegistryLike(Protocol):
    """What reading a configuration needs to know about the plugins."""

    def resolve(self, kind: Kind, name: str) -> type:
        """Return the class that plugins offer under ``name``, checked.

        Raises:
            PluginError: There is none, or it breaks its contract.
            ConfigError: It needs an extra that isn't installed.
        """

    def origin(self, kind: Offered, name: str) -> str:
        """Return which plugin of which distribution offers ``name``, as messages show it."""

    def topology_spec(self, name: str) -> Mapping[str, Any]:
        """Return the ready-made topology ``name``; raises ``PluginError`` if there is none."""


class ComponentReader:
    """Reads the components of one configuration.

    Args:
        registry: The plugins.
        host: The host where components serve; ``None`` if a fault hides it.
        insecure: Whether they may serve off loopback unprotected.
        has_secret: Whether the cluster has a secret.
        has_certificates: Whether this node has certificates from files.
    """

    def __init__(
        self,
        registry: PluginRegistryLike,
        host: str | None,
        *,
        insecure: bool,
        has_secret: bool,
        has_certificates: bool,
    ) -> None:
        self._registry = registry
        self._host = host
        self._insecure = insecure
        self._has_secret = has_secret
        self._has_certificates = has_certificates

    def ready_made(self, piece: Piece) -> tuple[Mapping[str, Any], str]:
        """Return the ready-made topology that ``piece`` names, and its description in messages."""
        name: str = plain(piece, str)
        with _located_at(piece):
            spec = self._registry.topology_spec(name)
        title = f"the ready-made topology {name!r} of {self._registry.origin('spec', name)}"
        if "use" in spec:
            raise piece.error(f"{title} uses another one", "report it to its author")
        return spec, title

    def read_all(
        self, piece: Piece, kind: Kind, options: Piece | None = None
    ) -> tuple[Component, ...]:
        """Read one component or a list; only a single one can have separate ``options``."""
        if not isinstance(piece.value, list | tuple):
            return (self.read(piece, kind, options),)
        if not piece.value:
            raise piece.error(f"expected at least one {kind}, got an empty list")
        faults = Faults()
        with faults:
            if options is not None and options.value:
                cure = f"write each {kind}'s options beside its name"
                raise options.key_error("cannot be given for a list", cure)
        components = []
        for item in piece.items():
            with faults:
                components.append(self.read(item, kind))
        faults.check()
        return tuple(components)

    def read(self, piece: Piece, kind: Kind, options: Piece | None = None) -> Component:
        """Read one component.

        Args:
            piece: The name, mapping, class or instance.
            kind: Which contract it must fulfil.
            options: Its options, if they are written under another key.
        """
        named, inside = _split(piece)
        if options is not None and options.value and inside.value:
            why = f"options are given here and under {piece.key!r}"
            raise options.key_error(why, "write all of them in one place")
        if isinstance(named.value, str | type):
            component, built = self._of_class(named, kind, inside if options is None else options)
        else:
            component, built = _of_instance(named, kind, options)
        origin = self._origin(named.value, kind)
        cls = type(built).__qualname__
        Faults(
            piece.error(f"{cls}{origin} cannot be used: {fault}")
            for fault in faults_of_instance(built, kind)
        ).check()
        if self._host is not None and kind != "topology":
            self._check_place(piece, built, self._host, origin)
        return component

    def _origin(self, named: object, kind: Kind) -> str:
        """Return `` of plugin NAME (DISTRIBUTION)`` for a component that a plugin offers."""
        if isinstance(named, str) and ":" not in named:
            return f" of {self._registry.origin(kind, named)}"
        return ""

    def _check_place(self, piece: Piece, built: Any, host: str, origin: str) -> None:
        """Refuse a component that can't serve on ``host``, or would be open to other machines."""
        try:
            address = built.serves_on(host)
            exposed = address is not None and not is_loopback(address)
        except ValueError as exc:
            raise piece.error(f"cannot serve on {exc}") from exc
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # it is the plugin's code
            failed = f"{type(built).__qualname__}{origin}: serves_on() failed"
            raise piece.error(f"{failed}: {reason_of(exc)}") from exc
        if exposed and not self._insecure:
            self._check_protected(piece, built, address)

    def _check_protected(self, piece: Piece, built: Any, address: object) -> None:
        """Refuse a component that other machines could abuse, as it serves them unprotected."""
        cls = type(built).__qualname__
        serves = f"serves off loopback on {address!r}, where anybody could"
        if not (self._has_secret or self._has_certificates):
            others = "name the node after a loopback host, or let anybody in with 'insecure: true'"
            cure = f"{_ADD_SECRET}, {others}"
            raise piece.error(f"{serves} join", cure)
        if isinstance(built, Strategy) and built.needs_secret and not self._has_secret:
            why = f"{serves} forge what {cls} receives; certificates protect only links"
            raise piece.error(why, f"{_ADD_SECRET}, or accept forgeries with 'insecure: true'")
        if isinstance(built, Connector) and not built.uses_secret:
            unused = "secret" if self._has_secret else "certificates"
            cure = "use another connector, such as tcp, or set 'insecure: true'"
            raise piece.error(f"{serves} join: {cls} doesn't use the {unused}", cure)

    def _of_class(self, piece: Piece, kind: Kind, options: Piece) -> tuple[Component, object]:
        with _located_at(piece):
            cls = self._resolve(piece.value, kind)
            target = target_of(cls)
        given = read_options(options, cls)
        name = piece.value if isinstance(piece.value, str) else target
        built = construct(options, cls, given, self._origin(piece.value, kind))
        return Component(name=name, target=target, options=given), built

    def _resolve(self, named: str | type, kind: Kind) -> type:
        if isinstance(named, type):
            cls = check_class(named, CONTRACTS[kind], f"{named.__module__}:{named.__qualname__}")
        elif ":" in named:
            cls = import_class(named, CONTRACTS[kind])
        else:
            return self._registry.resolve(kind, named)
        check_contract(cls, kind)
        return cls


def _of_instance(piece: Piece, kind: Kind, options: Piece | None) -> tuple[Component, object]:
    instance = piece.value
    if not isinstance(instance, CONTRACTS[kind]):
        forms = f"the name of a {kind}, package.module:Class or a mapping"
        raise piece.error(f"expected {forms}, got {type_name(instance)}")
    if options is not None and options.value:
        raise options.key_error("cannot be given for an instance", f"configure the {kind} itself")
    with _located_at(piece):
        target = target_of(type(instance))
        check_contract(type(instance), kind, built=True)
    try:
        pickle.dumps(instance)
    except Exception as exc:  # pickling runs the plugin's code
        raise piece.error(f"{target!r} cannot be sent to a worker: {reason_of(exc)}") from exc
    return Component(name=target, target=target, instance=instance), instance


@contextmanager
def _located_at(piece: Piece) -> Iterator[None]:
    """Turn an error about a class into one about the place that names the class."""
    try:
        yield
    except (PluginError, ConfigError) as exc:
        raise piece.error(str(exc)) from exc


def _split(piece: Piece) -> tuple[Piece, Piece]:
    """Return the name of a component, and the options that are written beside it."""
    if not isinstance(piece.value, Mapping):
        return piece, piece.replaced({})
    fields = piece.by_key()
    if "name" not in fields:
        raise piece.error("missing key 'name'", "write a name and its options beside it")
    return fields.pop("name"), piece.replaced({key: field.raw for key, field in fields.items()})
