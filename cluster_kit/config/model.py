"""What a configuration becomes: frozen values that the supervisor reads and hands to its workers.

They were checked when they were loaded and are pickled to worker processes, so this module imports
nothing heavy and checks nothing again.
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

MAX_SECONDS = 10**9  # some thirty years: for ever, and still a time that every timer accepts

Seconds = Annotated[float, Bounds(gt=0, le=MAX_SECONDS)]
Restart = Literal["permanent", "transient", "temporary"]

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One part of a topology: which class to build, and with which options.

    Attributes:
        name: As the user wrote it, for messages.
        target: ``package.module:Class``, importable in a worker.
        options: Validated keyword arguments; what isn't given has the class's own default.
        instance: The configured instance, where a dict gave one in place of a name.
    """

    name: str
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)
    instance: object | None = None

    def build(self) -> Any:
        """Make the part; a configured instance is returned as it is, each time the same one."""
        return import_class(self.target)(**self.options) if self.instance is None else self.instance


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How a topology's worker and sources are restarted; the words are those of OTP's supervisor.

    Attributes:
        restart: Whether a worker that ended is replaced: always (``permanent``), unless it exited
            with code 0 (``transient``), or never (``temporary``).
        max_restarts: More than this many restarts within ``max_seconds`` are too many.
        max_seconds: The period in which restarts are counted.
        shutdown_s: How long a worker may take to say goodbye before it is killed.
        escalate: Whether too many restarts stop the whole supervisor.
    """

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
        connector: What opens and holds the links.
        topology: Which of the known nodes to link to.
        child_spec: How its worker and sources are restarted.
        prune: Whether a node that its source no longer lists is forgotten.
        max_nodes: How many nodes the roster holds at most.
        connect_timeout_s: Seconds within which a link must be up, handshake included.
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
        """A unique name for each strategy: from the second on, with its number."""
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
        secret: What all nodes of the cluster hold, and nobody else; links and gossip are protected
            by it. In its place, ``secret_file`` or the environment variable CLUSTER_KIT_SECRET.
        secret_file: A file with the secret on its first line, and on each further line one that is
            accepted besides. It is read again whenever it changes.
        previous_secrets: Secrets that are accepted besides, and never used to send.
        certificates: What this node proves itself by, and whom it believes, from the files of
            ``certs``, or ``cert``, ``key`` and ``ca``; links are protected by it, and where there
            is a secret as well by both.
        insecure: Whether parts may serve off loopback unprotected.
        topologies: By name, in written order.
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
        """All secrets, each once, the one that is used first; none where nothing is protected."""
        file = () if self.secret_file is None else self.secret_file.secrets
        own = file if self.secret is None else (self.secret,)
        return tuple(dict.fromkeys((*own, *self.previous_secrets)))

    @property
    def host(self) -> str:
        """The host part of ``node``: where parts serve."""
        return self.node.rpartition("@")[2] if self.node else LOOPBACK
