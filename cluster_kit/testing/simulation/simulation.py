"""A whole cluster in virtual time: real workers on a network in memory, one script, one seed, and
all laws under watch.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cluster_kit.abc import Connector, Strategy
from cluster_kit.errors import ConfigError, LeakError, VirtualTimeError
from cluster_kit.events import Reason
from cluster_kit.testing.simulation.configuration import configured, listed_by
from cluster_kit.testing.simulation.connectivity import History
from cluster_kit.testing.simulation.invariants.bound import aftermath_s, bound_s
from cluster_kit.testing.simulation.invariants.findings import Findings, Law
from cluster_kit.testing.simulation.invariants.judge import Judge
from cluster_kit.testing.simulation.invariants.messages import Ledger
from cluster_kit.testing.simulation.invariants.runs import Runs
from cluster_kit.testing.simulation.logs import watched_logs
from cluster_kit.testing.simulation.network import Weather
from cluster_kit.testing.simulation.node import Member
from cluster_kit.testing.simulation.outcome import Outcome
from cluster_kit.testing.simulation.player import Player
from cluster_kit.testing.simulation.process import Exited
from cluster_kit.testing.simulation.sandbox import packages_of, sealed
from cluster_kit.testing.simulation.scripts.random_script import stream
from cluster_kit.testing.simulation.scripts.script import Script
from cluster_kit.testing.simulation.scripts.steps import MAX_AT_S, Packets
from cluster_kit.testing.simulation.trace import Trace
from cluster_kit.testing.virtual_time.loop import VirtualLoop
from cluster_kit.testing.virtual_time.timeline import Timeline
from cluster_kit.topics.peers import DOUBT_S

START_S = 1.0  # within which the nodes of the start come up, one by one
CALM_S = 5.0  # for so long all must agree before a simulation without a set length ends
_LAST_WORDS_S = 3.0  # beyond the doubt: a tick, and what is said then
_SLICE_S = 0.25  # of simulated time between two looks at how far it is
_COLLECT_NODE_S = 100_000.0  # between two collections of garbage
_PAIR_BYTES = 1400  # what a node takes to know another one, with the garbage of a run

GOSSIP: Mapping[str, Any] = {"strategy": "gossip"}


class Simulation:
    """One run of a script.

    Args:
        script: What happens, or how many nodes there are if nothing does.
        topology: What each node runs: an entry under ``topologies:`` of a configuration. Strategies
            and connectors must use the network that is passed to them.
        seed: Of all randomness.
        loss: Fraction of packets that the network loses, all the time.
        secret: Whether the cluster has a secret: gossip is sealed then, and links are TLS.
        seconds: How long it lasts; by default until all views have agreed for some time, or the
            bound is reached.
        start_s: Within how many seconds the nodes of the start come up.
        show: Called with each line of the trace.
        progress: Called every now and then with the simulated time.

    Raises:
        ConfigError: Script or topology can't be used.
    """

    def __init__(
        self,
        script: Script | int,
        *,
        topology: Mapping[str, Any] = GOSSIP,
        seed: int = 0,
        loss: float = 0.0,
        secret: bool = False,
        seconds: float | None = None,
        start_s: float = START_S,
        show: Callable[[str], object] | None = None,
        progress: Callable[[float], object] | None = None,
    ) -> None:
        self.bound_s: float
        self.script = script if isinstance(script, Script) else Script(nodes=script)
        self.seed = seed
        self._starts_s = self._starts(start_s)
        self._calm_s = max([self.script.end_s, *self._starts_s.values()])
        self._check(seconds, loss)
        self._config = configured(topology, self.script)
        self._check_connector()
        self._loss = loss
        self._secret = secret
        self._seconds = seconds
        self._progress = progress
        self._timeline = Timeline()
        self._trace = Trace(show)
        self._findings = Findings()
        self._history = History()
        self._runs = Runs()
        self._ledger = (
            Ledger(self._tell_of, lambda: self._timeline.now_s)
            if self.script.has_messages
            else None
        )
        self._weather = Weather(seed, self._timeline, size=len(self.script.numbers), loss=loss)
        self._members = {number: self._member(number) for number in self.script.numbers}
        self._judge = self._make_judge()
        self._node_s = 0.0
        self._settling_s: float | None = None

    def _starts(self, within_s: float) -> dict[int, float]:
        """Return when each node of the start comes up."""
        if not 0 <= within_s <= MAX_AT_S:
            raise ConfigError(
                f"simulation: start_s: {within_s:g}: expected 0 to {MAX_AT_S:g} seconds"
            )
        random = stream(self.seed, "starts")
        return {number: within_s * random.random() for number in range(1, self.script.nodes + 1)}

    def _check(self, seconds: float | None, loss: float) -> None:
        if not 0 <= loss < 1:
            raise ConfigError(
                f"simulation: loss: {loss:g}: expected a fraction from 0 to less than 1"
            )
        if seconds is not None and not 0 < seconds <= MAX_AT_S:
            raise ConfigError(
                f"simulation: seconds: {seconds:g}: expected more than 0, and at most {MAX_AT_S:g}"
            )
        if not self.script.numbers:
            raise ConfigError(
                "simulation: no node ever runs: give it nodes, or a step in which some join"
            )
        nodes = len(self.script.numbers)
        needed, free = nodes**2 * _PAIR_BYTES, free_bytes()
        if free is not None and needed > free:
            raise ConfigError(
                f"simulation: {nodes} nodes that know each other take about {needed / 2**30:.0f} "
                "GiB of memory, "
                f"and {free / 2**30:.0f} GiB are available: simulate fewer"
            )
        if seconds is not None and self._calm_s > seconds:
            what = "the script goes on" if self.script.end_s > seconds else "nodes start"
            raise ConfigError(
                f"simulation: {what} until {self._calm_s:g} s, and only {seconds:g} s are "
                "simulated: simulate more"
            )

    def _check_connector(self) -> None:
        connector = self._config.connector
        if self.script.has_messages and not connector.build().carries_messages:
            raise ConfigError(
                f"simulation: the script has messages, and connector {connector.name!r} carries "
                "none: take tcp"
            )

    def _make_judge(self) -> Judge:
        strategies = [component.build() for component in self._config.strategies]
        connector = self._config.connector.build()
        topology = self._config.topology.build()
        self._packages = packages_of([*strategies, connector, topology])
        timeout_s = self._config.connect_timeout_s
        self.bound_s = bound_s(strategies, connector, connect_timeout_s=timeout_s, loss=self._loss)
        return Judge(
            self._members,
            self._history,
            topology=topology,
            listed=listed_by(self._config),
            aftermath_s=aftermath_s(strategies, connector, loss=self._loss),
            bound_s=self.bound_s,
            goodbyes=self._goodbyes(strategies, connector),
            findings=self._findings,
        )

    def _goodbyes(self, strategies: Sequence[Strategy], connector: Connector) -> list[str]:
        """Return the events that tell of every goodbye: a source that doesn't announce, or loses
        packets, may not.
        """
        if self._loss or any(isinstance(step, Packets) and step.loss for step in self.script.steps):
            return []
        announces = any(strategy.announces for strategy in strategies)
        return ["lost"] * announces + ["down"] * (connector.holds_links and connector.introduces)

    def _member(self, number: int) -> Member:
        return Member(
            number,
            self._weather.host(number),
            self._config,
            self._timeline,
            random=stream(self.seed, f"turns of {number}"),
            history=self._history,
            runs=self._runs,
            findings=self._findings,
            trace=self._trace,
            heard=self._heard,
            secret=self._secret,
            ledger=self._ledger,
        )

    # -- running -----------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Run it, once, and return what came of it."""
        try:
            with sealed(self._packages), watched_logs(self._logged), _collecting_nothing():
                self._begin()
                self._run()
            outcome = self._outcome()
        finally:
            for member in self._members.values():
                member.bury()
            self._timeline.close()
        return outcome

    def _begin(self) -> None:
        for number, at_s in self._starts_s.items():
            self._timeline.call_at(at_s, self._start, self._members[number])
        Player(
            self.script,
            self._members,
            self._weather,
            self._timeline,
            history=self._history,
            trace=self._trace,
            played=self._changed,
        )
        self._timeline.call_at(self._calm_s, self._changed)

    def _start(self, member: Member) -> None:
        if member.is_absent:
            member.start()
            self._changed()

    def _changed(self) -> None:
        """Work out the truth, once all has happened that happens at this moment."""
        if self._timeline.now_s >= self._calm_s and self._settling_s != self._timeline.now_s:
            self._settling_s = self._timeline.now_s
            self._timeline.call_at(self._timeline.now_s, self._settle)

    def _settle(self) -> None:
        self._settling_s = None
        self._judge.settle(self._timeline.now_s)

    def _run(self) -> None:
        end_s = (
            self._calm_s + self.bound_s + self._quiet_s if self._seconds is None else self._seconds
        )
        collect_at_node_s = _COLLECT_NODE_S
        while self._timeline.now_s < end_s and not self._is_over():
            before_s = self._timeline.now_s
            try:
                self._timeline.run(min(end_s, before_s + _SLICE_S))
            except VirtualTimeError as exc:
                self._findings.add(Law.TIME, self._timeline.now_s, "-", str(exc))
                break
            self._node_s += (self._timeline.now_s - before_s) * sum(
                member.is_there for member in self._members.values()
            )
            if self._node_s >= collect_at_node_s:
                collect_at_node_s += _COLLECT_NODE_S
                gc.collect()
            self._note_unhandled()
            if self._progress is not None:
                self._progress(self._timeline.now_s)
        gc.collect()  # a failed task that nobody awaited tells so when it goes
        self._note_unhandled()
        self._judge.conclude(
            self._timeline.now_s, is_lossy=self._loss > 0 or not self._history.is_whole
        )
        self._conclude_messages()

    @property
    def _quiet_s(self) -> float:
        """How long it takes, once all agree, until every loss is told."""
        return 0.0 if self._ledger is None else DOUBT_S + _LAST_WORDS_S

    def _conclude_messages(self) -> None:
        """Judge what came of messages, if there was time for all that has to come of them."""
        ledger = self._ledger
        if ledger is None or not self._judge.is_agreed or not self._history.is_whole:
            return
        if (
            max(ledger.broken_s, self._judge.agreed_s, self._calm_s) + self._quiet_s
            > self._timeline.now_s
        ):
            return
        there = [each.application for each in self._members.values() if each.is_there]
        applications = [each for each in there if each is not None]
        if any(each.is_late for each in applications):
            return
        ledger.conclude({each.party.run: each.messenger.listeners for each in applications})
        for each in applications:
            for serial in each.waits_for:
                ledger.broken(
                    each.party, f"nothing has come of {serial}, a question or a message to one node"
                )

    def _tell_of(self, law: Law, number: int, what: str) -> None:
        self._members[number].tell(law, what)

    def _is_over(self) -> bool:
        now_s = self._timeline.now_s
        if self._seconds is not None or now_s < self._calm_s:
            return False
        is_agreed = self._judge.is_agreed or self._loss > 0
        broken_s = (
            self._judge.agreed_s
            if self._ledger is None
            else max(self._ledger.broken_s, self._judge.agreed_s)
        )
        return is_agreed and broken_s + CALM_S + self._quiet_s <= now_s

    # -- watching ----------------------------------------------------------------------------------

    def _heard(self, number: int, what: str, key: str, reason: Reason | None) -> None:
        self._judge.heard(number, what, key, reason, self._timeline.now_s)

    def _logged(self, loop: VirtualLoop | None, record: logging.LogRecord) -> None:
        if record.name == "asyncio":  # what that logs is in ``unhandled`` as well
            return
        who = loop.name.partition("@")[0] if loop is not None else "-"
        text = f"{record.levelname.lower()}: {record.getMessage()}"
        if (
            record.exc_info
            and record.exc_info[1] is not None
            and str(record.exc_info[1]) not in text
        ):
            text += f": {record.exc_info[1]!r}"
        self._trace.add(self._timeline.now_s, who, text)
        if record.levelno >= logging.ERROR:
            self._findings.add(Law.LOG, self._timeline.now_s, who, text)

    def _note_unhandled(self) -> None:
        for loop, message, exception, at_s in self._timeline.unhandled:
            if not isinstance(exception, Exited):
                law = Law.REAL_WORLD if isinstance(exception, LeakError) else Law.EXCEPTIONS
                self._findings.add(
                    law, at_s, loop.name.partition("@")[0], f"{message}: {exception!r}"
                )
        self._timeline.unhandled.clear()

    def _outcome(self) -> Outcome:
        there = [member.life for member in self._members.values() if member.is_there]
        agreed_s = self._judge.agreed_s
        return Outcome(
            seed=self.seed,
            script=self.script,
            calm_s=self._calm_s,
            agreed_s=None if agreed_s == float("inf") else agreed_s,
            ended_s=self._timeline.now_s,
            bound_s=self.bound_s,
            links=tuple(len(life.view.up) for life in there if life is not None),
            traffic=tuple(self._weather.traffic_of(number) for number in self._members),
            false_alarms=tuple(self._judge.false_alarms),
            findings=self._findings.in_order(),
            counts=dict(self._findings.counts),
            digest=self._trace.digest,
            node_s=self._node_s,
        )


@contextmanager
def _collecting_nothing() -> Iterator[None]:
    """Keep the garbage collector out of the block: in a large cluster it takes long, and it runs
    when it likes.

    Whoever calls it there looks through what the block has made, and not through all that was there
    before.
    """
    was_enabled, is_first = gc.isenabled(), not gc.get_freeze_count()
    gc.disable()
    if is_first:
        gc.freeze()
    try:
        yield
    finally:
        if is_first:
            gc.unfreeze()
        if was_enabled:
            gc.enable()


def free_bytes() -> int | None:
    """Return how much memory is available; ``None`` where that can't be told."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return (
            int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024
        )
    return None
