"""Finds and loads plugins, each by itself: what one of them does wrong is kept beside its name and reaches no other.

Built-ins and entry points of the group ``cluster_kit`` come through the same door. A plugin's offers are classes by name,
imported when a configuration names them; its notices are called one by one. A fault is fatal only where something of the
plugin is asked for.

Environment: ``CLUSTER_KIT_PLUGINS=a,b`` loads only these entry points (empty: none), ``CLUSTER_KIT_BLOCK_PLUGINS=x`` leaves
some out, ``CLUSTER_KIT_STRICT_PLUGINS=1`` makes every fault fatal, ``CLUSTER_KIT_TRACE_HOOKS=1`` shows each call on stderr.
"""

from __future__ import annotations

import inspect
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import pluggy

from cluster_kit import hookspecs
from cluster_kit.config.suggest import did_you_mean
from cluster_kit.config.targets import CONTRACTS, Kind, Offered, check_class, import_class, import_object, is_target, reason_of
from cluster_kit.errors import PluginError
from cluster_kit.events import Event, NodeDown, NodeUp
from cluster_kit.hookspecs import PROJECT

if TYPE_CHECKING:
    from cluster_kit.config import ClusterConfig

log = logging.getLogger(__name__)

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
_OFFERED_NAME = re.compile(r"[a-z][a-z0-9_]*")
_COMMAND_NAME = re.compile(r"[a-z][a-z0-9-]*")


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
        self._complained: set[tuple[str, str]] = set()

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Load the built-ins and every installed plugin, as far as ``environ`` allows.

        Raises:
            PluginError: A plugin failed and ``CLUSTER_KIT_STRICT_PLUGINS`` is set.
        """
        registry = cls(trace=_is_set(environ, "CLUSTER_KIT_TRACE_HOOKS"))
        strict = _is_set(environ, "CLUSTER_KIT_STRICT_PLUGINS")
        registry.plugins = tuple(registry._admit(found, load, environ, strict) for found, load in _find())
        return registry

    def names(self, kind: Offered) -> tuple[str, ...]:
        """Return the names that plugins offer, sorted."""
        return tuple(sorted(self._offers[kind]))

    def resolve(self, kind: Kind, name: str) -> type:
        """Import and return the class that ``name`` stands for in a configuration.

        Raises:
            PluginError: No plugin offers the name, several do, or the class can't be had.
            ConfigError: An extra that the class needs isn't installed.
        """
        offer = self._offer(kind, name)
        with _blamed(kind, name, offer.plugin):
            found: type = import_class(offer.value, CONTRACTS[kind]) if isinstance(offer.value, str) else offer.value
            return found

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
            raise PluginError(f"unknown {kind} {name!r}{did_you_mean(name, self.names(kind))}{self._absent()}", plugin=name)
        if len(offers) > 1:
            sides = " and ".join(str(offer.plugin) for offer in offers)
            raise PluginError(f"{kind} {name!r} is offered by {sides}: block or uninstall one of them", plugin=name)
        return offers[0]

    def notify(self, event: Event) -> None:
        """Tell an event to every plugin that listens; what one of them raises is logged and goes no further."""
        hook = self._manager.hook
        self._tell(hook.cluster_kit_event, event=event)
        if isinstance(event, NodeUp):
            self._tell(hook.cluster_kit_node_up, topology=event.topology, node=event.node)
        elif isinstance(event, NodeDown):
            self._tell(hook.cluster_kit_node_down, topology=event.topology, node=event.node, reason=event.reason)

    # -- loading ---------------------------------------------------------------------------------------------------------------

    def _admit(self, found: PluginInfo, load: Callable[[], object], environ: Mapping[str, str], strict: bool) -> PluginInfo:
        """Load one plugin and return what became of it."""
        left_out = _left_out(found, environ)
        if left_out is not None:
            return replace(found, status=left_out)
        try:
            plugin = load()
            self._register(plugin, str(found))
            offered = self._ask(plugin)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:
            self._manager.unregister(name=str(found))
            reason = reason_of(exc)
            if strict:
                message = f"plugin {found}: {reason}"
                raise PluginError(message, plugin=found.name, distribution=found.distribution) from exc
            log.warning("plugin %s failed, nothing of it is used: %s", found, reason)
            log.debug("plugin %s", found, exc_info=exc)
            return replace(found, status=PluginStatus.FAILED, error=reason)
        hooks = tuple(sorted(caller.name for caller in self._manager.get_hookcallers(plugin) or ()))
        loaded = replace(found, hooks=hooks, offers={kind: tuple(sorted(names)) for kind, names in offered.items()})
        for kind, classes in offered.items():
            for name, value in classes.items():
                self._offers[kind].setdefault(name, []).append(_Offer(loaded, value))
        return loaded

    def _register(self, plugin: object, name: str) -> None:
        """Register a plugin, or raise because of what it implements."""
        self._manager.register(plugin, name)
        self._manager.check_pending()
        callers = self._manager.get_hookcallers(plugin)
        if not callers:
            raise TypeError("it implements no hook: mark its functions with @cluster_kit.hookimpl")
        for caller in callers:
            function = _implementation(caller, plugin).function
            if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
                raise TypeError(f"{caller.name} must be a plain function, neither async nor a generator")

    def _ask(self, plugin: object) -> dict[Offered, Mapping[str, Any]]:
        """Return what a registered plugin offers, checked."""
        callers = {caller.name: caller for caller in self._manager.get_hookcallers(plugin) or ()}
        return {
            kind: _checked(kind, hook, self._call(_implementation(callers[hook], plugin), {}))
            for kind, hook in OFFERS.items()
            if hook in callers
        }

    def _absent(self) -> str:
        """Tell which plugins are not in use, as one of them may be the one that offers a missing name."""
        absent = [info for info in self.plugins if info.status is not PluginStatus.LOADED]
        return "".join(f"; plugin {info} {f'failed: {info.error}' if info.error else f'is {info.status}'}" for info in absent)

    # -- notices ---------------------------------------------------------------------------------------------------------------

    def _tell(self, hook: pluggy.HookCaller, **arguments: object) -> None:
        for implementation in reversed(hook.get_hookimpls()):
            try:
                self._call(implementation, arguments)
            except BaseException as exc:  # noqa: BLE001 - the boundary between plugins
                self._complain(implementation.plugin_name, hook.name, exc)

    def _complain(self, plugin: str, hook: str, exc: BaseException) -> None:
        """Log a notice's error, with its traceback the first time; a hook that always raises must not fill the log."""
        first = (plugin, hook) not in self._complained
        self._complained.add((plugin, hook))
        level = logging.ERROR if first else logging.DEBUG
        log.log(level, "plugin %s: %s raised %s", plugin, hook, reason_of(exc), exc_info=exc)

    def _call(self, implementation: pluggy.HookImpl, arguments: Mapping[str, object]) -> Any:
        if self._trace:
            shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
            sys.stderr.write(f"{implementation.function.__name__}({shown}) -> {implementation.plugin_name}\n")
        return implementation.function(*(arguments[name] for name in implementation.argnames))


def _find() -> Iterator[tuple[PluginInfo, Callable[[], object]]]:
    """Yield every plugin, and what imports it."""
    for module in BUILT_IN:
        yield PluginInfo(name=module, distribution="built in"), partial(import_module, module)
    for point in sorted(entry_points(group=PROJECT), key=lambda point: (point.name, _distribution(point))):
        yield PluginInfo(name=point.name, distribution=_distribution(point)), point.load


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown distribution"


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


def _implementation(caller: pluggy.HookCaller, plugin: object) -> pluggy.HookImpl:
    return next(implementation for implementation in caller.get_hookimpls() if implementation.plugin is plugin)


@contextmanager
def _blamed(kind: Offered, name: str, plugin: PluginInfo) -> Iterator[None]:
    """Say whose fault it is that an offer can't be had."""
    try:
        yield
    except PluginError as exc:
        message = f"{kind} {name!r} of plugin {plugin}: {exc}"
        raise PluginError(message, plugin=plugin.name, distribution=plugin.distribution) from exc


def _checked(kind: Offered, hook: str, offered: Any) -> dict[str, Any]:
    """Return what an offering hook answered, if it has the right shape."""
    if not isinstance(offered, Mapping):
        raise TypeError(f"{hook} returned {type(offered).__name__}: expected a mapping of name to class")
    form = _COMMAND_NAME if kind == "command" else _OFFERED_NAME
    offers = dict(offered)
    for name, value in offers.items():
        if not isinstance(name, str) or not form.fullmatch(name):
            raise ValueError(f"{hook} offers {name!r}: expected a name such as {form.pattern}")
        _check_offer(kind, hook, name, value)
    return offers


def _check_offer(kind: Offered, hook: str, name: str, value: Any) -> None:
    if kind == "spec":
        if not isinstance(value, Mapping):
            raise TypeError(f"{hook} offers {name!r} as {type(value).__name__}: expected a mapping, as under topologies")
    elif isinstance(value, str):
        if not is_target(value):
            raise ValueError(f"{hook} offers {name!r} as {value!r}: expected package.module:Class")
    elif kind != "command":
        check_class(value, CONTRACTS[kind], name)


def load_config(
    source: Mapping[str, Any] | str | os.PathLike[str] | ClusterConfig,
    registry: PluginRegistry | None = None,
    *,
    node: str | None = None,
) -> ClusterConfig:
    """Read and check a configuration with the installed plugins; see ``cluster_kit.config.load_config``."""
    from cluster_kit.config import load_config as load  # a registry alone needs no msgspec

    return load(source, registry or PluginRegistry.load(), node=node)
