"""``Simulation``: sets a cluster up, runs its script in virtual time, and gathers the outcome.

The package's docstring describes a run from end to end.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from typing import Any

from cluster_kit.abc import Connector, Strategy
from cluster_kit.errors import ConfigError, LeakError, VirtualTimeError
from cluster_kit.events import Reason
from cluster_kit.testing.simulation.configuration import configured, listed_by
from cluster_kit.testing.simulation.connectivity import Connectivity
from cluster_kit.testing.simulation.invariants.bound import aftermath_s, bound_s
from cluster_kit.testing.simulation.invariants.findings import Findings, Law
from cluster_kit.testing.simulation.invariants.judge import Judge
from cluster_kit.testing.simulation.invariants.messages import MessageChecker
from cluster_kit.testing.simulation.invariants.runs import Runs
from cluster_kit.testing.simulation.logs import watched_logs
from cluster_kit.testing.simulation.network import SimulatedNetwork
from cluster_kit.testing.simulation.node import NodeState, SimulatedNode
from cluster_kit.testing.simulation.outcome import Outcome
from cluster_kit.testing.simulation.player import Player
from cluster_kit.testing.simulation.process import Exited
from cluster_kit.testing.simulation.sandbox import packages_of, sandboxed
from cluster_kit.testing.simulation.scripts.random_script import stream
from cluster_kit.testing.simulation.scripts.script import Script
from cluster_kit.testing.simulation.scripts.steps import MAX_AT_S, Packets
from cluster_kit.testing.simulation.trace import Trace
from cluster_kit.testing.virtual_time.loop import VirtualLoop
from cluster_kit.testing.virtual_time.timeline import Timeline
from cluster_kit.topics.peers import DOUBT_S

START_S = 1.0
CALM_S = 5.0  # for which all must agree before a simulation of no set length ends
_LAST_REPORTS_S = 3.0  # beyond DOUBT_S: a tick, and the way of what is reported then
_SLICE_S = 0.25  # of virtual time, between two checks whether the simulation is over
_COLLECT_NODE_S = 100_000.0  # node-seconds between two garbage collections
_PAIR_BYTES = 1400  # per pair of nodes that know each other, with the garbage of a run

GOSSIP: Mapping[str, Any] = {"strategy": "gossip"}


class Simulation:
    """One run of a script.

    Args:
        script: What happens; a number is a script of so many nodes to which nothing happens.
        topology: What each node runs: an entry under ``topologies:`` of a configuration. Strategies
            and connectors must use the network that is passed to them.
        seed: Of all randomness.
        loss: Fraction of packets that the network loses all the time.
        secret: Whether the cluster has a secret, so that gossip is sealed and links are TLS.
        seconds: How long it lasts; by default until all views have agreed for some time, or the
            bound is reached.
        start_s: Within how many seconds the first nodes start, one by one.
        show: Called with each line of the trace.
        progress: Called every now and then with the virtual time.

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
        self._connectivity = Connectivity()
        self._runs = Runs()
        self._checker: MessageChecker | None = None
        if self.script.has_messages:
            self._checker = MessageChecker(self._report, lambda: self._timeline.now_s)
        size = len(self.script.numbers)
        self._network = SimulatedNetwork(seed, self._timeline, size=size, loss=loss)
        self._nodes = {number: self._make_node(number) for number in self.script.numbers}
        self._judge = self._make_judge()
        self._node_s = 0.0
        self._settling_s: float | None = None  # when the truth will be worked out

    def _starts(self, within_s: float) -> dict[int, float]:
        """Return when each of the first nodes starts."""
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
                f"GiB of memory, and {free / 2**30:.0f} GiB are available: simulate fewer"
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
        return Judge(
            self._nodes,
            self._connectivity,
            topology=topology,
            listed=listed_by(self._config),
            aftermath_s=aftermath_s(strategies, connector, loss=self._loss),
            bound_s=bound_s(strategies, connector, connect_timeout_s=timeout_s, loss=self._loss),
            goodbyes=self._goodbyes(strategies, connector),
            findings=self._findings,
        )

    def _goodbyes(self, strategies: Sequence[Strategy], connector: Connector) -> list[str]:
        """Return the events that must report it when a node has left with a goodbye."""
        if self._loss or any(isinstance(step, Packets) and step.loss for step in self.script.steps):
            return []  # a goodbye may be among the lost packets
        announces = any(strategy.announces for strategy in strategies)
        return ["lost"] * announces + ["down"] * (connector.holds_links and connector.introduces)

    def _make_node(self, number: int) -> SimulatedNode:
        return SimulatedNode(
            number,
            self._network.add_host(number),
            self._config,
            self._timeline,
            random=stream(self.seed, f"turns of {number}"),
            connectivity=self._connectivity,
            runs=self._runs,
            findings=self._findings,
            trace=self._trace,
            view_changed=self._on_view_change,
            secret=self._secret,
            checker=self._checker,
        )

    # -- running -----------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Run the simulation, once."""
        try:
            with sandboxed(self._packages), watched_logs(self._on_log), _no_automatic_collection():
                self._begin()
                self._run()
            outcome = self._outcome()
        finally:
            for node in self._nodes.values():
                node.dispose()
            self._timeline.close()
        return outcome

    def _begin(self) -> None:
        for number, at_s in self._starts_s.items():
            self._timeline.call_at(at_s, self._start, self._nodes[number])
        Player(
            self.script,
            self._nodes,
            self._network,
            self._timeline,
            connectivity=self._connectivity,
            trace=self._trace,
            changed=self._on_change,
        )
        self._timeline.call_at(self._calm_s, self._on_change)

    def _start(self, node: SimulatedNode) -> None:
        if node.state is NodeState.ABSENT:
            node.start()
            self._on_change()

    def _on_change(self) -> None:
        """Work out the truth again, after everything else that happens at this moment."""
        if self._timeline.now_s >= self._calm_s and self._settling_s != self._timeline.now_s:
            self._settling_s = self._timeline.now_s
            self._timeline.call_at(self._timeline.now_s, self._settle)

    def _settle(self) -> None:
        self._settling_s = None
        self._judge.settle(self._timeline.now_s)

    def _run(self) -> None:
        end_s = self._seconds
        if end_s is None:
            end_s = self._calm_s + self._judge.bound_s + self._reporting_s
        collect_at_node_s = _COLLECT_NODE_S
        while self._timeline.now_s < end_s and not self._is_over():
            before_s = self._timeline.now_s
            try:
                self._timeline.run(min(end_s, before_s + _SLICE_S))
            except VirtualTimeError as exc:
                self._findings.add(Law.TIME, self._timeline.now_s, "-", str(exc))
                break
            running = sum(node.is_running for node in self._nodes.values())
            self._node_s += (self._timeline.now_s - before_s) * running
            if self._node_s >= collect_at_node_s:
                collect_at_node_s += _COLLECT_NODE_S
                gc.collect()
            self._record_unhandled()
            if self._progress is not None:
                self._progress(self._timeline.now_s)
        gc.collect()  # a failed task that was not awaited reports its exception when collected
        self._record_unhandled()
        is_lossy = self._loss > 0 or not self._connectivity.is_whole
        self._judge.conclude(self._timeline.now_s, is_lossy=is_lossy)
        self._conclude_messages()

    @property
    def _reporting_s(self) -> float:
        """How long it may take, after the last link broke, until every loss is reported."""
        return 0.0 if self._checker is None else DOUBT_S + _LAST_REPORTS_S

    def _conclude_messages(self) -> None:
        """Judge what became of all messages, if everything had the time to arrive."""
        checker = self._checker
        if checker is None or not self._judge.is_agreed or not self._connectivity.is_whole:
            return
        quiet_s = max(checker.last_link_down_s, self._judge.agreed_s, self._calm_s)
        if quiet_s + self._reporting_s > self._timeline.now_s:
            return
        running = [each.application for each in self._nodes.values() if each.is_running]
        applications = [each for each in running if each is not None]
        if any(each.inbox.is_slow for each in applications):
            return
        checker.conclude({each.run.id: each.messenger.listeners for each in applications})
        for each in applications:
            for serial in each.outbox.pending:
                what = f"{serial}, a question or a message to one node, has no outcome"
                checker.report(each.run, Law.QUESTIONS, what)

    def _is_over(self) -> bool:
        now_s = self._timeline.now_s
        if self._seconds is not None or now_s < self._calm_s:
            return False
        quiet_s = self._judge.agreed_s
        if self._checker is not None:
            quiet_s = max(self._checker.last_link_down_s, quiet_s)
        is_agreed = self._judge.is_agreed or self._loss > 0
        return is_agreed and quiet_s + CALM_S + self._reporting_s <= now_s

    # -- what is found on the way ------------------------------------------------------------------

    def _report(self, law: Law, number: int, what: str) -> None:
        self._nodes[number].report(law, what)

    def _on_view_change(self, number: int, what: str, key: str, reason: Reason | None) -> None:
        self._judge.view_changed(number, what, key, reason, self._timeline.now_s)

    def _on_log(self, loop: VirtualLoop | None, record: logging.LogRecord) -> None:
        if record.name == "asyncio":  # what asyncio logs is among the unhandled exceptions, too
            return
        who = loop.name.partition("@")[0] if loop is not None else "-"
        text = f"{record.levelname.lower()}: {record.getMessage()}"
        exception = record.exc_info[1] if record.exc_info else None
        if exception is not None and str(exception) not in text:
            text += f": {exception!r}"
        self._trace.add(self._timeline.now_s, who, text)
        if record.levelno >= logging.ERROR:
            self._findings.add(Law.LOG, self._timeline.now_s, who, text)

    def _record_unhandled(self) -> None:
        for loop, message, exception, at_s in self._timeline.unhandled:
            if not isinstance(exception, Exited):
                law = Law.REAL_WORLD if isinstance(exception, LeakError) else Law.EXCEPTIONS
                who = loop.name.partition("@")[0]
                self._findings.add(law, at_s, who, f"{message}: {exception!r}")
        self._timeline.unhandled.clear()

    def _outcome(self) -> Outcome:
        running = [node.process for node in self._nodes.values() if node.is_running]
        agreed_s = self._judge.agreed_s
        return Outcome(
            seed=self.seed,
            script=self.script,
            calm_s=self._calm_s,
            agreed_s=None if agreed_s == inf else agreed_s,
            ended_s=self._timeline.now_s,
            bound_s=self._judge.bound_s,
            links=tuple(len(process.view.up) for process in running if process is not None),
            traffic=tuple(self._network.traffic_of(number) for number in self._nodes),
            false_alarms=tuple(self._judge.false_alarms),
            findings=self._findings.in_order(),
            counts=dict(self._findings.counts),
            digest=self._trace.digest,
            node_s=self._node_s,
        )


@contextmanager
def _no_automatic_collection() -> Iterator[None]:
    """Disable the garbage collector's own schedule in the block.

    In a large cluster each collection takes long. One that is called for looks only at what the
    block has made, since everything older is frozen.
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
    """Return how much memory is available, or ``None`` if that is unknown."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(available.split()[1]) * 1024
    return None
