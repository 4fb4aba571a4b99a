"""Finds and loads plugins, each in isolation: a broken one is reported, and affects no other.

Built-ins and entry points of the group ``cluster_kit`` come through the same door. A plugin's
offers are classes by name, imported when a configuration names them; its notices are called one by
one. A fault is fatal only where something of the plugin is asked for.

Environment: ``CLUSTER_KIT_PLUGINS=a,b`` loads only these entry points (empty: none),
``CLUSTER_KIT_BLOCK_PLUGINS=x`` leaves some out, ``CLUSTER_KIT_STRICT_PLUGINS=1`` makes every fault
fatal, ``CLUSTER_KIT_TRACE_HOOKS=1`` shows each call on stderr.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from importlib import import_module
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import pluggy

from cluster_kit import hookspecs
from cluster_kit.admission import checked_offers, hooks_of
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
from cluster_kit.events import Event, NodeDown, NodeUp
from cluster_kit.fault import did_you_mean
from cluster_kit.hookspecs import PROJECT
from cluster_kit.installed import installed_plugins
from cluster_kit.throttle import Throttle

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
_NOTHING: Mapping[str, object] = MappingProxyType({})
_SLOW_S = 10.0


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
        offers: Names that it offers, by kind.
        hooks: Hooks that it implements.
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
    """The plugins of one supervisor; ``load`` makes it."""

    plugins: tuple[PluginInfo, ...]
    """All that were found, built-ins first."""

    def __init__(self, *, trace: bool = False) -> None:
        self.plugins = ()
        self._trace = trace
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._offers: dict[Offered, dict[str, list[_Offer]]] = {kind: {} for kind in OFFERS}
        self._throttle = Throttle()

    @classmethod
    def load(
        cls, environ: Mapping[str, str] = os.environ, *, before: Callable[[], None] | None = None
    ) -> Self:
        """Load the built-ins and every installed plugin, as far as ``environ`` allows.

        Args:
            environ: Where to look for the variables that this module names.
            before: Called before each plugin is imported; what it raises is a failure of that
                plugin.

        Raises:
            PluginError: A plugin failed and ``CLUSTER_KIT_STRICT_PLUGINS`` is set.
        """
        registry = cls(trace=_is_set(environ, "CLUSTER_KIT_TRACE_HOOKS"))
        strict = _is_set(environ, "CLUSTER_KIT_STRICT_PLUGINS")
        for found, load in _find(before or _proceed):
            left_out = _left_out(found, environ)
            info = (
                replace(found, status=left_out)
                if left_out
                else registry._admit(found, load, strict)
            )
            registry.plugins = (*registry.plugins, info)
        return registry

    def names(self, kind: Offered) -> tuple[str, ...]:
        """Return the names that plugins offer, sorted."""
        return tuple(sorted(self._offers[kind]))

    def resolve(self, kind: Kind, name: str) -> type:
        """Import, check and return the class that ``name`` stands for in a configuration.

        Raises:
            PluginError: No plugin offers the name, several do, or the class can't be had or can't
                work.
            ConfigError: An extra that the class needs isn't installed.
        """
        offer = self._offer(kind, name)
        with _blamed(kind, name, offer.plugin):
            # Not at the top: a registry that resolves nothing needs no msgspec.
            from cluster_kit.config.contract import check_contract

            found: type = (
                import_class(offer.value, CONTRACTS[kind])
                if isinstance(offer.value, str)
                else offer.value
            )
            target_of(found)
            check_contract(found, kind)
            return found

    def origin(self, kind: Offered, name: str) -> str:
        """Return which plugin of which distribution offers ``name``, as messages show it."""
        return f"plugin {self._offer(kind, name).plugin}"

    def owners(self, kind: Offered, name: str) -> tuple[PluginInfo, ...]:
        """Return the plugins that offer ``name``; a built-in's name is offered by it alone."""
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
            raise PluginError(
                f"unknown {kind} {name!r}{did_you_mean(name, self.names(kind))}{self._absent()}",
                plugin=name,
            )
        if len(offers) > 1:
            sides = " and ".join(str(offer.plugin) for offer in offers)
            raise PluginError(
                f"{kind} {name!r} is offered by {sides}: block or uninstall one of them",
                plugin=name,
            )
        return offers[0]

    def notify(self, event: Event) -> None:
        """Notify every plugin that implements a notice; logs what one of them raises."""
        hook = self._manager.hook
        self._tell(hook.cluster_kit_event, event=event)
        if isinstance(event, NodeUp):
            self._tell(hook.cluster_kit_node_up, topology=event.topology, node=event.node)
        elif isinstance(event, NodeDown):
            self._tell(
                hook.cluster_kit_node_down,
                topology=event.topology,
                node=event.node,
                reason=event.reason,
            )

    # -- loading -----------------------------------------------------------------------------------

    def _admit(self, found: PluginInfo, load: Callable[[], object], strict: bool) -> PluginInfo:
        """Load one plugin and return what became of it."""
        try:
            hooks = hooks_of(self._manager, load())
            offered = self._ask(str(found), hooks)
            self._register(str(found), hooks)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:
            reason = reason_of(exc) + raised_at(exc)
            if strict:
                message = f"plugin {found}: {reason}"
                raise PluginError(
                    message, plugin=found.name, distribution=found.distribution
                ) from exc
            log.warning("plugin %s failed, nothing of it is used: %s", found, reason)
            log.debug("plugin %s", found, exc_info=exc)
            return replace(found, status=PluginStatus.FAILED, error=reason)
        names: dict[Offered, tuple[str, ...]] = {
            kind: tuple(sorted(values)) for kind, values in offered.items()
        }
        loaded = replace(found, hooks=tuple(sorted(hooks)), offers=names)
        for kind, values in offered.items():
            for name, value in values.items():
                self._add(kind, name, _Offer(loaded, value), strict)
        return loaded

    def _ask(
        self, plugin: str, hooks: Mapping[str, Callable[..., Any]]
    ) -> dict[Offered, Mapping[str, Any]]:
        """Return what a plugin offers, checked."""
        return {
            kind: checked_offers(kind, hook, self._call(plugin, hooks[hook]))
            for kind, hook in OFFERS.items()
            if hook in hooks
        }

    def _register(self, name: str, hooks: Mapping[str, Callable[..., Any]]) -> None:
        """Register the hooks instead of the plugin, whose attributes may run code."""
        plugin = SimpleNamespace(**hooks)
        for other, registered in self._manager.list_name_plugin():
            if name == other or plugin == registered:
                raise ValueError(
                    f"it is there already as plugin {other}: remove one of the two entry points"
                )
        self._manager.register(plugin, name)

    def _add(self, kind: Offered, name: str, offer: _Offer, strict: bool) -> None:
        """Add an offer, unless a built-in has its name, which must keep its meaning."""
        offers = self._offers[kind].setdefault(name, [])
        if not any(each.plugin.distribution == _BUILT_IN for each in offers):
            offers.append(offer)
            return
        message = (
            f"plugin {offer.plugin}: {kind} {name!r} is left out: a built-in has that name, choose "
            "another"
        )
        if strict:
            raise PluginError(
                message, plugin=offer.plugin.name, distribution=offer.plugin.distribution
            )
        log.warning("%s", message)

    def _absent(self) -> str:
        """Name the plugins that are not in use: one of them may offer the missing name."""
        absent = [info for info in self.plugins if info.status is not PluginStatus.LOADED]
        return "".join(
            f"; plugin {info} {f'failed: {info.error}' if info.error else f'is {info.status}'}"
            for info in absent
        )

    # -- notices -----------------------------------------------------------------------------------

    def _tell(self, hook: pluggy.HookCaller, **arguments: object) -> None:
        for implementation in reversed(hook.get_hookimpls()):
            try:
                self._call(
                    implementation.plugin_name,
                    implementation.function,
                    implementation.argnames,
                    arguments,
                )
            except BaseException as exc:  # noqa: BLE001 - the boundary between plugins
                self._complain(implementation.plugin_name, hook.name, exc)

    def _complain(self, plugin: str, hook: str, exc: BaseException) -> None:
        """Log a notice's error with its traceback, at a limited rate."""
        kind = f"{plugin} {hook} {type(exc).__name__}"
        told = self._throttle.passes(kind, time.monotonic())
        level, more = (logging.ERROR, self._throttle.more(kind)) if told else (logging.DEBUG, "")
        log.log(
            level, "plugin %s: %s raised %s%s", plugin, hook, reason_of(exc), more, exc_info=exc
        )

    def _call(
        self,
        plugin: str,
        function: Callable[..., Any],
        takes: Iterable[str] = (),
        arguments: Mapping[str, object] = _NOTHING,
    ) -> Any:
        if self._trace:
            shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
            sys.stderr.write(f"{function.__name__}({shown}) -> {plugin}\n")
        return function(*(arguments[name] for name in takes))


def _find(before: Callable[[], None]) -> Iterator[tuple[PluginInfo, Callable[[], object]]]:
    """Yield every plugin, and what imports it."""
    for module in BUILT_IN:
        yield PluginInfo(name=module, distribution=_BUILT_IN), partial(import_module, module)
    for plugin in installed_plugins():
        info = PluginInfo(name=plugin.name, distribution=plugin.distribution)
        yield info, partial(_load, info, before, plugin.load)


def _load(plugin: PluginInfo, before: Callable[[], None], load: Callable[[], object]) -> object:
    before()
    with _watched(plugin):
        return load()


@contextmanager
def _watched(plugin: PluginInfo) -> Iterator[None]:
    """Log which plugin holds up the application, if its import takes long."""
    cure = f"CLUSTER_KIT_BLOCK_PLUGINS={plugin.name} leaves it out"
    timer = threading.Timer(
        _SLOW_S,
        log.warning,
        ("plugin %s is still being imported after %g s: %s", plugin, _SLOW_S, cure),
    )
    timer.daemon = True
    with suppress(RuntimeError):  # no thread is to be had: then there is no warning
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if timer.ident is not None:
            timer.join()  # whoever forks now is to find no thread


def _proceed() -> None:
    """Go on with the next plugin, whichever it is."""


def _left_out(found: PluginInfo, environ: Mapping[str, str]) -> PluginStatus | None:
    """Return why a plugin isn't to be imported, if so."""
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
    """Say whose fault it is that an offer can't be had."""
    try:
        yield
    except PluginError as exc:
        message = f"{kind} {name!r} of plugin {plugin}: {exc}"
        raise PluginError(message, plugin=plugin.name, distribution=plugin.distribution) from exc


def load_config(
    source: ConfigDict | Mapping[str, Any] | str | os.PathLike[str] | ClusterConfig,
    registry: PluginRegistry | None = None,
    *,
    node: str | None = None,
) -> ClusterConfig:
    """Read and check a YAML file, or a dict of the same shape; ``node`` takes the place of its own.

    ``registry`` knows the plugins, by default those that are installed.

    Raises:
        ConfigError: It cannot be used; ``errors`` holds every fault that it has.
    """
    from cluster_kit.config import load_config as load  # a registry alone needs no msgspec

    return load(source, registry or PluginRegistry.load(), node=node)
