"""Every hook: the whole plugin contract on one page.

A plugin is a module (or any object) named by an entry point in the group ``cluster_kit``; its
functions marked ``@hookimpl`` answer these hooks. Built-ins answer them too. An error in one plugin
never reaches another: its offers are left out, its notices are logged.
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

    Called once when plugins are loaded; do no I/O and import nothing heavy here. A value is the
    class, or ``"package.module:Class"``, which is imported only when a configuration names it.
    Names are lower-case words (``[a-z][a-z0-9_]*``). All answers are merged; a built-in's name is
    its own, and one that two plugins offer is a ``PluginError`` that names both, raised when a
    configuration uses it. ``{}`` is fine. Classes should pass
    ``cluster_kit.testing.StrategyConformance``.
    Example: ``plugins/cluster-kit-example``.
    """


@hookspec
def cluster_kit_connectors() -> Mapping[str, type[Connector] | str]:  # type: ignore[empty-body]
    """Offer connectors by the name that users write under ``connector:``.

    As ``cluster_kit_strategies``. Classes should pass ``cluster_kit.testing.ConnectorConformance``.
    Example: ``cluster_kit/connectors``.
    """


@hookspec
def cluster_kit_topologies() -> Mapping[str, type[Topology] | str]:  # type: ignore[empty-body]
    """Offer topologies by the name that users write under ``topology:``.

    As ``cluster_kit_strategies``. Example: ``cluster_kit/topologies``.
    """


@hookspec
def cluster_kit_topology_specs() -> Mapping[str, Mapping[str, Any]]:  # type: ignore[empty-body]
    """Offer ready-made topologies by the name that users write under ``use:`` in an entry under
    ``topologies:``.

    As ``cluster_kit_strategies``, yet a value is a mapping such as stands under ``topologies:``;
    the user's own keys win over its. It is checked when a configuration uses it. Example:
    ``plugins/cluster-kit-example``.
    """


@hookspec
def cluster_kit_commands() -> Mapping[str, Command | str]:  # type: ignore[empty-body]
    """Offer commands of the command line by name.

    As ``cluster_kit_strategies``, yet a value is a click command, or ``"package.module:command"``,
    which is imported when the command is asked for; names may have dashes. A built-in's name is its
    own. Example: ``plugins/cluster-kit-example``.
    """


@hookspec
def cluster_kit_node_up(topology: str, node: Node) -> None:
    """Hear that a link to ``node`` came up in the configured topology ``topology``.

    Called in the application's process, on the supervisor's delivery thread, in the order of
    events; a slow answer delays later notices of all plugins, an exception is logged and otherwise
    ignored. Example: ``plugins/cluster-kit-example``.
    """


@hookspec
def cluster_kit_node_down(topology: str, node: Node, reason: Reason) -> None:
    """Hear that the link to ``node`` went down, and why. As ``cluster_kit_node_up``.

    Example: ``plugins/cluster-kit-example``.
    """


@hookspec
def cluster_kit_event(event: Event) -> None:
    """Hear every event of every topology, node events included. As ``cluster_kit_node_up``.

    Example: ``plugins/cluster-kit-example``.
    """
