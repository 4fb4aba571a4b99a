"""One simulated node, through all of its runs: a machine with a name, and at most one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from random import Random

from cluster_kit.config import TopologyConfig
from cluster_kit.events import Reason
from cluster_kit.network import Network
from cluster_kit.node import Node
from cluster_kit.testing.simulation.application import Application
from cluster_kit.testing.simulation.disturbances import Disturbance, History
from cluster_kit.testing.simulation.judging.findings import Findings, Law
from cluster_kit.testing.simulation.judging.ledger import Ledger
from cluster_kit.testing.simulation.judging.runs import Runs
from cluster_kit.testing.simulation.life import Life
from cluster_kit.testing.simulation.naming import label_of, node_of
from cluster_kit.testing.simulation.scripts.talking import Talk
from cluster_kit.testing.simulation.secrets import keyring_of
from cluster_kit.testing.simulation.trace import Trace
from cluster_kit.testing.virtual_time.timeline import Timeline, TimelineHandle

_TURN_S = 0.1  # the longest that a starved process runs between two pauses


class State(StrEnum):
    """What a node is doing."""

    ABSENT = "absent"
    RUNNING = "running"
    FROZEN = "frozen"
    LEAVING = "leaving"
    GONE = "gone"


Heard = Callable[[int, str, str, Reason | None], None]
"""Called with each event that an application hears: the number of its node, what, of which key, and
why.
"""


class Member:
    """A node; ``History`` is told when it can't be reached, and the trace what its application
    hears.

    Args:
        number: Which one.
        network: Of its machine.
        config: What it serves.
        timeline: Time.
        random: How a starved process gets its turns.
        secret: Whether the cluster has one.
        ledger: Of the messages of all applications; ``None`` where they don't talk.
    """

    def __init__(
        self,
        number: int,
        network: Network,
        config: TopologyConfig,
        timeline: Timeline,
        *,
        random: Random,
        history: History,
        runs: Runs,
        findings: Findings,
        trace: Trace,
        heard: Heard,
        secret: bool = False,
        ledger: Ledger | None = None,
    ) -> None:
        self.number = number
        self.label = label_of(number)
        self.state = State.ABSENT
        self.life: Life | None = None
        self.application: Application | None = None
        self._network = network
        self._config = config
        self._timeline = timeline
        self._random = random
        self._history = history
        self._runs = runs
        self._findings = findings
        self._trace = trace
        self._heard = heard
        self._ledger = ledger
        self._keyring = keyring_of([1]) if secret else None
        self._absence: Disturbance | None = history.node_gone(number, 0.0, was_there=False)
        self._starving: TimelineHandle | None = None
        self._leaves_when_thawed = False
        self.left_at_s: float | None = None  # with a goodbye, of the last run

    @property
    def node(self) -> Node:
        """The node as it introduces itself, or would."""
        return self.life.node if self.life is not None else node_of(self.number)

    @property
    def is_absent(self) -> bool:
        """Whether it has never been there."""
        return self.state is State.ABSENT

    @property
    def is_there(self) -> bool:
        """Whether its process runs."""
        return self.state is State.RUNNING

    def start(self) -> None:
        """Run a process."""
        self.state = State.RUNNING
        self.left_at_s = None
        self._leaves_when_thawed = False
        self._returns()
        self.note("starts")
        if self._ledger is not None:
            party = self._ledger.begins(self.number)
            self.application = Application(
                party, self._timeline, ledger=self._ledger, note=self.note
            )
        self._start_worker()

    def _start_worker(self) -> None:
        self.life = Life(
            node_of(self.number),
            self._config,
            self._network,
            self._timeline,
            runs=self._runs,
            tell=self.tell,
            told=self._told,
            ended=self._ended,
            keyring=self._keyring,
            application=self.application,
        )

    def rekey(self, secrets: Sequence[int]) -> None:
        """Give it other secrets, by number; it uses the first, and accepts all."""
        if self._keyring is None:
            self.note("skips rekey: the simulation is one without secrets")
            return
        self._keyring = keyring_of(secrets)
        if self.life is not None:
            self.life.renew(self._keyring)

    def drain(self) -> None:
        """Have it tell that it is about to leave."""
        assert self.life is not None
        self._runs.leaves(self.node)
        self.life.drain()

    def leave(self) -> None:
        """Have it leave, when it is thawed if it is frozen."""
        assert self.life is not None
        if self.state is State.FROZEN:
            self._leaves_when_thawed = True
            return
        self.eat()
        self.state = State.LEAVING
        self.left_at_s = self._timeline.now_s
        self._goes()
        self._runs.left(self.node)
        if self.application is not None:
            self.application.leave()
        self.life.stop()

    def kill(self) -> None:
        """End its process."""
        assert self.life is not None
        self.eat()
        self.life.kill()
        if self.application is not None:
            self.application.end()
        self.state = State.GONE
        self._goes()

    def kill_worker(self) -> None:
        """End its worker, and start another; its application goes on."""
        assert self.life is not None
        self.eat()
        self.life.kill()
        self._goes()
        if self.application is not None:
            self.application.detach()
        self._returns()
        self._start_worker()

    def talk(self, step: Talk) -> None:
        """Have its application go through a step."""
        assert self.application is not None
        self.application.play(step)

    def bury(self) -> None:
        """End whatever runs, once nobody looks any more."""
        if self.life is not None:
            self.life.kill()

    def freeze(self) -> None:
        """Stop its process."""
        assert self.life is not None
        self.eat()
        self.life.loop.pause()
        if self.application is not None:
            self.application.freeze()
        self.state = State.FROZEN
        self._goes()

    def thaw(self) -> None:
        """Let its process go on."""
        assert self.life is not None
        self.life.loop.resume()
        if self.application is not None:
            self.application.thaw()
        self.state = State.RUNNING
        self._returns()
        if self._leaves_when_thawed:
            self.leave()

    def starve(self, most_s: float) -> None:
        """Let its process run now and then only."""
        self.eat()
        self._starving = self._timeline.call_at(self._timeline.now_s, self._hunger, most_s)

    def eat(self) -> None:
        """Let its process run as it likes again."""
        if self._starving is not None:
            self._starving.cancel()
            self._starving = None
            assert self.life is not None
            self.life.loop.resume()

    def tell(self, law: Law, what: str) -> None:
        """Note that it breaks a law."""
        self.note(f"finding: {what}")
        self._findings.add(law, self._timeline.now_s, self.label, what)

    def note(self, what: str) -> None:
        """Add a line to the trace."""
        self._trace.add(self._timeline.now_s, self.label, what)

    def _hunger(self, most_s: float) -> None:
        """Pause the process for a while, then let it run for a moment."""
        assert self.life is not None
        loop = self.life.loop
        loop.resume() if loop.is_paused else loop.pause()
        lasts_s = self._random.random() * (most_s if loop.is_paused else _TURN_S)
        self._starving = self._timeline.call_at(
            self._timeline.now_s + lasts_s, self._hunger, most_s
        )

    def _told(self, what: str, key: str, reason: Reason | None) -> None:
        self.note(f"{what} {key}: {reason}" if reason else f"{what} {key}")
        self._heard(self.number, what, key, reason)

    def _ended(self) -> None:
        self.note("has ended")
        self.eat()
        if self.state is not State.LEAVING:
            self._goes()
        if self.application is not None:
            self.application.end()
        self.state = State.GONE

    def _goes(self) -> None:
        self._absence = self._absence or self._history.node_gone(self.number, self._timeline.now_s)

    def _returns(self) -> None:
        if self._absence is not None:
            self._absence.until_s = self._timeline.now_s
            self._absence = None
