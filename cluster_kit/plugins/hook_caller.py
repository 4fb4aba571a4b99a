"""Calls plugin hooks one by one, so that an exception in one plugin affects no other."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pluggy

from cluster_kit import hookspecs
from cluster_kit.config.targets import reason_of
from cluster_kit.events import Event, NodeDown, NodeUp
from cluster_kit.hookspecs import PROJECT
from cluster_kit.throttle import Throttle

log = logging.getLogger(__name__)

_NOTHING: Mapping[str, object] = MappingProxyType({})

Hooks = Mapping[str, Callable[..., Any]]
"""A plugin's functions, by the hook that each implements."""


class HookCaller:
    """Calls the hooks of all registered plugins.

    Args:
        trace: Whether to show each call on stderr.
    """

    def __init__(self, *, trace: bool) -> None:
        self.manager = pluggy.PluginManager(PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self._trace = trace
        self._throttle = Throttle()

    def register(self, name: str, hooks: Hooks) -> None:
        """Register the hooks of plugin ``name``, but not the plugin, whose attributes may run code.

        Raises:
            ValueError: Two entry points name the same plugin.
        """
        plugin = SimpleNamespace(**hooks)
        for other, registered in self.manager.list_name_plugin():
            if name == other or plugin == registered:
                cure = "remove one of the two entry points"
                raise ValueError(f"it is already registered as plugin {other}: {cure}")
        self.manager.register(plugin, name)

    def notify(self, event: Event) -> None:
        """Notify every plugin that implements a notice; log what one of them raises."""
        hook = self.manager.hook
        self._notify(hook.cluster_kit_event, event=event)
        if isinstance(event, NodeUp):
            self._notify(hook.cluster_kit_node_up, topology=event.topology, node=event.node)
        elif isinstance(event, NodeDown):
            self._notify(
                hook.cluster_kit_node_down,
                topology=event.topology,
                node=event.node,
                reason=event.reason,
            )

    def _notify(self, hook: pluggy.HookCaller, **arguments: object) -> None:
        for each in reversed(hook.get_hookimpls()):
            try:
                self.call(each.plugin_name, each.function, each.argnames, arguments)
            except BaseException as exc:  # noqa: BLE001 - the boundary between plugins
                self._log_failure(each.plugin_name, hook.name, exc)

    def _log_failure(self, plugin: str, hook: str, exc: BaseException) -> None:
        """Log what a notice raised, with its traceback; repetitions only at level DEBUG."""
        kind = f"{plugin} {hook} {type(exc).__name__}"
        if self._throttle.passes(kind, time.monotonic()):
            level, more = logging.ERROR, self._throttle.more(kind)
        else:
            level, more = logging.DEBUG, ""
        log.log(
            level, "plugin %s: %s raised %s%s", plugin, hook, reason_of(exc), more, exc_info=exc
        )

    def call(
        self,
        plugin: str,
        function: Callable[..., Any],
        takes: Iterable[str] = (),
        arguments: Mapping[str, object] = _NOTHING,
    ) -> Any:
        """Call one function of a plugin and return its answer; exceptions pass through.

        Args:
            plugin: Its name, for the trace.
            function: The function.
            takes: Which of ``arguments`` it takes, in order.
            arguments: The arguments of the hook.
        """
        if self._trace:
            shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
            sys.stderr.write(f"{function.__name__}({shown}) -> {plugin}\n")
        return function(*(arguments[name] for name in takes))
