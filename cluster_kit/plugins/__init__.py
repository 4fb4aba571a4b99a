"""Loads plugins, each in isolation: a broken one is reported, and affects no other.

Built-ins and entry points of the group ``cluster_kit`` are loaded in the same way. A plugin
*offers* classes by name, which are imported when a configuration names them, and receives
*notices*, which are events. A broken plugin raises an error only when something that it offers is
used.

================  =================================================================================
here              ``PluginRegistry``: loads the plugins, and looks up what they offer
``entry_points``  finds the plugins that are installed
``validation``    checks a plugin's functions, and what they return, against ``hookspecs``
``hook_caller``   calls the functions, and contains what a notice raises
================  =================================================================================

Environment: ``CLUSTER_KIT_PLUGINS=a,b`` loads only these entry points (empty: none),
``CLUSTER_KIT_BLOCK_PLUGINS=x`` leaves some out, ``CLUSTER_KIT_STRICT_PLUGINS=1`` makes every fault
fatal, ``CLUSTER_KIT_TRACE_HOOKS=1`` shows each call on stderr.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from cluster_kit.config.targets import (
    CONTRACTS,
    Kind,
    Offered,
    import_class,
    import_object,
    raised_at,
    reason_of,
    target_of,
)
from cluster_kit.errors import PluginError
from cluster_kit.events import Event
from cluster_kit.fault import did_you_mean
from cluster_kit.plugins.entry_points import InstalledPlugin, installed_plugins
from cluster_kit.plugins.hook_caller import HookCaller, Hooks
from cluster_kit.plugins.validation import checked_offers, hooks_of

if TYPE_CHECKING:
    from cluster_kit.config import ClusterConfig, ConfigDict

log = logging.getLogger(__name__)

_BUILT_IN = "built in"
BUILT_IN = ("cluster_kit.strategies", "cluster_kit.connectors", "cluster_kit.topologies")
OFFERS: Mapping[Offered, str] = MappingProxyType(
    {
        "strategy": "cluster_kit_strategies",
        "connector": "cluster_kit_connectors",
        "topology": "cluster_kit_topologies",
        "spec": "cluster_kit_topology_specs",
        "command": "cluster_kit_commands",
    }
)


class PluginStatus(StrEnum):
    """What became of a plugin."""

    LOADED = "loaded"
    """Its offers and notices are in use."""
    SKIPPED = "skipped"
    """``CLUSTER_KIT_PLUGINS`` doesn't list it; it was not imported."""
    BLOCKED = "blocked"
    """``CLUSTER_KIT_BLOCK_PLUGINS`` lists it; it was not imported."""
    FAILED = "failed"
    """Something is wrong with it; nothing of it is in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """A plugin and what became of it.

    Attributes:
        name: Name of the entry point; a built-in's module.
        distribution: Name and version of the distribution that ships it, or ``built in``.
        error: Why it failed, in one line.
        offers: The names that it offers, by kind.
        hooks: The hooks that it implements.
    """

    name: str
    distribution: str
    status: PluginStatus = PluginStatus.LOADED
    error: str | None = None
    offers: Mapping[Offered, tuple[str, ...]] = field(default_factory=dict)
    hooks: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution})"


@dataclass(frozen=True, slots=True)
class _Offer:
    plugin: PluginInfo
    value: Any


class PluginRegistry:
    """The plugins that a supervisor uses; make one with ``load``."""

    plugins: tuple[PluginInfo, ...]
    """All plugins that were found, built-ins first."""

    def __init__(self, *, trace: bool = False) -> None:
        self.plugins = ()
        self._hooks = HookCaller(trace=trace)
        self._offers: dict[Offered, dict[str, list[_Offer]]] = {kind: {} for kind in OFFERS}

    @classmethod
    def load(
        cls, environ: Mapping[str, str] = os.environ, *, before: Callable[[], None] | None = None
    ) -> Self:
        """Load the built-ins and every installed plugin, as far as ``environ`` allows.

        Args:
            environ: Holds the variables listed at the top of this module.
            before: Called before each installed plugin is imported; if it raises, that plugin
                counts as failed.

        Raises:
            PluginError: A plugin failed and ``CLUSTER_KIT_STRICT_PLUGINS`` is set.
        """
        registry = cls(trace=_is_set(environ, "CLUSTER_KIT_TRACE_HOOKS"))
        strict = _is_set(environ, "CLUSTER_KIT_STRICT_PLUGINS")
        for found, load in _find(before or _do_nothing):
            excluded = _excluded(found, environ)
            if excluded is None:
                info = registry._load(found, load, strict)
            else:
                info = replace(found, status=excluded)
            registry.plugins = (*registry.plugins, info)
        return registry

    def names(self, kind: Offered) -> tuple[str, ...]:
        """Return the names that plugins offer, sorted."""
        return tuple(sorted(self._offers[kind]))

    def resolve(self, kind: Kind, name: str) -> type:
        """Import, check and return the class that a configuration calls ``name``.

        Raises:
            PluginError: No plugin offers the name, several do, or the class cannot be imported or
                breaks its contract.
            ConfigError: An extra that the class needs isn't installed.
        """
        offer = self._offer(kind, name)
        with _blamed(kind, name, offer.plugin):
            # Not at the top: a registry that resolves nothing needs no msgspec.
            from cluster_kit.config.contract import check_contract

            found: type = offer.value
            if isinstance(offer.value, str):
                found = import_class(offer.value, CONTRACTS[kind])
            target_of(found)
            check_contract(found, kind)
            return found

    def origin(self, kind: Offered, name: str) -> str:
        """Return the plugin and distribution that offer ``name``, as messages show them."""
        return f"plugin {self._offer(kind, name).plugin}"

    def owners(self, kind: Offered, name: str) -> tuple[PluginInfo, ...]:
        """Return the plugins that offer ``name``; a built-in's name has no other owner."""
        return tuple(offer.plugin for offer in self._offers[kind].get(name, ()))

    def topology_spec(self, name: str) -> Mapping[str, Any]:
        """Return the ready-made topology ``name``, unchecked.

        Raises:
            PluginError: No plugin offers it, or several do.
        """
        spec: Mapping[str, Any] = self._offer("spec", name).value
        return spec

    def command(self, name: str) -> Any:
        """Import and return the command ``name`` of the command line, unchecked.

        Raises:
            PluginError: No plugin offers it, several do, or it can't be imported.
        """
        offer = self._offer("command", name)
        with _blamed("command", name, offer.plugin):
            return import_object(offer.value) if isinstance(offer.value, str) else offer.value

    def _offer(self, kind: Offered, name: str) -> _Offer:
        offers = self._offers[kind].get(name)
        if offers is None:
            hint = f"{did_you_mean(name, self.names(kind))}{self._unused()}"
            raise PluginError(f"unknown {kind} {name!r}{hint}", plugin=name)
        if len(offers) > 1:
            sides = " and ".join(str(offer.plugin) for offer in offers)
            fault = f"{kind} {name!r} is offered by {sides}: block or uninstall one of them"
            raise PluginError(fault, plugin=name)
        return offers[0]

    def notify(self, event: Event) -> None:
        """Notify every plugin that implements a notice; log what one of them raises."""
        self._hooks.notify(event)

    def _load(self, found: PluginInfo, load: Callable[[], object], strict: bool) -> PluginInfo:
        """Load one plugin and return what became of it."""
        try:
            hooks = hooks_of(self._hooks.manager, load())
            offered = self._ask(str(found), hooks)
            self._hooks.register(str(found), hooks)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:
            reason = reason_of(exc) + raised_at(exc)
            if strict:
                raise _error(f"plugin {found}: {reason}", found) from exc
            log.warning("plugin %s failed to load and is not used: %s", found, reason)
            log.debug("plugin %s", found, exc_info=exc)
            return replace(found, status=PluginStatus.FAILED, error=reason)
        names = {kind: tuple(sorted(values)) for kind, values in offered.items()}
        loaded = replace(found, hooks=tuple(sorted(hooks)), offers=names)
        for kind, values in offered.items():
            for name, value in values.items():
                self._add(kind, name, _Offer(loaded, value), strict)
        return loaded

    def _ask(self, plugin: str, hooks: Hooks) -> dict[Offered, Mapping[str, Any]]:
        """Return what a plugin offers, checked."""
        return {
            kind: checked_offers(kind, hook, self._hooks.call(plugin, hooks[hook]))
            for kind, hook in OFFERS.items()
            if hook in hooks
        }

    def _add(self, kind: Offered, name: str, offer: _Offer, strict: bool) -> None:
        """Add an offer, unless a built-in has its name: such names never change their meaning."""
        offers = self._offers[kind].setdefault(name, [])
        if not any(each.plugin.distribution == _BUILT_IN for each in offers):
            offers.append(offer)
            return
        fault = f"{kind} {name!r} is ignored: a built-in has that name, choose another"
        message = f"plugin {offer.plugin}: {fault}"
        if strict:
            raise _error(message, offer.plugin)
        log.warning("%s", message)

    def _unused(self) -> str:
        """Name the plugins that are not in use: one of them may offer the missing name."""
        text = ""
        for info in self.plugins:
            if info.status is not PluginStatus.LOADED:
                why = f"failed: {info.error}" if info.error else f"is {info.status}"
                text += f"; plugin {info} {why}"
        return text


def _error(message: str, plugin: PluginInfo) -> PluginError:
    return PluginError(message, plugin=plugin.name, distribution=plugin.distribution)


def _find(before: Callable[[], None]) -> Iterator[tuple[PluginInfo, Callable[[], object]]]:
    """Yield every plugin, and the function that imports it."""
    for module in BUILT_IN:
        yield PluginInfo(name=module, distribution=_BUILT_IN), partial(import_module, module)
    for plugin in installed_plugins():
        info = PluginInfo(name=plugin.name, distribution=plugin.distribution)
        yield info, partial(_import, before, plugin)


def _import(before: Callable[[], None], plugin: InstalledPlugin) -> object:
    before()
    return plugin.load()


def _do_nothing() -> None:
    pass


def _excluded(found: PluginInfo, environ: Mapping[str, str]) -> PluginStatus | None:
    """Return how the environment excludes a plugin; ``None`` if it doesn't."""
    if found.name in _words(environ.get("CLUSTER_KIT_BLOCK_PLUGINS", "")):
        return PluginStatus.BLOCKED
    only = environ.get("CLUSTER_KIT_PLUGINS")
    if only is not None and found.name not in {*BUILT_IN, *_words(only)}:
        return PluginStatus.SKIPPED
    return None


def _words(text: str) -> set[str]:
    return {word.strip() for word in text.split(",")}


def _is_set(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "0") not in ("", "0")


@contextmanager
def _blamed(kind: Offered, name: str, plugin: PluginInfo) -> Iterator[None]:
    """Name the plugin in what is raised while one of its offers is imported."""
    try:
        yield
    except PluginError as exc:
        raise _error(f"{kind} {name!r} of plugin {plugin}: {exc}", plugin) from exc


def load_config(
    source: ConfigDict | Mapping[str, Any] | str | os.PathLike[str] | ClusterConfig,
    registry: PluginRegistry | None = None,
    *,
    node: str | None = None,
) -> ClusterConfig:
    """Read and check a configuration.

    Args:
        source: A dict, or the path of a YAML file of the same shape. What this function returned
            earlier is returned as it is.
        registry: The plugins whose names it may use; by default those that are installed.
        node: The node's name, instead of the one in ``source``.

    Raises:
        ConfigError: The configuration has faults; ``errors`` lists all of them.

    Example::

        config = load_config({"cluster": "shop", "topologies": {"lan": {"strategy": "gossip"}}})
    """
    from cluster_kit.config import load_config as load  # a registry alone needs no msgspec

    return load(source, registry or PluginRegistry.load(), node=node)
