"""A loaded configuration: frozen values that the supervisor reads and hands to its workers.

Loading has checked them, and they are pickled to worker processes, so this module imports nothing
heavy and checks nothing again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cluster_kit.config.bounds import Bounds
from cluster_kit.config.secret import Secret
from cluster_kit.config.secret_file import SecretFile
from cluster_kit.config.targets import import_class

if TYPE_CHECKING:
    from cluster_kit.config.certificate_files import CertificateFiles

MAX_SECONDS = 10**9  # some thirty years: practically for ever, yet every timer accepts it

Seconds = Annotated[float, Bounds(gt=0, le=MAX_SECONDS)]
Restart = Literal["permanent", "transient", "temporary"]

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A strategy, connector or topology plugin: the class to build, and its options.

    Attributes:
        name: As the user wrote it, for messages.
        target: ``package.module:Class``, importable in a worker.
        options: Validated keyword arguments; others keep the defaults of the class.
        instance: The configured instance, if a dict gave one instead of a name.
    """

    name: str
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)
    instance: object | None = None

    def build(self) -> Any:
        """Build the component, or return the configured instance, which is the same each time."""
        return import_class(self.target)(**self.options) if self.instance is None else self.instance


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How a topology's worker and sources are restarted; ``ChildSpecDict`` describes the keys."""

    restart: Restart = "permanent"
    max_restarts: Annotated[int, Bounds(ge=0)] = 3
    max_seconds: Seconds = 5.0
    shutdown_s: Seconds = 5.0
    escalate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyConfig:
    """One named entry under ``topologies:``.

    Attributes:
        group: Part of the fence; nodes of another group are foreign. By default the topology's
            name.
        connector: Opens and holds the links.
        topology: Selects which of the known nodes to link to.
        child_spec: How its worker and sources are restarted.
        prune: Whether a node that its source no longer lists is forgotten.
        max_nodes: The most nodes that the roster holds.
        connect_timeout_s: Seconds within which a link must be up, including the handshake.
        remember_s: For how many seconds a lost peer is redialled.
    """

    name: str
    group: str
    strategies: tuple[Component, ...]
    connector: Component
    topology: Component
    child_spec: ChildSpec = field(default_factory=ChildSpec)
    prune: bool = True
    max_nodes: Annotated[int, Bounds(ge=1)] = 10_000
    connect_timeout_s: Seconds = 5.0
    remember_s: Seconds = 3600.0

    @property
    def sources(self) -> tuple[str, ...]:
        """A unique name for each strategy; all but the first have a number."""
        return tuple(
            each.name if number == 1 else f"{each.name}#{number}"
            for number, each in enumerate(self.strategies, 1)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """A whole configuration.

    Attributes:
        node: ``basename@host``, or ``None`` for a unique name on loopback.
        cluster: Part of the fence; nodes of another cluster are foreign.
        metadata: This node's tags.
        secret: Shared by all nodes of the cluster and by nobody else; it protects links and gossip.
            ``secret_file`` or the environment variable CLUSTER_KIT_SECRET may replace it.
        secret_file: A file with the secret on its first line, and further secrets that are accepted
            on the lines that follow. It is read again whenever it changes.
        previous_secrets: Further secrets that are accepted, and never used to send.
        certificates: This node's certificate and the authorities that it trusts, from ``certs``, or
            ``cert``, ``key`` and ``ca``. They protect links, together with any secret.
        insecure: Whether components may serve off loopback unprotected.
        topologies: By name, in the order in which they are written.
    """

    node: str | None = None
    cluster: str = "default"
    metadata: Mapping[str, str] = field(default_factory=dict)
    secret: Secret | None = None
    secret_file: SecretFile | None = None
    previous_secrets: tuple[Secret, ...] = ()
    certificates: CertificateFiles | None = None
    insecure: bool = False
    topologies: Mapping[str, TopologyConfig]

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """All secrets, each once; the first is the one in use."""
        file = () if self.secret_file is None else self.secret_file.secrets
        own = file if self.secret is None else (self.secret,)
        return tuple(dict.fromkeys((*own, *self.previous_secrets)))

    @property
    def host(self) -> str:
        """The host part of ``node``: where components serve."""
        return self.node.rpartition("@")[2] if self.node else LOOPBACK
