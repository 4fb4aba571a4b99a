"""The face that applications embed: ``Supervisor`` blocks and may be used from any thread."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from cluster_kit.config import ClusterConfig, TopologyConfig, load_config
from cluster_kit.errors import ClusterKitError
from cluster_kit.events import Event
from cluster_kit.node import Fence, Node, made_up_name
from cluster_kit.plugins import PluginRegistry
from cluster_kit.supervisor.bus import DEFAULT_QUEUE, EventBus, Subscription
from cluster_kit.supervisor.calls import call, inspect_all
from cluster_kit.supervisor.changeable import Changeable
from cluster_kit.supervisor.changes import without_links
from cluster_kit.supervisor.child import SpareWorker
from cluster_kit.supervisor.delivery import Delivery
from cluster_kit.supervisor.former import wait_for_former_workers
from cluster_kit.supervisor.keychain import Keychain
from cluster_kit.supervisor.logs import LogRelay
from cluster_kit.supervisor.loop import SupervisingLoop
from cluster_kit.supervisor.reach import check_reachable, wait_for_nodes
from cluster_kit.supervisor.refusal import refuse_in_worker
from cluster_kit.supervisor.serving import await_serving
from cluster_kit.supervisor.status import TopologyStatus
from cluster_kit.supervisor.timeouts import checked_s_or_none
from cluster_kit.supervisor.topics.messaging import Messaging
from cluster_kit.supervisor.topics.switchboards import Switchboards
from cluster_kit.supervisor.view import NodeState
from cluster_kit.worker.messages import Drain, SetMetadata, Start

if TYPE_CHECKING:
    from cluster_kit.supervisor.control import ControlSocket


class Supervisor(Changeable, Messaging):
    """Runs the topologies of a configuration and tells who is there.

    Use it as a context manager, or call ``start`` and ``stop``. One supervisor runs once.

    Args:
        config: The shape of a configuration file as a dict, or what ``load_config`` returned.
        observe: Look who is out there, under a name of its own, without joining. An observer is no
            node: it isn't counted, and plugins' hooks for nodes and events are not called.
        plugins: Loaded plugins; by default those that are installed.
        spare: A worker process that was started ahead, to be taken by the first topology.
        keychain: One that has begun to make the keys of the configuration's secrets.
        control: Tell ``cluster-kit status`` of the same user on this machine how things are.

    Raises:
        ConfigError: The configuration has faults; all of them are reported at once.
        ClusterKitError: This process was started as a worker.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | ClusterConfig,
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
        self._local = Node(name=self._name(loaded), metadata=loaded.metadata)
        self._leaving = False
        super().__init__(loaded, plugins, EventBus(loaded.topologies), LogRelay(self._local.key))
        self._keychain = keychain or self._keychain
        self._loop: SupervisingLoop | None = None
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
        """Make a supervisor of a YAML file.

        Raises:
            ConfigError: The file cannot be read or has faults; each names its line.
        """
        plugins = plugins or PluginRegistry.load()
        return cls(load_config(path, plugins), observe=observe, plugins=plugins, control=control)

    # -- life ----------------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the workers and return once each serves, or has been given time to.

        Raises:
            ConfigError: A topology cannot serve as configured (port in use, no permission); nothing is left running.
            ClusterKitError: The system refuses what it needs, or what was started as a worker is none.
        """
        if not self._unstarted.acquire(blocking=False):
            raise ClusterKitError("supervisor: it was started before: make a new one")
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
        wait_for_former_workers()
        loop = self._start_threads()
        self._keychain.keyring()  # raises where there can be none
        await_serving(self._bus, list(loop.keepers.values()))
        self._advise()
        self._watch.open()
        if self._has_control:
            self._open_control()

    def _name(self, config: ClusterConfig) -> str:
        """Return the node's name; one that is made up, made up anew."""
        own = None if self._observe else config.node
        return own or made_up_name("onlooker" if self._observe else "node", config.host)

    def _start_threads(self) -> SupervisingLoop:
        if not self._observe:
            self._delivery.add(self._bus.subscribe(), self._plugins.notify)
        try:
            self._keychain.begin(self._config)
            self._loop = loop = SupervisingLoop(
                self._topologies(), self._bus, self._logs, boards=self._boards, describe=self._describe, spare=self._spare
            )
            if self._told_to_stop:
                loop.stop()
            self._logs.start()
            self._delivery.start()
            loop.start()
            self._boards.start()
        except (OSError, RuntimeError) as exc:
            raise ClusterKitError(f"supervisor: cannot start: {exc}: see 'ulimit -n' and 'ulimit -u'") from exc
        return loop

    def _undo_start(self) -> None:
        """Leave nothing of a start that failed, however far it had come."""
        if self._loop is not None:
            self._loop.undo_start()
        self._delivery.undo_start()
        self._logs.undo_start()
        self.stop()

    def stop(self) -> None:
        """Leave gracefully and wait until all workers have ended. Idempotent; nothing is left behind.

        Any thread may call it, and a signal handler, also while ``start`` waits. Before ``start`` it makes that start nothing.
        """
        if os.getpid() != self._pid:
            return
        self._told_to_stop = True
        self._watch.close()
        if self._loop is None:
            return
        self._loop.stop()
        if self._bus.entered or self._boards.entered:  # a signal handler came amid our own work: waiting would be for ourselves
            return
        if self._control is not None:
            self._control.close()
        self._loop.join()
        self._watch.join()
        self._boards.join()
        if not self._delivery.is_ours:  # else the caller is a callback, before whose end neither can end
            self._delivery.join()
            self._logs.join()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until the supervisor has stopped; return whether it has.

        Raises:
            RestartLimitError: A topology with ``escalate: true`` failed too often.
            ClusterKitError: The supervisor itself failed.
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

    # -- the cluster -----------------------------------------------------------------------------------------------------------

    @property
    def local(self) -> Node:
        """This node: its name and metadata."""
        return self._local

    def nodes(self, topology: str | None = None, state: NodeState = "up") -> tuple[Node, ...]:
        """Return the others, linked (``"up"``) or discovered (``"known"``), by name; raises unless started and not stopped."""
        self._running(answering=True)
        with self._bus.guard():
            return self._bus.nodes(topology, state)

    def wait_for(self, n: int, *, topology: str | None = None, state: NodeState = "up", timeout_s: float | None = None) -> None:
        """Wait until the cluster has ``n`` nodes, this one included unless it only observes.

        Raises:
            WaitTimeoutError: It has not within ``timeout_s`` seconds.
            ConfigError: It never can: the topology does not link or hold that many.
        """
        self.check_reachable(n, topology, state)
        self._running(answering=True)
        wait_for_nodes(self._bus, n, self._counted, topology=topology, state=state, timeout_s=timeout_s)

    @property
    def _counted(self) -> Node | None:
        return None if self._observe else self._local

    def check_reachable(self, n: int, topology: str | None = None, state: NodeState = "up") -> None:
        """Check that ``n`` nodes, this one included, are within what the topology links and holds.

        Raises:
            ConfigError: They are not, so waiting for them would be in vain.
        """
        self._bus.check(topology)
        check_reachable(self._config, n, topology, state, observing=self._observe)

    def subscribe(
        self, callback: Callable[[Event], None] | None = None, *, topology: str | None = None, maxsize: int = DEFAULT_QUEUE
    ) -> Subscription:
        """Hear what happens, from a snapshot on; iterate over what is returned, or give a callback.

        Args:
            callback: Called with each event on the delivery thread; keep it short.
            topology: Only this one.
            maxsize: Events to queue; a subscriber further behind gets a fresh snapshot instead.
        """
        self._bus.check(topology)
        if callback is not None and not callable(callback):
            raise TypeError(f"subscribe: {callback!r:.80}: expected a function that takes an event")
        subscription = self._bus.subscribe(topology, maxsize)
        if callback is not None:
            self._delivery.add(subscription, callback)
        return subscription

    def status(self) -> Mapping[str, TopologyStatus]:
        """Return how each topology is doing; what its worker knows of links is missing if it does not answer at once."""
        loop = self._running()
        inspected = inspect_all(loop)
        with self._bus.guard():
            return {name: keeper.status(inspected[name]) for name, keeper in loop.keepers.items()}

    def _open_control(self) -> None:
        from cluster_kit.supervisor.control import Answer, ControlSocket, describe  # which take a while to import

        cluster = self._config.cluster  # neither it nor our name ever changes

        def tell() -> Answer:
            secrets, files = self._keychain.ids(), self._config.certificates
            return describe(self._local, cluster, self.status(), leaving=self._leaving, secrets=secrets, certificates=files)

        control = ControlSocket(tell, node=self._local.key, cluster=cluster)
        try:
            control.open()
            self._control = control  # no sooner: who stops us meanwhile would close what is half open
        except BaseException:
            control.close()
            raise
        if self._told_to_stop:  # meanwhile, and who told it has found nothing to close
            control.close()

    # -- orders ----------------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Tell all nodes that this one is about to leave: they dial it no more, and keep their links until it stops."""
        self._leaving = True
        self._order_all(Drain())

    def update_metadata(self, metadata: Mapping[str, str]) -> None:
        """Replace this node's metadata, and tell everybody.

        Raises:
            ValueError: It is not text, or too much.
        """
        if not isinstance(metadata, Mapping):
            raise TypeError(f"update_metadata: {metadata!r:.80}: expected a mapping of text to text")
        self._local = self._local.evolve(metadata=dict(metadata))
        self._order_all(SetMetadata(dict(self._local.metadata)))

    def call(self, topology: str, command: str, /, *, timeout_s: float = 5.0, **arguments: Any) -> Any:
        """Run a command of the topology's connector in its worker and return the result; plain data both ways.

        Raises:
            CommandError: There is no such command, it failed, or it took longer than ``timeout_s``.
            TypeError: An argument is not plain data.
        """
        self._bus.check(topology)
        return call(self._running(), topology, command, arguments, timeout_s)

    def _topologies(self) -> Mapping[str, TopologyConfig]:
        topologies = self._config.topologies
        return without_links(topologies) if self._observe else topologies

    def _describe(self, config: TopologyConfig, known: tuple[Node, ...]) -> Start:
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
        if self._loop is None:
            raise ClusterKitError("supervisor: not started: use `with Supervisor(...)`, or call start()")
        if os.getpid() != self._pid:
            raise ClusterKitError(f"supervisor: it belongs to process {self._pid}: make one in each process, after the fork")
        if answering and self._bus.closed and not self._delivery.is_ours:  # a callback is still given the last events
            raise ClusterKitError("supervisor: it has stopped, and knows of nobody any more: make a new one")
        return self._loop

    def _order_all(self, message: Any) -> None:
        if self._loop is not None:
            loop = self._running()
            for name in loop.keepers:
                loop.submit(name, lambda keeper: keeper.order(message))
