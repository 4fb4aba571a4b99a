"""Plays a script: carries out each step at its time, and undoes what lasts only for a time.

By the time of a step a node may be in a state that makes the step impossible. It is then skipped
for that node, and the trace says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from cluster_kit.testing.simulation.connectivity import (
    Connectivity,
    Disturbance,
    closes,
    is_fair,
    paths_of,
)
from cluster_kit.testing.simulation.network import SimulatedNetwork
from cluster_kit.testing.simulation.node import NodeState, SimulatedNode
from cluster_kit.testing.simulation.scripts.message_steps import MessageStep
from cluster_kit.testing.simulation.scripts.script import Script, describe
from cluster_kit.testing.simulation.scripts.steps import (
    ALL,
    ClockJump,
    Crash,
    Cut,
    Freeze,
    Heal,
    Join,
    KillWorker,
    Leave,
    Packets,
    Partition,
    PowerOff,
    Rekey,
    Restart,
    RingCut,
    SlowReader,
    Starve,
    Step,
    Thaw,
)
from cluster_kit.testing.simulation.trace import Trace
from cluster_kit.testing.virtual_time.timeline import Timeline

_HEALED_BY: Mapping[type[Step], str] = {
    Partition: "partitions",
    Cut: "partitions",
    RingCut: "partitions",
    Packets: "packets",
    SlowReader: "packets",
}
"""What a ``Heal`` must name to end a step."""

_RUNNING = frozenset({NodeState.RUNNING})
_ALIVE = frozenset({NodeState.RUNNING, NodeState.FROZEN})
_ANY = frozenset(NodeState)
_REQUIRED: Mapping[type[Step], tuple[frozenset[NodeState], str]] = {
    Join: (frozenset({NodeState.ABSENT}), "it has been there"),
    Leave: (_RUNNING, "it doesn't run"),
    Crash: (_ALIVE, "it doesn't run"),
    PowerOff: (_ALIVE, "it doesn't run"),
    Restart: (frozenset({NodeState.GONE}), "it is not gone"),
    Freeze: (_RUNNING, "it doesn't run"),
    Thaw: (frozenset({NodeState.FROZEN}), "it is not frozen"),
    Starve: (_RUNNING, "it doesn't run"),
    ClockJump: (_ANY, ""),
    Rekey: (_ANY, ""),
    SlowReader: (_ANY, ""),
    KillWorker: (_RUNNING, "it doesn't run"),
    MessageStep: (_RUNNING, "it doesn't run"),
}
"""The states in which a node can carry out a step, and why it can't in any other."""


class Player:
    """Carries out the steps of ``script``.

    Args:
        script: What happens.
        nodes: All nodes that ever appear, by number.
        network: Faults are placed on it.
        timeline: The virtual time.
        connectivity: Records the disturbed paths.
        trace: Gets a line for each step.
        changed: Called after each change.
    """

    def __init__(
        self,
        script: Script,
        nodes: Mapping[int, SimulatedNode],
        network: SimulatedNetwork,
        timeline: Timeline,
        *,
        connectivity: Connectivity,
        trace: Trace,
        changed: Callable[[], None],
    ) -> None:
        self._nodes = nodes
        self._network = network
        self._timeline = timeline
        self._connectivity = connectivity
        self._trace = trace
        self._changed = changed
        self._faults: dict[Step, Disturbance | None] = {}  # that last; None while paths stay fair
        # by node, as only that step's own timer may end it
        self._frozen_by: dict[int, Step] = {}
        self._starved_by: dict[int, Step] = {}
        for step in script.steps:
            timeline.call_at(step.at_s, self._play, step)

    def _play(self, step: Step) -> None:
        self._note(describe(step))
        match step:
            case Heal():
                self._heal(step)
            case Partition() | Cut() | RingCut() | Packets():
                self._begin_fault(step)
            case _:
                for node in self._subjects(step):
                    self._play_for(step, node)
        self._changed()

    def _subjects(self, step: Step) -> list[SimulatedNode]:
        """Return the nodes of a step; ``ALL`` are those whose state allows it."""
        numbers: tuple[int, ...] = getattr(step, "nodes", ALL)
        if numbers:
            return [self._nodes[number] for number in numbers]
        states = _required_by(step)[0] - {NodeState.ABSENT}
        return [node for node in self._nodes.values() if node.state in states]

    def _play_for(self, step: Step, node: SimulatedNode) -> None:
        states, why_not = _required_by(step)
        if node.state not in states:
            node.note(f"skips {step.verb}: {why_not}, it is {node.state}")
            return
        match step:
            case Join() | Restart():
                self._network.power(node.number, on=True)
                node.start()
            case Leave():
                self._leave(step, node)
            case Crash():
                node.kill()
            case KillWorker():
                node.kill_worker()
            case MessageStep():
                node.play(step)
            case PowerOff():
                self._network.power(node.number, on=False)
                node.kill()
            case Freeze():
                node.freeze()
                self._frozen_by[node.number] = step
                self._later(step.for_s, self._end_freeze, step, node)
            case Thaw():
                node.thaw()
            case Starve():
                node.starve(step.most_s)
                self._starved_by[node.number] = step
                self._later(step.for_s, self._end_starvation, step, node)
            case ClockJump():
                self._network.jump_clock(node.number, step.by_s)
            case Rekey():
                node.rekey(step.secrets)
            case SlowReader():
                self._begin_fault(step)

    def _leave(self, step: Leave, node: SimulatedNode) -> None:
        if step.drain_s == 0:
            node.leave()
            return
        process = node.process
        node.drain()

        def leave() -> None:
            # unless the node has been killed or restarted in the meantime
            if node.process is process and node.state in _ALIVE:
                node.leave()

        self._later(step.drain_s, leave)

    def _end_freeze(self, step: Step, node: SimulatedNode) -> None:
        if node.state is NodeState.FROZEN and self._frozen_by[node.number] is step:
            node.thaw()

    def _end_starvation(self, step: Starve, node: SimulatedNode) -> None:
        if self._starved_by[node.number] is step:
            node.stop_starving()

    # -- the network -------------------------------------------------------------------------------

    def _begin_fault(self, step: Step) -> None:
        if step in self._faults:  # a slow reader of several nodes is one fault
            return
        paths = paths_of(step, self._nodes)
        disturbance = None
        if not is_fair(step, self._network.loss):
            disturbance = self._connectivity.paths_disturbed(paths, closes=closes(step))
        self._faults[step] = disturbance
        self._network.begin(step, paths)
        self._later(getattr(step, "for_s", None), self._end_fault, step)

    def _end_fault(self, step: Step) -> None:
        if step not in self._faults:
            return
        self._note(f"over: {describe(step)}")
        disturbance = self._faults.pop(step)
        if disturbance is not None:
            disturbance.until_s = self._timeline.now_s
        self._network.end(step)

    def _heal(self, heal: Heal) -> None:
        steps = [step for step in self._faults if heal.what in ("all", _HEALED_BY[type(step)])]
        if not steps:
            self._note("skips heal: nothing is broken")
        for step in steps:
            self._end_fault(step)

    # -- timers and trace --------------------------------------------------------------------------

    def _later(self, delay_s: float | None, act: Callable[..., object], *args: object) -> None:
        if delay_s is not None:
            self._timeline.call_at(self._timeline.now_s + delay_s, self._act, partial(act, *args))

    def _act(self, act: Callable[[], object]) -> None:
        act()
        self._changed()

    def _note(self, what: str) -> None:
        self._trace.add(self._timeline.now_s, "script", what)


def _required_by(step: Step) -> tuple[frozenset[NodeState], str]:
    return _REQUIRED[MessageStep if isinstance(step, MessageStep) else type(step)]
