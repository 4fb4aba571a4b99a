"""A new configuration takes the place of the one that runs: what that changes, and how it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cluster_kit.config import ClusterConfig, Component, TopologyConfig, load_config
from cluster_kit.errors import ConfigError
from cluster_kit.plugins import PluginRegistry
from cluster_kit.supervisor.bus import EventBus
from cluster_kit.supervisor.keeper import Keeper
from cluster_kit.supervisor.loop import SupervisingLoop
from cluster_kit.supervisor.serving import wait_until

_NO_LINKS = Component(name="none", target="cluster_kit.connectors.none:NoneConnector", options={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a new configuration changed; false where that is nothing.

    Attributes:
        added: Topologies that are new.
        replaced: Topologies that are configured otherwise: their workers left, and others took their place. All of them,
            where there was no secret before, or there is none any more, and in the same way with certificates.
        removed: Topologies that are gone.
        metadata: Whether this node's tags are others.
        secrets: Whether another secret is used, or others are accepted besides.
        certificates: Whether the certificates from files are others.
    """

    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    metadata: bool = False
    secrets: bool = False
    certificates: bool = False

    def __bool__(self) -> bool:
        topologies = self.added or self.replaced or self.removed
        return bool(topologies or self.metadata or self.secrets or self.certificates)

    def __str__(self) -> str:
        topologies = (("added", self.added), ("replaced", self.replaced), ("removed", self.removed))
        parts = [f"{word} {', '.join(names)}" for word, names in topologies if names]
        others = {"metadata": self.metadata, "secrets": self.secrets, "certificates": self.certificates}
        parts += [f"changed the {what}" for what, is_changed in others.items() if is_changed]
        return "; ".join(parts) or "changed nothing"


def changes_between(old: ClusterConfig, new: ClusterConfig) -> Changes:
    """Return what leads from ``old`` to ``new``.

    Raises:
        ConfigError: Another node or another cluster is another process.
    """
    fixed = {"node": (old.node, new.node), "cluster": (old.cluster, new.cluster)}
    faults = [
        ConfigError(f"is {here!r} in the process that runs, not {there!r}: that takes another process", path=key)
        for key, (here, there) in fixed.items()
        if here != there
    ]
    if faults:
        raise ConfigError.gather(faults)
    is_protected_as_before = _protection(old) == _protection(new)
    return Changes(
        added=tuple(name for name in new.topologies if name not in old.topologies),
        replaced=tuple(
            name
            for name, topology in new.topologies.items()
            if name in old.topologies and not (is_protected_as_before and old.topologies[name] == topology)
        ),
        removed=tuple(name for name in old.topologies if name not in new.topologies),
        metadata=dict(old.metadata) != dict(new.metadata),
        secrets=(old.secrets[:1], set(old.secrets)) != (new.secrets[:1], set(new.secrets)),
        certificates=old.certificates != new.certificates,
    )


def _protection(config: ClusterConfig) -> tuple[bool, bool]:
    """Return of which kinds it is: a worker goes over to others of a kind, and to no other kind."""
    return bool(config.secrets), config.certificates is not None


def with_topology(config: ClusterConfig, name: str, topology: Mapping[str, Any], plugins: PluginRegistry) -> ClusterConfig:
    """Return ``config`` with one topology more, or with another one of that name.

    Raises:
        ConfigError: The topology has faults.
    """
    own = {"node": config.node, "secret": config.secrets[0] if config.secrets else None, "certs": config.certificates}
    given = {key: value for key, value in own.items() if value is not None}
    alone = load_config({"insecure": config.insecure, **given, "topologies": {name: topology}}, plugins, environ={})
    return replace(config, topologies={**config.topologies, **alone.topologies})


def without_topology(config: ClusterConfig, name: str) -> ClusterConfig:
    """Return ``config`` with one topology less."""
    return replace(config, topologies={each: topology for each, topology in config.topologies.items() if each != name})


def without_links(topologies: Mapping[str, TopologyConfig]) -> Mapping[str, TopologyConfig]:
    """Return the same topologies as they are only looked at."""
    return {name: replace(config, connector=_NO_LINKS) for name, config in topologies.items()}


def carry_out(
    changes: Changes, topologies: Mapping[str, TopologyConfig], loop: SupervisingLoop, bus: EventBus
) -> Sequence[Keeper]:
    """Have all that goes leave first, as what comes may need its ports; return the keepers of what comes, which has begun."""
    with loop.held():
        retired = [loop.retire(name) for name in (*changes.removed, *changes.replaced)]
        wait_until(bus, lambda: all(keeper.finished for keeper in retired))
        for name in changes.removed:
            loop.forget(name)
            bus.remove(name)
        for name in changes.added:
            bus.add(name)
        return [loop.begin(topologies[name]) for name in (*changes.replaced, *changes.added)]
