"""Reads a strategy, connector or topology into a ``Component`` that works in a worker.

It may be a plugin's name, ``package.module:Class``, or a mapping of ``name`` and options; in a dict
also a class or a configured instance. It is built once here, so that whatever is wrong with it is
found before anything starts.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from cluster_kit.abc import Connector, Strategy
from cluster_kit.config.contract import check_contract, faults_of_instance
from cluster_kit.config.document import Faults, Part, type_name
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


class PluginRegistryLike(Protocol):
    """What a configuration needs to know of the plugins."""

    def resolve(self, kind: Kind, name: str) -> type:
        """Return the class that plugins offer under ``name``, checked.

        Raises:
            PluginError: There is none, or it can't work.
            ConfigError: It needs an extra that isn't installed.
        """

    def origin(self, kind: Offered, name: str) -> str:
        """Return which plugin of which distribution offers ``name``, as messages show it."""

    def topology_spec(self, name: str) -> Mapping[str, Any]:
        """Return the ready-made topology ``name``; raises ``PluginError`` if there is none."""


class ComponentReader:
    """Reads the components of one configuration.

    Args:
        registry: Knows the plugins.
        host: Where parts serve; ``None`` where that can't be told.
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

    def ready_made(self, part: Part) -> tuple[Mapping[str, Any], str]:
        """Return the ready-made topology that ``part`` names, and its name in messages."""
        name: str = plain(part, str)
        with _blaming(part):
            spec = self._registry.topology_spec(name)
        whose = f"the ready-made topology {name!r} of {self._registry.origin('spec', name)}"
        if "use" in spec:
            raise part.error(f"{whose} uses another one: report it to whoever wrote it")
        return spec, whose

    def read_all(
        self, part: Part, kind: Kind, options: Part | None = None
    ) -> tuple[Component, ...]:
        """Read one component or several; only a single one can have ``options`` elsewhere."""
        if not isinstance(part.value, list | tuple):
            return (self.read(part, kind, options),)
        if not part.value:
            raise part.error(f"expected at least one {kind}, got an empty list")
        faults = Faults()
        with faults:
            if options is not None and options.value:
                raise options.key_error(
                    f"cannot be given for a list: write each {kind}'s options beside its name"
                )
        components = []
        for item in part.items():
            with faults:
                components.append(self.read(item, kind))
        faults.check()
        return tuple(components)

    def read(self, part: Part, kind: Kind, options: Part | None = None) -> Component:
        """Read one component.

        Args:
            part: Which one.
            kind: What it has to be.
            options: Its options, where they are written elsewhere.
        """
        named, inside = _split(part)
        if options is not None and options.value and inside.value:
            raise options.key_error(
                f"options are given here and under {part.key!r}: write all of them in one place"
            )
        if isinstance(named.value, str | type):
            component, built = self._of_class(named, kind, inside if options is None else options)
        else:
            component, built = _of_instance(named, kind, options)
        origin = self._origin(named.value, kind)
        cls = type(built).__qualname__
        Faults(
            part.error(f"{cls}{origin} cannot be used: {fault}")
            for fault in faults_of_instance(built, kind)
        ).check()
        if self._host is not None and kind != "topology":
            self._check_place(part, built, self._host, origin)
        return component

    def _origin(self, named: object, kind: Kind) -> str:
        """Return `` of plugin NAME (DISTRIBUTION)`` for a part that a plugin offers."""
        return (
            f" of {self._registry.origin(kind, named)}"
            if isinstance(named, str) and ":" not in named
            else ""
        )

    def _check_place(self, part: Part, built: Any, host: str, origin: str) -> None:
        """Refuse a part that can't serve there, or would serve other machines unprotected."""
        try:
            address = built.serves_on(host)
            exposed = address is not None and not is_loopback(address)
        except ValueError as exc:
            raise part.error(f"cannot serve on {exc}") from exc
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # it is the plugin's code
            raise part.error(
                f"{type(built).__qualname__}{origin} cannot tell where it serves: {reason_of(exc)}"
            ) from exc
        if exposed and not self._insecure:
            self._check_protected(part, built, f"{address!r}")

    def _check_protected(self, part: Part, built: Any, address: str) -> None:
        """Refuse an unprotected part off loopback; a strategy gives hints that links verify."""
        if not (self._has_secret or self._has_certificates):
            raise part.error(
                f"serves off loopback on {address}, where anybody could join: give the cluster a "
                "secret, by "
                "'cluster-kit secret --output FILE' and the key 'secret_file: FILE', or the node a "
                "name with a loopback host; "
                "'insecure: true' lets anybody in"
            )
        if isinstance(built, Strategy) and built.needs_secret and not self._has_secret:
            raise part.error(
                f"serves off loopback on {address}, where anybody could forge what "
                f"{type(built).__qualname__} receives, as certificates protect only links: also "
                "give "
                "the cluster a secret, by 'cluster-kit secret --output FILE' and the key "
                "'secret_file: FILE'; 'insecure: true' accepts forgeries"
            )
        if isinstance(built, Connector) and not built.uses_secret:
            unused = "the secret" if self._has_secret else "the certificates"
            raise part.error(
                f"serves off loopback on {address}, where anybody could join, as "
                f"{type(built).__qualname__} doesn't use "
                f"{unused}: it needs 'insecure: true', or another connector, such as tcp"
            )

    def _of_class(self, part: Part, kind: Kind, options: Part) -> tuple[Component, object]:
        with _blaming(part):
            cls = self._resolve(part.value, kind)
            target = target_of(cls)
        given = read_options(options, cls)
        name = part.value if isinstance(part.value, str) else target
        built = construct(options, cls, given, self._origin(part.value, kind))
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


def _of_instance(part: Part, kind: Kind, options: Part | None) -> tuple[Component, object]:
    instance = part.value
    if not isinstance(instance, CONTRACTS[kind]):
        raise part.error(
            f"expected the name of a {kind}, package.module:Class or a mapping, got "
            f"{type_name(instance)}"
        )
    if options is not None and options.value:
        raise options.key_error(f"cannot be given for an instance: configure the {kind} itself")
    with _blaming(part):
        target = target_of(type(instance))
        check_contract(type(instance), kind, built=True)
    try:
        pickle.dumps(instance)
    except Exception as exc:  # pickling runs the plugin's code
        raise part.error(f"{target!r} cannot be sent to a worker: {reason_of(exc)}") from exc
    return Component(name=target, target=target, instance=instance), instance


@contextmanager
def _blaming(part: Part) -> Iterator[None]:
    """Turn an error about a class into one about the place that names it."""
    try:
        yield
    except (PluginError, ConfigError) as exc:
        raise part.error(str(exc)) from exc


def _split(part: Part) -> tuple[Part, Part]:
    """Return the part that names a component, and the options that are written beside its name."""
    if not isinstance(part.value, Mapping):
        return part, part.replaced({})
    fields = part.by_key()
    if "name" not in fields:
        raise part.error("missing key 'name': expected a name and options beside it")
    return fields.pop("name"), part.replaced({key: field.raw for key, field in fields.items()})
