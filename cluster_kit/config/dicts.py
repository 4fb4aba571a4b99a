"""The shape of a configuration as a Python dict, so that editors complete and check its keys.

A file has the same shape. These docstrings alone describe the keys: the JSON Schema and the
reference copy them. Options of components are not included, as plugins declare their own; to have
type checkers check them, give an instance, such as ``TcpConnector(port=45893)`` for ``"tcp"``.
"""

# no annotations from __future__: they would hide ``Required`` from ``__required_keys__``
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Required, TypeAlias, TypedDict

from cluster_kit.config.model import Restart

if TYPE_CHECKING:
    from pathlib import Path

    from cluster_kit.abc import Connector, Strategy, Topology
    from cluster_kit.config.secret import Secret

StrategyPart: TypeAlias = "str | type[Strategy] | Strategy | Mapping[str, Any]"
ConnectorPart: TypeAlias = "str | type[Connector] | Connector | Mapping[str, Any]"
TopologyPart: TypeAlias = "str | type[Topology] | Topology | Mapping[str, Any]"
CallbackTarget: TypeAlias = "str | Callable[..., Any] | Sequence[Any]"


class ChildSpecDict(TypedDict, total=False):
    """How a topology's worker and sources are restarted, in the terms of OTP's supervisor.

    Attributes:
        restart: Whether a worker that ended is replaced: always (``permanent``), unless it exited
            with code 0 (``transient``), or never (``temporary``).
        max_restarts: More restarts than this within ``max_seconds`` are too many.
        max_seconds: The period in which restarts are counted.
        shutdown_s: How long a worker may take to say goodbye before it is killed.
        escalate: Whether too many restarts stop the whole supervisor.
    """

    restart: Restart
    max_restarts: int
    max_seconds: float
    shutdown_s: float
    escalate: bool


class TopologyDict(TypedDict, total=False):
    """One named entry under ``topologies``: how to find nodes, and how to link to which of them.

    Attributes:
        use: A ready-made topology that a plugin ships; keys given beside it replace its own.
        strategy: Finds the nodes. A list of strategies combines what they find.
        config: Options of the strategy, where there is only one.
        connector: Opens and accepts the links.
        connect: Function that links to a node, instead of a connector; libcluster's
            ``[module, function, args]`` or ``package.module:function``. It is called with ``args``
            and the node.
        disconnect: Function that closes the link to a node.
        list_nodes: Function that returns the nodes that are linked now.
        topology: Selects which of the known nodes to link to.
        child_spec: How the worker and the strategies are restarted.
        group: Part of the fence: nodes of another group are ignored. By default the name of the
            entry.
        prune: Whether to forget a node that its source no longer lists.
        max_nodes: How many nodes to know at most.
        connect_timeout_s: Seconds that opening a link may take, handshake included.
        remember_s: Seconds for which a lost node is still redialled.
    """

    use: str
    strategy: "StrategyPart | Sequence[StrategyPart]"
    config: Mapping[str, Any] | None
    connector: "ConnectorPart"
    connect: "CallbackTarget"
    disconnect: "CallbackTarget"
    list_nodes: "CallbackTarget"
    topology: "TopologyPart"
    child_spec: ChildSpecDict
    group: str
    prune: bool
    max_nodes: int
    connect_timeout_s: float
    remember_s: float


class ConfigDict(TypedDict, total=False):
    """A whole configuration.

    Attributes:
        node: Name of this node, as ``basename@host``. Components listen on that host. By default a
            unique name on loopback.
        cluster: Part of the fence: nodes of another cluster are ignored.
        metadata: Tags of this node that all others see.
        secret: What all nodes of the cluster share, and nobody else knows; it protects links and
            gossip. Better given by ``secret_file``, or the environment variable CLUSTER_KIT_SECRET.
        secret_file: A file with the secret on its first line, and further secrets that are accepted
            on the lines that follow. It is read again whenever it changes.
        previous_secrets: Further secrets that are accepted, and never used to send.
        certs: A folder with tls.crt, tls.key and ca.crt, as cert-manager writes them; links are
            protected by them.
        cert: A file with this node's certificate and those that issued it; with ``key`` and ``ca``
            instead of ``certs``.
        key: A file with the private key of the certificate.
        ca: A file with the certificates of the authorities to trust.
        trust_domain: A SPIFFE trust domain. Its members are trusted, whatever their hosts.
        insecure: Whether components may serve off loopback without protection.
        topologies: The topologies of this node, by name.
    """

    node: str
    cluster: str
    metadata: Mapping[str, str]
    secret: "str | Secret"
    secret_file: "str | Path"
    previous_secrets: "str | Sequence[str | Secret]"
    certs: "str | Path"
    cert: "str | Path"
    key: "str | Path"
    ca: "str | Path"
    trust_domain: str
    insecure: bool
    topologies: Required[Mapping[str, TopologyDict]]
