"""Plays a script: carries out each step at its time, skips what makes no sense by then, and ends
what lasts for a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from cluster_kit.testing.simulation.connectivity import (
    Disturbance,
    History,
    closes,
    is_fair,
    ways_of,
)
from cluster_kit.testing.simulation.network import Weather
from cluster_kit.testing.simulation.node import Member, State
from cluster_kit.testing.simulation.scripts.message_steps import Talk
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

_ALIVE = frozenset({State.RUNNING, State.FROZEN})
_WHAT: Mapping[type[Step], str] = {
    Partition: "partitions",
    Cut: "partitions",
    RingCut: "partitions",
    Packets: "packets",
    SlowReader: "packets",
}
"""Which kind of ``Heal`` ends what a step has broken."""

_NEEDED: Mapping[type[Step], tuple[frozenset[State], str]] = {
    Join: (frozenset({State.ABSENT}), "it has been there"),
    Leave: (frozenset({State.RUNNING}), "it doesn't run"),
    Crash: (_ALIVE, "it doesn't run"),
    PowerOff: (_ALIVE, "it doesn't run"),
    Restart: (frozenset({State.GONE}), "it is not gone"),
    Freeze: (frozenset({State.RUNNING}), "it doesn't run"),
    Thaw: (frozenset({State.FROZEN}), "it is not frozen"),
    Starve: (frozenset({State.RUNNING}), "it doesn't run"),
    ClockJump: (frozenset(State), ""),
    Rekey: (frozenset(State), ""),
    SlowReader: (frozenset(State), ""),
    KillWorker: (frozenset({State.RUNNING}), "it doesn't run"),
    Talk: (frozenset({State.RUNNING}), "it doesn't run"),
}
"""In which states a node goes through a step, and why it doesn't in others."""


class Player:
    """Carries out the steps of ``script``.

    Args:
        script: What happens.
        members: All nodes that ever appear, by number.
        weather: What befalls the network.
        timeline: Time.
        history: Is told what keeps nodes apart.
        trace: Is told each step.
        played: Called after each change.
    """

    def __init__(
        self,
        script: Script,
        members: Mapping[int, Member],
        weather: Weather,
        timeline: Timeline,
        *,
        history: History,
        trace: Trace,
        played: Callable[[], None],
    ) -> None:
        self._members = members
        self._weather = weather
        self._timeline = timeline
        self._history = history
        self._trace = trace
        self._played = played
        self._broken: dict[Step, Disturbance | None] = {}
        self._frozen_by: dict[int, Step] = {}
        self._starved_by: dict[int, Step] = {}
        for step in script.steps:
            timeline.call_at(step.at_s, self._play, step)

    def _play(self, step: Step) -> None:
        self._say(describe(step))
        match step:
            case Heal():
                self._heal(step)
            case Partition() | Cut() | RingCut() | Packets():
                self._break(step)
            case _:
                for member in self._subjects(step):
                    self._play_for(step, member)
        self._played()

    def _subjects(self, step: Step) -> list[Member]:
        """Return the members that a step is about; ``ALL`` are those whom it can befall."""
        nodes: tuple[int, ...] = getattr(step, "nodes", ALL)
        if nodes:
            return [self._members[node] for node in nodes]
        states, _ = _needed_by(step)
        return [
            member
            for member in self._members.values()
            if member.state in states and member.state is not State.ABSENT
        ]

    def _play_for(self, step: Step, member: Member) -> None:
        states, why_not = _needed_by(step)
        if member.state not in states:
            member.note(f"skips {step.verb}: {why_not}, it is {member.state}")
            return
        match step:
            case Join() | Restart():
                self._weather.power(member.number, on=True)
                member.start()
            case Leave():
                self._leave(step, member)
            case Crash():
                member.kill()
            case KillWorker():
                member.kill_worker()
            case Talk():
                member.talk(step)
            case PowerOff():
                self._weather.power(member.number, on=False)
                member.kill()
            case Freeze():
                member.freeze()
                self._frozen_by[member.number] = step
                self._later(step.for_s, self._thaw, step, member)
            case Thaw():
                member.thaw()
            case Starve():
                member.starve(step.most_s)
                self._starved_by[member.number] = step
                self._later(step.for_s, self._feed, step, member)
            case ClockJump():
                self._weather.jump(member.number, step.by_s)
            case Rekey():
                member.rekey(step.secrets)
            case SlowReader():
                self._break(step)

    def _leave(self, step: Leave, member: Member) -> None:
        if step.drain_s == 0:
            member.leave()
            return
        life = member.life
        member.drain()

        def leave() -> None:
            if member.life is life and member.state in _ALIVE:
                member.leave()

        self._later(step.drain_s, leave)

    def _thaw(self, step: Step, member: Member) -> None:
        if member.state is State.FROZEN and self._frozen_by[member.number] is step:
            member.thaw()

    def _feed(self, step: Starve, member: Member) -> None:
        if self._starved_by[member.number] is step:
            member.eat()

    # -- the network -------------------------------------------------------------------------------

    def _break(self, step: Step) -> None:
        if step in self._broken:
            return
        ways = ways_of(step, self._members)
        self._broken[step] = (
            None
            if is_fair(step, self._weather.loss)
            else self._history.ways_disturbed(ways, closes=closes(step), at_s=self._timeline.now_s)
        )
        self._weather.begin(step, ways)
        self._later(getattr(step, "for_s", None), self._mend, step)

    def _mend(self, step: Step) -> None:
        if step not in self._broken:
            return
        self._say(f"over: {describe(step)}")
        disturbance = self._broken.pop(step)
        if disturbance is not None:
            disturbance.until_s = self._timeline.now_s
        self._weather.end(step)

    def _heal(self, heal: Heal) -> None:
        steps = [step for step in self._broken if heal.what in ("all", _WHAT[type(step)])]
        if not steps:
            self._say("skips heal: nothing is broken")
        for step in steps:
            self._mend(step)

    # -- telling -----------------------------------------------------------------------------------

    def _later(self, delay_s: float | None, act: Callable[..., object], *args: object) -> None:
        if delay_s is not None:
            self._timeline.call_at(self._timeline.now_s + delay_s, self._act, partial(act, *args))

    def _act(self, act: Callable[[], object]) -> None:
        act()
        self._played()

    def _say(self, what: str) -> None:
        self._trace.add(self._timeline.now_s, "script", what)


def _needed_by(step: Step) -> tuple[frozenset[State], str]:
    return _NEEDED[Talk if isinstance(step, Talk) else type(step)]
