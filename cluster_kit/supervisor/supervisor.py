"""``Supervisor``, which applications embed: it blocks, and may be used from any thread."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from cluster_kit.config import ClusterConfig, ConfigDict, TopologyConfig, load_config
from cluster_kit.errors import ClusterKitError
from cluster_kit.events import Event
from cluster_kit.node import Fence, Node, made_up_name
from cluster_kit.pipe.messages import Start
from cluster_kit.plugins import PluginRegistry
from cluster_kit.supervisor.bus import DEFAULT_QUEUE, EventBus, Subscription
from cluster_kit.supervisor.calls import call, inspect_all
from cluster_kit.supervisor.changes import without_links
from cluster_kit.supervisor.child import SpareWorker
from cluster_kit.supervisor.delivery import Delivery
from cluster_kit.supervisor.display import Displayed
from cluster_kit.supervisor.keychain import Keychain
from cluster_kit.supervisor.logs import LogRelay
from cluster_kit.supervisor.loop import SupervisingLoop
from cluster_kit.supervisor.reaper import reap_earlier_workers
from cluster_kit.supervisor.reconfiguration import Reconfigurable
from cluster_kit.supervisor.recursion_guard import refuse_in_worker
from cluster_kit.supervisor.status import TopologyStatus
from cluster_kit.supervisor.threads import check_process
from cluster_kit.supervisor.timeouts import checked_s_or_none
from cluster_kit.supervisor.topics.messaging import Messaging
from cluster_kit.supervisor.topics.switchboards import Switchboards
from cluster_kit.supervisor.view import NodeState
from cluster_kit.supervisor.waiting import await_serving, check_reachable, wait_for_nodes

if TYPE_CHECKING:
    from cluster_kit.supervisor.control import ControlSocket


class Supervisor(Displayed, Reconfigurable, Messaging):
    """Runs the topologies of a configuration, and knows which nodes are there.

    Use it as a context manager, or call ``start`` and ``stop``. A supervisor runs once::

        with Supervisor({"topologies": {"lan": {"strategy": "gossip"}}}) as cluster:
            cluster.wait_for(3, timeout_s=30)
            for node in cluster.nodes():
                print(node.name, node.address)

    Its methods may be called from any thread. Those that wait say so: ``start``, ``stop``,
    ``join``, ``wait_for``, ``status``, ``call``, and those that change its topologies. It belongs
    to the process that started it; after a fork, the child makes its own.

    Args:
        config: A dict in the shape of a configuration file, or what ``load_config`` returned.
        observe: Watch the cluster without joining it, under a separate name. An observer is not a
            node: it isn't counted, and plugins' hooks for nodes and events are not called.
        plugins: Loaded plugins; by default those that are installed.
        spare: A worker process that was started in advance; the first topology uses it.
        keychain: One that has begun to derive the keys of the configuration's secrets.
        control: Answer ``cluster-kit status`` of the same user on this machine.

    Raises:
        ConfigError: The configuration has faults; all of them are reported at once.
        ClusterKitError: This process was started as a worker.
    """

    def __init__(
        self,
        config: ConfigDict | Mapping[str, Any] | ClusterConfig,
        *,
        observe: bool = False,
        plugins: PluginRegistry | None = None,
        spare: SpareWorker | None = None,
        keychain: Keychain | None = None,
        control: bool = False,
    ) -> None:
        refuse_in_worker("supervisor")
        plugins = plugins or PluginRegistry.load()
        loaded = load_config(config, plugins)
        self._observe = observe
        self._spare = spare
        local = Node(name=self._name(loaded), metadata=loaded.metadata)
        keychain = keychain or Keychain(loaded.cluster)
        bus, logs = EventBus(loaded.topologies), LogRelay(local.key)
        super().__init__(loaded, local, plugins, keychain, bus=bus, logs=logs)
        self._delivery = Delivery(self._bus, self._logs)
        self._boards = Switchboards(lambda text: self._logs.log(logging.WARNING, text))
        self._unstarted = threading.Lock()
        self._has_control = control
        self._control: ControlSocket | None = None
        self._pid = os.getpid()

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        observe: bool = False,
        plugins: PluginRegistry | None = None,
        control: bool = False,
    ) -> Self:
        """Make a supervisor from a YAML file; the other arguments are those of the class.

        Raises:
            ConfigError: The file cannot be read or has faults; each names its line.
        """
        plugins = plugins or PluginRegistry.load()
        return cls(load_config(path, plugins), observe=observe, plugins=plugins, control=control)

    # -- starting and stopping ---------------------------------------------------------------------

    def start(self) -> Self:
        """Start the workers; wait until each of them accepts links, for ten seconds at most.

        If it raises, nothing is left running.

        Raises:
            ConfigError: A topology can't serve as configured: its port is in use, for example.
            ClusterKitError: The system refuses a process, a thread or a descriptor, or what was
                started is not a worker.
        """
        if not self._unstarted.acquire(blocking=False):
            raise ClusterKitError("supervisor: it was already started once: create a new one")
        if os.getpid() != self._pid:  # it was made before a fork, perhaps for several processes
            self._pid = self._bus.pid = os.getpid()
            self._local = self._local.evolve(name=self._name(self._config))
            self._boards.fork(self._pid)
        try:
            self._start()
        except BaseException:
            self._undo_start()
            raise
        return self

    def _start(self) -> None:
        reap_earlier_workers()
        loop = self._start_threads()
        self._keychain.keyring()  # raises if the keys can't be derived
        await_serving(self._bus, list(loop.workers.values()))
        self._advise()
        self._watch.open()
        if self._has_control:
            self._open_control()

    def _name(self, config: ClusterConfig) -> str:
        """Return the configured name, or make up another one on each call."""
        own = None if self._observe else config.node
        return own or made_up_name("onlooker" if self._observe else "node", config.host)

    def _start_threads(self) -> SupervisingLoop:
        if not self._observe:
            self._delivery.add(self._bus.subscribe(), self._plugins.notify)
        try:
            self._keychain.begin(self._config)
            self._loop = loop = SupervisingLoop(
                self._topologies(),
                self._bus,
                self._logs,
                boards=self._boards,
                make_start=self._make_start,
                spare=self._spare,
            )
            if self._stop_requested:
                loop.stop()
            self._logs.start()
            self._delivery.start()
            loop.start()
            self._boards.start()
        except (OSError, RuntimeError) as exc:
            cure = "see 'ulimit -n' and 'ulimit -u'"
            raise ClusterKitError(f"supervisor: cannot start: {exc}: {cure}") from exc
        return loop

    def _undo_start(self) -> None:
        """Leave nothing of a start that failed, however far it had come."""
        if self._loop is not None:
            self._loop.undo_start()
        self._delivery.undo_start()
        self._logs.undo_start()
        self.stop()

    def stop(self) -> None:
        """Say goodbye to the other nodes, and wait until all workers have ended. Idempotent.

        No process, thread or socket is left. Any thread may call it, and so may a signal handler,
        even while ``start`` waits. A later ``start`` starts nothing.
        """
        if os.getpid() != self._pid:
            return
        self._stop_requested = True
        self._watch.close()
        if self._loop is None:
            return
        self._loop.stop()
        if self._bus.entered or self._boards.entered:
            return  # we are a signal handler that interrupts our own code, which must go on first
        if self._control is not None:
            self._control.close()
        self._loop.join()
        self._watch.join()
        self._boards.join()
        if not self._delivery.is_current:  # else the caller is a callback, which must return first
            self._delivery.join()
            self._logs.join()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until the supervisor has stopped; return whether it has.

        Args:
            timeout_s: How long to wait, in seconds; without limit by default.

        Raises:
            RestartLimitError: A topology with ``escalate: true`` was restarted too often.
            ClusterKitError: It was not started, or the supervisor itself failed.
        """
        loop = self._running()
        stopped = loop.join(checked_s_or_none(timeout_s, "join: timeout_s"))
        if loop.failure is not None:
            raise loop.failure
        return stopped

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- the cluster -------------------------------------------------------------------------------

    @property
    def local(self) -> Node:
        """This node, with its name and its current metadata."""
        return self._local

    def nodes(self, topology: str | None = None, state: NodeState = "up") -> tuple[Node, ...]:
        """Return the other nodes, sorted by name. It doesn't wait.

        Args:
            topology: The topology whose nodes to return; by default all topologies.
            state: ``"up"`` for the nodes that are linked, ``"known"`` for those that discovery has
                found.

        Raises:
            ClusterKitError: The supervisor is not running, or there is no such topology.
        """
        self._running(answering=True)
        with self._bus.guard():
            return self._bus.nodes(topology, state)

    def wait_for(
        self,
        n: int,
        *,
        topology: str | None = None,
        state: NodeState = "up",
        timeout_s: float | None = None,
    ) -> None:
        """Wait until the cluster has ``n`` nodes, including this one unless it only observes.

        Args:
            n: The number of nodes.
            topology: The topology whose nodes count; by default all topologies.
            state: Which nodes count; see ``nodes``.
            timeout_s: How long to wait, in seconds; without limit by default.

        Raises:
            WaitTimeoutError: The time is over, or the supervisor has stopped.
            ConfigError: That many nodes can never be reached: the topology doesn't link so many,
                or its ``max_nodes`` is smaller.
            ClusterKitError: The supervisor is not running, or there is no such topology.
        """
        self._check_reachable(n, topology, state)
        self._running(answering=True)
        own = self._counted
        wait_for_nodes(self._bus, n, own, topology=topology, state=state, timeout_s=timeout_s)

    @property
    def _counted(self) -> Node | None:
        return None if self._observe else self._local

    def _check_reachable(
        self, n: int, topology: str | None = None, state: NodeState = "up"
    ) -> None:
        """Raise ``ConfigError`` if ``wait_for`` with these arguments could never return."""
        self._bus.check(topology)
        check_reachable(self._config, n, topology, state, observing=self._observe)

    def subscribe(
        self,
        callback: Callable[[Event], None] | None = None,
        *,
        topology: str | None = None,
        maxsize: int = DEFAULT_QUEUE,
    ) -> Subscription:
        """Receive events, beginning with a snapshot: iterate over the result, or pass a callback.

        Args:
            callback: Called with each event, on a thread that all callbacks and plugins share; it
                should return soon.
            topology: The topology whose events to receive; by default all topologies.
            maxsize: The length of the queue, in events. A subscriber that falls further behind gets
                a fresh snapshot instead of what it missed.
        """
        self._bus.check(topology)
        if callback is not None and not callable(callback):
            raise TypeError(f"subscribe: {callback!r:.80}: expected a function that takes an event")
        subscription = self._bus.subscribe(topology, maxsize)
        if callback is not None:
            self._delivery.add(subscription, callback)
        return subscription

    def status(self) -> Mapping[str, TopologyStatus]:
        """Return the status of each topology, by name; wait up to a second for the workers.

        Values that only a worker knows, such as round-trip times, are missing if it doesn't answer
        in that time.
        """
        loop = self._running()
        inspected = inspect_all(loop)
        with self._bus.guard():
            return {name: each.status(inspected[name]) for name, each in loop.workers.items()}

    def _open_control(self) -> None:
        from cluster_kit.supervisor.control import ControlSocket, describe
        from cluster_kit.supervisor.control_files import Answer

        cluster = self._config.cluster  # like our name, it never changes

        def answer() -> Answer:
            return describe(
                self._local,
                cluster,
                self.status(),
                leaving=self._leaving,
                secrets=self._keychain.ids(),
                certificates=self._config.certificates,
            )

        control = ControlSocket(answer, node=self._local.key, cluster=cluster)
        try:
            control.open()
            self._control = control  # not sooner, or a signal handler could close it half open
        except BaseException:
            control.close()
            raise
        if self._stop_requested:  # while there was nothing to close yet
            control.close()

    # -- orders ------------------------------------------------------------------------------------

    def call(
        self, topology: str, command: str, /, *, timeout_s: float = 5.0, **arguments: Any
    ) -> Any:
        """Run a command of the topology's connector in its worker; wait for the result.

        Arguments and result are plain data.

        Args:
            topology: Name of the topology in the configuration.
            command: Name of a method of the connector that is marked ``@command``.
            timeout_s: How long the command may take, in seconds.
            arguments: Passed to the command by name.

        Raises:
            CommandError: There is no such command, it failed, or it took too long.
            TypeError: An argument is not plain data.
        """
        self._bus.check(topology)
        return call(self._running(), topology, command, arguments, timeout_s)

    def _topologies(self) -> Mapping[str, TopologyConfig]:
        topologies = self._config.topologies
        return without_links(topologies) if self._observe else topologies

    def _make_start(self, config: TopologyConfig, known: tuple[Node, ...]) -> Start:
        return Start(
            topology=config,
            local=self._local,
            fence=Fence(self._config.cluster, config.group),
            announce=not self._observe,
            leaving=self._leaving,
            known=known,
            log_level=logging.getLogger("cluster_kit").getEffectiveLevel(),
            keyring=self._keychain.keyring(),
            greeting=self._boards.greeting(config),
        )

    def _running(self, *, answering: bool = False) -> SupervisingLoop:
        """Return the loop; raise if it is not running, or with ``answering``, not any more."""
        if self._loop is None:
            cure = "use `with Supervisor(...)`, or call start()"
            raise ClusterKitError(f"supervisor: not started: {cure}")
        check_process(self._pid)
        if answering and self._bus.closed and not self._delivery.is_current:
            # Only a callback may still ask, while it gets the last events.
            fault = "it has stopped, and no longer knows any nodes"
            raise ClusterKitError(f"supervisor: {fault}: make a new one")
        return self._loop
