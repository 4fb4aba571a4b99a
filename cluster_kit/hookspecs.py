"""Every hook: the whole plugin contract on one page.

A plugin is a module (or any object) named by an entry point in the group ``cluster_kit``. Its
functions marked ``@hookimpl`` implement these hooks, and take those of their arguments that they
need::

    from cluster_kit import hookimpl

    @hookimpl
    def cluster_kit_strategies():
        return {"acme": "acme_discovery.strategy:AcmeStrategy"}

    @hookimpl
    def cluster_kit_node_up(node):
        print("up:", node)

The built-in components come through the same hooks. An error in one plugin affects no other: a
plugin that can't be loaded is left out, and exceptions of notices are logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pluggy

from cluster_kit.abc import Connector, Strategy, Topology
from cluster_kit.events import Event, Reason
from cluster_kit.node import Node

if TYPE_CHECKING:
    from click import Command

PROJECT = "cluster_kit"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def cluster_kit_strategies() -> Mapping[str, type[Strategy] | str]:  # type: ignore[empty-body]
    """Offer discovery strategies by the name that users write under ``strategy:``.

    Called once, when plugins are loaded; do no I/O and import nothing heavy here. A value is the
    class, or ``"package.module:Class"``, which is imported only when a configuration names it.
    Names are lower-case words (``[a-z][a-z0-9_]*``). The names of built-ins are taken. A name that
    two plugins offer is a ``PluginError`` that names both, raised when a configuration uses it.
    Classes should pass ``cluster_kit.testing.StrategyConformance``.
    Example: ``plugins/cluster-kit-example``.
    """


@hookspec
def cluster_kit_connectors() -> Mapping[str, type[Connector] | str]:  # type: ignore[empty-body]
    """Offer connectors by the name that users write under ``connector:``.

    The same rules apply as to ``cluster_kit_strategies``. Classes should pass
    ``cluster_kit.testing.ConnectorConformance``. Example: ``cluster_kit/connectors``.
    """


@hookspec
def cluster_kit_topologies() -> Mapping[str, type[Topology] | str]:  # type: ignore[empty-body]
    """Offer topologies by the name that users write under ``topology:``.

    The same rules apply as to ``cluster_kit_strategies``. Classes should pass
    ``cluster_kit.testing.TopologyConformance``. Example: ``cluster_kit/topologies``.
    """


@hookspec
def cluster_kit_topology_specs() -> Mapping[str, Mapping[str, Any]]:  # type: ignore[empty-body]
    """Offer ready-made topologies by the name that users write under ``use:``.

    The same rules apply as to ``cluster_kit_strategies``, but a value is a mapping with the keys of
    an entry under ``topologies:``. The user's own keys override those of the plugin. It is checked
    when a configuration uses it. Example: ``plugins/cluster-kit-example``.
    """


@hookspec
def cluster_kit_commands() -> Mapping[str, Command | str]:  # type: ignore[empty-body]
    """Offer commands for the command line ``cluster-kit``, by name.

    The same rules apply as to ``cluster_kit_strategies``, but a value is a click command, or
    ``"package.module:command"``, which is imported when a user runs the command. Names may have
    dashes instead of underscores. Example: ``plugins/cluster-kit-example``.
    """


@hookspec
def cluster_kit_node_up(topology: str, node: Node) -> None:
    """Called when a link to ``node`` came up in the configured topology ``topology``.

    It is called in the application's process, on the supervisor's delivery thread, in the order of
    events. Return soon: later notices and callbacks wait. An exception is logged and otherwise
    ignored. Example: ``plugins/cluster-kit-example``.
    """


@hookspec
def cluster_kit_node_down(topology: str, node: Node, reason: Reason) -> None:
    """Called when the link to ``node`` went down; see ``cluster_kit_node_up``.

    Example: ``plugins/cluster-kit-example``.
    """


@hookspec
def cluster_kit_event(event: Event) -> None:
    """Called with every event of every topology; see ``cluster_kit_node_up``.

    It gets the events about nodes, too. Example: ``plugins/cluster-kit-example``.
    """
