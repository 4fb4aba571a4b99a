"""A simulated node across all of its runs: a named machine with at most one process.

======= ================================== ============================================
state   entered by                         the process
======= ================================== ============================================
ABSENT  (before its first run)             none
RUNNING ``start``, ``thaw``                runs
FROZEN  ``freeze``                         is paused, as by SIGSTOP
LEAVING ``leave``                          says goodbye and ends
GONE    ``kill``, or the process ends      none
======= ================================== ============================================

Only a RUNNING node counts as present. ``Connectivity`` records when a node is not, as that excuses
what other nodes think of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from random import Random

from cluster_kit.config import TopologyConfig
from cluster_kit.events import Reason
from cluster_kit.network import Network
from cluster_kit.node import Node
from cluster_kit.security.keys import Keyring
from cluster_kit.testing.simulation.application import Application
from cluster_kit.testing.simulation.connectivity import Connectivity, Disturbance
from cluster_kit.testing.simulation.identity import keyring_of, label_of, node_of
from cluster_kit.testing.simulation.invariants.findings import Findings, Law
from cluster_kit.testing.simulation.invariants.messages import MessageChecker
from cluster_kit.testing.simulation.invariants.runs import Runs
from cluster_kit.testing.simulation.invariants.view import NodeView
from cluster_kit.testing.simulation.process import NodeProcess
from cluster_kit.testing.simulation.scripts.message_steps import MessageStep
from cluster_kit.testing.simulation.trace import Trace
from cluster_kit.testing.virtual_time.timeline import Timeline, TimelineHandle

_MAX_TURN_S = 0.1  # that a starved process runs between two pauses


class NodeState(StrEnum):
    """What a node is doing; the text appears in traces."""

    ABSENT = "absent"
    RUNNING = "running"
    FROZEN = "frozen"
    LEAVING = "leaving"
    GONE = "gone"


ViewChanged = Callable[[int, str, str, Reason | None], None]
"""Called when the view of a node changes: its number, what happened, to which key, and why."""


class SimulatedNode:
    """A node with a number.

    Args:
        number: From 1; name, address and keys follow from it.
        network: The network of its machine.
        config: What it serves.
        timeline: The virtual time.
        random: Decides when a starved process gets to run.
        secret: Whether the cluster has a secret.
        checker: Judges messages; ``None`` if the script has none.
    """

    def __init__(
        self,
        number: int,
        network: Network,
        config: TopologyConfig,
        timeline: Timeline,
        *,
        random: Random,
        connectivity: Connectivity,
        runs: Runs,
        findings: Findings,
        trace: Trace,
        view_changed: ViewChanged,
        secret: bool = False,
        checker: MessageChecker | None = None,
    ) -> None:
        self.number = number
        self.label = label_of(number)
        self.state = NodeState.ABSENT
        self.process: NodeProcess | None = None
        self.application: Application | None = None
        self.left_at_s: float | None = None  # when the latest run said goodbye
        self._network = network
        self._config = config
        self._timeline = timeline
        self._random = random
        self._connectivity = connectivity
        self._runs = runs
        self._findings = findings
        self._trace = trace
        self._view_changed = view_changed
        self._checker = checker
        self._keyring: Keyring | None = keyring_of([1]) if secret else None
        self._absence: Disturbance | None = connectivity.node_absent(number, was_there=False)
        self._next_turn: TimelineHandle | None = None  # of a starved process
        self._leaves_when_thawed = False

    @property
    def node(self) -> Node:
        """The node as it introduces itself, or would."""
        return self.process.node if self.process is not None else node_of(self.number)

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self.state is NodeState.RUNNING

    @property
    def _running_process(self) -> NodeProcess:
        assert self.process is not None
        return self.process

    def start(self) -> None:
        """Start its application and worker."""
        self.state = NodeState.RUNNING
        self.left_at_s = None
        self._leaves_when_thawed = False
        self._end_absence()
        self.note("starts")
        if self._checker is not None:
            self.application = Application(
                self._checker.application_started(self.number),
                self._timeline,
                checker=self._checker,
                note=self.note,
            )
        self._start_worker()

    def _start_worker(self) -> None:
        own = node_of(self.number)
        most = self._config.max_nodes
        self.process = NodeProcess(
            own,
            self._config,
            self._network,
            self._timeline,
            view=NodeView(
                self.report, self._on_change, max_nodes=most, runs=self._runs, own=own.key
            ),
            report=self.report,
            ended=self._on_end,
            keyring=self._keyring,
            application=self.application,
        )
        self._runs.add(self.process.node)

    def rekey(self, secrets: Sequence[int]) -> None:
        """Give it other secrets, by number; the first is used, all are accepted."""
        if self._keyring is None:
            self.note("skips rekey: the simulation is one without secrets")
            return
        self._keyring = keyring_of(secrets)
        if self.process is not None:
            self.process.renew(self._keyring)

    def drain(self) -> None:
        """Make it announce that it will leave."""
        self._runs.mark_leaving(self.node)
        self._running_process.drain()

    def leave(self) -> None:
        """Make it leave with a goodbye; a frozen node does so when it is thawed."""
        if self.state is NodeState.FROZEN:
            self._leaves_when_thawed = True
            return
        self.stop_starving()
        self.state = NodeState.LEAVING
        self.left_at_s = self._timeline.now_s
        self._begin_absence()
        self._runs.mark_left(self.node)
        if self.application is not None:
            self.application.leave()
        self._running_process.stop()

    def kill(self) -> None:
        """End its process at once."""
        self.stop_starving()
        self._running_process.kill()
        if self.application is not None:
            self.application.end()
        self.state = NodeState.GONE
        self._begin_absence()

    def kill_worker(self) -> None:
        """Kill its worker, and start another one under the same application."""
        self.stop_starving()
        self._running_process.kill()
        self._begin_absence()
        if self.application is not None:
            self.application.detach()
        self._end_absence()
        self._start_worker()

    def play(self, step: MessageStep) -> None:
        """Make its application carry out a step."""
        assert self.application is not None
        self.application.play(step)

    def dispose(self) -> None:
        """Kill what still runs when the simulation is over."""
        if self.process is not None:
            self.process.kill()

    def freeze(self) -> None:
        """Pause its process."""
        self.stop_starving()
        self._running_process.loop.pause()
        if self.application is not None:
            self.application.freeze()
        self.state = NodeState.FROZEN
        self._begin_absence()

    def thaw(self) -> None:
        """Resume its process."""
        self._running_process.loop.resume()
        if self.application is not None:
            self.application.thaw()
        self.state = NodeState.RUNNING
        self._end_absence()
        if self._leaves_when_thawed:
            self.leave()

    def starve(self, most_s: float) -> None:
        """Run its process only now and then, with pauses of up to ``most_s`` seconds."""
        self.stop_starving()
        self._next_turn = self._timeline.call_at(self._timeline.now_s, self._take_turn, most_s)

    def stop_starving(self) -> None:
        """Run its process freely again. Idempotent."""
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None
            self._running_process.loop.resume()

    def report(self, law: Law, what: str) -> None:
        """Report that it violates an invariant."""
        self.note(f"finding: {what}")
        self._findings.add(law, self._timeline.now_s, self.label, what)

    def note(self, what: str) -> None:
        """Add a line to the trace."""
        self._trace.add(self._timeline.now_s, self.label, what)

    def _take_turn(self, most_s: float) -> None:
        """Pause the process for a while, or let it run for a moment, in turns."""
        loop = self._running_process.loop
        if loop.is_paused:
            loop.resume()
        else:
            loop.pause()
        lasts_s = self._random.random() * (most_s if loop.is_paused else _MAX_TURN_S)
        at_s = self._timeline.now_s + lasts_s
        self._next_turn = self._timeline.call_at(at_s, self._take_turn, most_s)

    def _on_change(self, what: str, key: str, reason: Reason | None) -> None:
        self.note(f"{what} {key}: {reason}" if reason else f"{what} {key}")
        self._view_changed(self.number, what, key, reason)

    def _on_end(self) -> None:
        self.note("has ended")
        self.stop_starving()
        if self.state is not NodeState.LEAVING:
            self._begin_absence()
        if self.application is not None:
            self.application.end()
        self.state = NodeState.GONE

    def _begin_absence(self) -> None:
        if self._absence is None:
            self._absence = self._connectivity.node_absent(self.number)

    def _end_absence(self) -> None:
        if self._absence is not None:
            self._absence.until_s = self._timeline.now_s
            self._absence = None
