"""What differs between two configurations, and how a running supervisor carries that out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cluster_kit.config import ClusterConfig, Component, TopologyConfig, load_config
from cluster_kit.errors import ConfigError
from cluster_kit.plugins import PluginRegistry
from cluster_kit.supervisor.bus import EventBus
from cluster_kit.supervisor.loop import SupervisingLoop
from cluster_kit.supervisor.waiting import wait_until
from cluster_kit.supervisor.worker_supervisor import WorkerSupervisor

_NO_LINKS = Component(name="none", target="cluster_kit.connectors.none:NoneConnector", options={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What ``reload`` changed; false if nothing did.

    Attributes:
        added: Names of topologies that are new.
        replaced: Names of topologies that are configured differently: their workers left, and
            others took their place. If there was no secret before, or there is none now, that is
            all of them; and likewise with certificates.
        removed: Names of topologies that are gone.
        metadata: Whether this node's tags changed.
        secrets: Whether another secret is used, or others are accepted.
        certificates: Whether the certificates changed, or are read from other files.
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
        topologies = {"added": self.added, "replaced": self.replaced, "removed": self.removed}
        parts = [f"{word} {', '.join(names)}" for word, names in topologies.items() if names]
        others = {
            "metadata": self.metadata,
            "secrets": self.secrets,
            "certificates": self.certificates,
        }
        parts += [f"changed the {what}" for what, is_changed in others.items() if is_changed]
        return "; ".join(parts) or "changed nothing"


def changes_between(old: ClusterConfig, new: ClusterConfig) -> Changes:
    """Return what has to change to get from ``old`` to ``new``.

    Raises:
        ConfigError: It is the configuration of another node or cluster, hence of another process.
    """
    fixed = {"node": (old.node, new.node), "cluster": (old.cluster, new.cluster)}
    faults = [
        ConfigError(
            f"cannot change from {here!r} to {there!r} in a running process: start another one",
            path=key,
        )
        for key, (here, there) in fixed.items()
        if here != there
    ]
    if faults:
        raise ConfigError.gather(faults)
    return Changes(
        added=tuple(name for name in new.topologies if name not in old.topologies),
        replaced=tuple(_replaced(old, new)),
        removed=tuple(name for name in old.topologies if name not in new.topologies),
        metadata=dict(old.metadata) != dict(new.metadata),
        secrets=(old.secrets[:1], set(old.secrets)) != (new.secrets[:1], set(new.secrets)),
        certificates=old.certificates != new.certificates,
    )


def _replaced(old: ClusterConfig, new: ClusterConfig) -> Iterator[str]:
    has_other_protection = _protection(old) != _protection(new)
    for name, topology in new.topologies.items():
        if name in old.topologies and (has_other_protection or old.topologies[name] != topology):
            yield name


def _protection(config: ClusterConfig) -> tuple[bool, bool]:
    """Return which kinds of protection are used.

    A running worker can change to another secret or certificate, but not to another kind.
    """
    return bool(config.secrets), config.certificates is not None


def with_topology(
    config: ClusterConfig, name: str, topology: Mapping[str, Any], plugins: PluginRegistry
) -> ClusterConfig:
    """Return ``config`` with ``topology`` added, or instead of the one of that name.

    Raises:
        ConfigError: The topology has faults.
    """
    secret = config.secrets[0] if config.secrets else None
    given = {"node": config.node, "secret": secret, "certs": config.certificates}
    alone = {
        **{key: value for key, value in given.items() if value is not None},
        "insecure": config.insecure,
        "topologies": {name: topology},
    }
    loaded = load_config(alone, plugins, environ={})
    return replace(config, topologies={**config.topologies, **loaded.topologies})


def without_topology(config: ClusterConfig, name: str) -> ClusterConfig:
    """Return ``config`` without the topology of that name."""
    left = {each: topology for each, topology in config.topologies.items() if each != name}
    return replace(config, topologies=left)


def without_links(topologies: Mapping[str, TopologyConfig]) -> Mapping[str, TopologyConfig]:
    """Return the topologies as an observer runs them: strategies only, no links."""
    return {name: replace(config, connector=_NO_LINKS) for name, config in topologies.items()}


def carry_out(
    changes: Changes, topologies: Mapping[str, TopologyConfig], loop: SupervisingLoop, bus: EventBus
) -> Sequence[WorkerSupervisor]:
    """Carry out the changes of topologies; return the supervisors of those that were started.

    All topologies that leave do so before any starts, as it may need the same ports.
    """
    with loop.held():
        leaving = [loop.retire(name) for name in (*changes.removed, *changes.replaced)]
        wait_until(bus, lambda: all(worker.retired for worker in leaving))
        for name in changes.removed:
            loop.forget(name)
            bus.remove(name)
        for name in changes.added:
            bus.add(name)
        return [loop.begin(topologies[name]) for name in (*changes.replaced, *changes.added)]
