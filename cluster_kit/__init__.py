"""Automatic cluster formation and healing.

``Supervisor`` runs the topologies of a configuration and knows which nodes are there;
``AsyncSupervisor`` does the same for asyncio. The other names are the values that the two take and
return, and the contracts that plugins implement. Everything is imported when it is first used, so
that importing the package costs next to nothing.

For pytest, which would warn if this was imported before it loads our plugin: PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from importlib import import_module

from cluster_kit._version import __version__

TYPE_CHECKING = False  # as in typing, which takes longer to import than all the rest
if TYPE_CHECKING:
    from typing import Any

    from cluster_kit.abc import (
        Answer,
        Connector,
        Discovery,
        Failed,
        Found,
        Gone,
        Leaving,
        LinkReport,
        Observation,
        PollingStrategy,
        Seen,
        Strategy,
        Topology,
        command,
    )
    from cluster_kit.config import ChildSpecDict, ClusterConfig, ConfigDict, Secret, TopologyDict
    from cluster_kit.config.bounds import Bounds
    from cluster_kit.diagnosis import Finding, Outcome
    from cluster_kit.errors import (
        IGNORED,
        ClusterKitError,
        CommandError,
        ConfigError,
        ConnectError,
        ConnectReason,
        DiscoveryError,
        LocalProtocolError,
        NameConflict,
        NetworkError,
        NetworkFault,
        NotLinkedError,
        NotSentError,
        PluginError,
        ProtocolError,
        RemoteError,
        RemoteProtocolError,
        RestartLimitError,
        UnansweredError,
        UntrustedError,
        WaitTimeoutError,
    )
    from cluster_kit.events import (
        Event,
        NodeDown,
        NodeFound,
        NodeLeaving,
        NodeLost,
        NodeUp,
        NodeUpdated,
        Reason,
        Snapshot,
        TopologyDegraded,
        TopologyEvent,
        TopologyReady,
        TopologyRecovered,
        TopologyRestarted,
    )
    from cluster_kit.hookspecs import hookimpl
    from cluster_kit.network import (
        Clock,
        Datagram,
        Datagrams,
        Endpoint,
        Group,
        Interface,
        Listener,
        Network,
        Stream,
        StreamReader,
    )
    from cluster_kit.node import BootId, Fence, Node
    from cluster_kit.plugins import load_config
    from cluster_kit.registry import RegistryStrategy
    from cluster_kit.supervisor.aio import AsyncSupervisor
    from cluster_kit.supervisor.async_subscription import AsyncSubscription
    from cluster_kit.supervisor.bus import Subscription
    from cluster_kit.supervisor.changes import Changes
    from cluster_kit.supervisor.status import (
        GoneStatus,
        LinkStatus,
        State,
        TopologyStatus,
        UnlinkedStatus,
    )
    from cluster_kit.supervisor.supervisor import Supervisor
    from cluster_kit.supervisor.topics.aio import AsyncTopic, AsyncTopicSubscription
    from cluster_kit.supervisor.topics.duty import AsyncDuty, Duty
    from cluster_kit.supervisor.topics.items import Gap, Message
    from cluster_kit.supervisor.topics.subscription import TopicSubscription
    from cluster_kit.supervisor.topics.topic import Topic

_HOME = {
    "abc": (
        "Answer Connector Discovery Failed Found Gone Leaving LinkReport Observation "
        "PollingStrategy Seen Strategy Topology command"
    ),
    "config": "ChildSpecDict ClusterConfig ConfigDict Secret TopologyDict",
    "config.bounds": "Bounds",
    "diagnosis": "Finding Outcome",
    "errors": (
        "IGNORED ClusterKitError CommandError ConfigError ConnectError ConnectReason "
        "DiscoveryError LocalProtocolError NameConflict NetworkError NetworkFault NotLinkedError "
        "NotSentError PluginError ProtocolError RemoteError RemoteProtocolError RestartLimitError "
        "UnansweredError UntrustedError WaitTimeoutError"
    ),
    "events": (
        "Event NodeDown NodeFound NodeLeaving NodeLost NodeUp NodeUpdated Reason Snapshot "
        "TopologyDegraded TopologyEvent TopologyReady TopologyRecovered TopologyRestarted"
    ),
    "hookspecs": "hookimpl",
    "network": (
        "Clock Datagram Datagrams Endpoint Group Interface Listener Network Stream StreamReader"
    ),
    "node": "BootId Fence Node",
    "plugins": "load_config",
    "registry": "RegistryStrategy",
    "supervisor.aio": "AsyncSupervisor",
    "supervisor.async_subscription": "AsyncSubscription",
    "supervisor.bus": "Subscription",
    "supervisor.changes": "Changes",
    "supervisor.status": "GoneStatus LinkStatus State TopologyStatus UnlinkedStatus",
    "supervisor.supervisor": "Supervisor",
    "supervisor.topics.aio": "AsyncTopic AsyncTopicSubscription",
    "supervisor.topics.duty": "AsyncDuty Duty",
    "supervisor.topics.items": "Gap Message",
    "supervisor.topics.subscription": "TopicSubscription",
    "supervisor.topics.topic": "Topic",
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}

__all__ = [
    "IGNORED",
    "Answer",
    "AsyncDuty",
    "AsyncSubscription",
    "AsyncSupervisor",
    "AsyncTopic",
    "AsyncTopicSubscription",
    "BootId",
    "Bounds",
    "Changes",
    "ChildSpecDict",
    "Clock",
    "ClusterConfig",
    "ClusterKitError",
    "CommandError",
    "ConfigDict",
    "ConfigError",
    "ConnectError",
    "ConnectReason",
    "Connector",
    "Datagram",
    "Datagrams",
    "Discovery",
    "DiscoveryError",
    "Duty",
    "Endpoint",
    "Event",
    "Failed",
    "Fence",
    "Finding",
    "Found",
    "Gap",
    "Gone",
    "GoneStatus",
    "Group",
    "Interface",
    "Leaving",
    "LinkReport",
    "LinkStatus",
    "Listener",
    "LocalProtocolError",
    "Message",
    "NameConflict",
    "Network",
    "NetworkError",
    "NetworkFault",
    "Node",
    "NodeDown",
    "NodeFound",
    "NodeLeaving",
    "NodeLost",
    "NodeUp",
    "NodeUpdated",
    "NotLinkedError",
    "NotSentError",
    "Observation",
    "Outcome",
    "PluginError",
    "PollingStrategy",
    "ProtocolError",
    "Reason",
    "RegistryStrategy",
    "RemoteError",
    "RemoteProtocolError",
    "RestartLimitError",
    "Secret",
    "Seen",
    "Snapshot",
    "State",
    "Strategy",
    "Stream",
    "StreamReader",
    "Subscription",
    "Supervisor",
    "Topic",
    "TopicSubscription",
    "Topology",
    "TopologyDegraded",
    "TopologyDict",
    "TopologyEvent",
    "TopologyReady",
    "TopologyRecovered",
    "TopologyRestarted",
    "TopologyStatus",
    "UnansweredError",
    "UnlinkedStatus",
    "UntrustedError",
    "WaitTimeoutError",
    "__version__",
    "command",
    "hookimpl",
    "load_config",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first asked for (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
