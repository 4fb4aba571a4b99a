"""Which topology carries a topic."""

from __future__ import annotations

from collections.abc import Mapping

from cluster_kit.abc import Connector
from cluster_kit.config import TopologyConfig
from cluster_kit.errors import ConfigError

_CURE = "use connector 'tcp', which does"


def carrier_of(topologies: Mapping[str, TopologyConfig], topology: str | None) -> tuple[str, int]:
    """Return the topology for messages, and how long they may be there.

    Args:
        topologies: Those that run.
        topology: The one that is asked for; by default the only one that can.

    Raises:
        ConfigError: It can't; or none can, or several.
    """
    if topology is not None:
        connector: Connector = topologies[topology].connector.build()
        if not connector.carries_messages:
            name = topologies[topology].connector.name
            raise ConfigError(f"topic: topology {topology!r} carries no messages, as its connector {name!r} doesn't: {_CURE}")
        return topology, connector.max_message_bytes
    connectors: dict[str, Connector] = {name: each.connector.build() for name, each in topologies.items()}
    able = {name: each for name, each in connectors.items() if each.carries_messages}
    if not able:
        names = ", ".join(repr(each.connector.name) for each in topologies.values())
        raise ConfigError(f"topic: no topology carries messages, as their connectors don't ({names}): {_CURE}")
    if len(able) > 1:
        raise ConfigError(f"topic: several topologies carry messages: name one of them as topology=: {', '.join(able)}")
    name, connector = able.popitem()
    return name, connector.max_message_bytes
