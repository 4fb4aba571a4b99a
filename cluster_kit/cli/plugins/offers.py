"""Checks everything that the installed plugins offer, as if a configuration named all of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any

import click

from cluster_kit.config.contract import faults_of_instance
from cluster_kit.config.document import type_name
from cluster_kit.config.targets import Kind, Offered, raised_at, reason_of
from cluster_kit.errors import ClusterKitError, ConfigError, PluginError
from cluster_kit.plugins import BUILT_IN, PluginInfo, PluginRegistry, load_config


class OfferChecker:
    """Checks the offers of the plugins in a registry.

    Args:
        registry: The loaded plugins.
        commands: Names of the command line's own commands.
        before: Called before each offer is imported; an error that it raises is the offer's fault.
    """

    def __init__(
        self, registry: PluginRegistry, commands: Collection[str], before: Callable[[], None]
    ) -> None:
        self._registry = registry
        self._commands = commands
        self._before = before

    def faults_of(self, plugin: PluginInfo) -> tuple[str, ...]:
        """Return everything that is wrong with a plugin, each fault in one line."""
        if plugin.error:
            return (plugin.error,)
        if plugin.name in BUILT_IN:  # a missing extra is not a fault
            return ()
        offers = [(kind, name) for kind, names in sorted(plugin.offers.items()) for name in names]
        return tuple(fault for kind, name in offers for fault in self._faults(plugin, kind, name))

    def _faults(self, plugin: PluginInfo, kind: Offered, name: str) -> list[str]:
        """Return what is wrong with an offer, whatever its code raises."""
        if plugin not in self._registry.owners(kind, name):
            return [f"{kind} {name!r} is ignored: a built-in has that name, choose another"]
        try:
            self._before()
            return list(self._check(kind, name))
        except PluginError as exc:
            if len(self._registry.owners(kind, name)) > 1:
                return [str(exc)]
            # the cause of an error about an offer doesn't name the plugin, which is known here
            is_of_offer = isinstance(exc.__cause__, PluginError)
            return [f"{kind} {name!r}: {exc.__cause__ if is_of_offer else exc}"]
        except ClusterKitError as exc:
            return [f"{kind} {name!r}: {exc}"]
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # noqa: BLE001 - the boundary between plugins
            return [f"{kind} {name!r}: {reason_of(exc)}{raised_at(exc)}"]

    def _check(self, kind: Offered, name: str) -> Iterator[str]:
        if kind == "spec":
            return self._faults_of_spec(name)
        if kind == "command":
            return self._faults_of_command(name, self._registry.command(name))
        return _faults_of_class(kind, name, self._registry.resolve(kind, name))

    def _faults_of_command(self, name: str, command: Any) -> Iterator[str]:
        if name in self._commands:
            yield f"command {name!r} is not used: cluster-kit has that command; choose another name"
        if not isinstance(command, click.Command):
            cure = "decorate it with @click.command()"
            yield f"command {name!r} is a {type_name(command)}, not a click command: {cure}"

    def _faults_of_spec(self, name: str) -> Iterator[str]:
        """Yield the faults of a ready-made topology, except for keys left to its users."""
        try:
            load_config({"insecure": True, "topologies": {name: {"use": name}}}, self._registry)
        except ConfigError as exc:
            for error in exc.errors:
                if not error.missing:
                    fault = replace(error.fault, where=error.fault.where[1:])
                    yield f"spec {name!r}: {fault}"


def _faults_of_class(kind: Kind, name: str, cls: type) -> Iterator[str]:
    """Yield faults of a component built with its defaults, if it needs no options."""
    try:
        component = cls()
    except (TypeError, ValueError) as exc:
        if isinstance(exc, ValueError) or not raised_at(exc):
            return
        raise
    for fault in faults_of_instance(component, kind):
        yield f"{kind} {name!r}: {fault}"
