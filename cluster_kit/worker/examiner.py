"""Examines one source of a topology for ``cluster-kit doctor``, in a worker process of its own.

The examiner asks the strategy for its diagnosis, meanwhile collects what it discovers, and then
lets the connector try these nodes. It announces nothing and makes no link. Strategy and connector
are plugins: if they raise or never end, that is a finding as well. If they block the event loop,
the command notices that no beats arrive.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Literal

from msgspec import Struct

from cluster_kit.abc import Connector, Failed, Found, Strategy
from cluster_kit.config import TopologyConfig
from cluster_kit.diagnosis import Finding, Outcome, listed
from cluster_kit.errors import described, text_of
from cluster_kit.membership.peer import Peers
from cluster_kit.membership.roster import Roster
from cluster_kit.network import Network
from cluster_kit.node import Fence, Node
from cluster_kit.pipe.channel import Channel
from cluster_kit.pipe.messages import BEAT_S, Beat
from cluster_kit.security import Security
from cluster_kit.security.keys import Keyring
from cluster_kit.worker.host_process import HostProcess
from cluster_kit.worker.local_node import LocalNode
from cluster_kit.worker.plugin_calls import CLOSE_S, attempt
from cluster_kit.worker.plugin_values import check_observation, checked_stream
from cluster_kit.worker.reachability import diagnose_reachability
from cluster_kit.worker.strategy_runner import StrategyContext

DIAGNOSE_S = 30.0  # for the strategy's diagnosis; the contract asks for some seconds
MAX_FINDINGS = 1_000  # of one source
MAX_CHARS = 4_000  # of one text in a finding
PROMPT_S = 1.0  # nodes that answer by then are reported before those that take longer
MAX_TRIED = 64  # nodes; if so many answer, the others hardly matter

_SHOWN = 5  # discovered nodes, by name
_EXIT_ORPHANED = 75  # EX_TEMPFAIL of sysexits.h: the command is gone
_PLUGIN_FAULT = "a fault of the plugin, not of its source; report it to whoever wrote it"


class Examine(Struct, frozen=True, kw_only=True):
    """To a worker, in place of ``Start``: examine one source.

    Attributes:
        source: The index of its strategy.
        wait_s: How long to wait for discoveries, at least.
    """

    topology: TopologyConfig
    source: int
    local: Node
    fence: Fence
    wait_s: float
    keyring: Keyring | None = None


Step = Literal["source", "discovery", "connector", "node"]


class Diagnosed(Struct, frozen=True):
    """From the worker: one finding on the source, its discoveries, this node, or another node."""

    step: Step
    finding: Finding


class ExaminationDone(Struct, frozen=True):
    """From the worker, last: there are no more findings."""


class Examiner:
    """Carries out ``order``, and sends its findings through ``channel``.

    Args:
        order: What to examine.
        channel: The pipe to the command.
        network: What strategy and connector see of the world.
        process: The process that it runs in.
        diagnose_s: How long the strategy's diagnosis may take.
        beat_s: Seconds between two beats.
    """

    def __init__(
        self,
        order: Examine,
        channel: Channel,
        *,
        network: Network,
        process: HostProcess,
        diagnose_s: float = DIAGNOSE_S,
        beat_s: float = BEAT_S,
    ) -> None:
        self._here = LocalNode(
            node=order.local,
            fence=order.fence,
            network=network,
            security=Security(order.local, order.keyring),
        )
        self._order = order
        self._channel = channel
        self._process = process
        self._diagnose_s = diagnose_s
        self._beat_s = beat_s
        self._strategy: Strategy = order.topology.strategies[order.source].build()
        self._connector: Connector = order.topology.connector.build()
        name = order.topology.sources[order.source]
        self._context = StrategyContext(name, self._here, announced=lambda: None)
        self._roster = Roster(Peers(), prune=True, max_nodes=order.topology.max_nodes)
        self._roster.disown(order.local.name)
        self._fault: str | None = None

    async def main(self) -> bool:
        """Send all findings; return True, as that is always possible."""
        logging.disable()  # the findings say what is wrong
        beating = asyncio.create_task(self._beat())
        listening = asyncio.create_task(self._listen())
        loop = asyncio.get_running_loop()
        since_s = loop.time()
        await self._diagnose_in_time()
        rest_s = max(0.0, since_s + self._order.wait_s - loop.time())
        await asyncio.wait([listening], timeout=rest_s)
        self._send_finding("discovery", self._discovered(loop.time() - since_s))
        await self._check_reachability()
        await self._try_nodes()
        listening.cancel()
        await asyncio.wait([listening], timeout=CLOSE_S)
        beating.cancel()
        self._send(ExaminationDone())
        self._channel.drain()
        return True

    async def _beat(self) -> None:
        while True:
            self._send(Beat())
            await asyncio.sleep(self._beat_s)

    # -- the source --------------------------------------------------------------------------------

    async def _diagnose_in_time(self) -> None:
        diagnosing = asyncio.create_task(self._diagnose())
        _, late = await asyncio.wait([diagnosing], timeout=self._diagnose_s)
        if late:
            diagnosing.cancel()
            got, cause = f"not complete after {self._diagnose_s:g} s", "its source does not answer"
            self._send_finding("source", _failed("its diagnosis", got, cause))

    async def _diagnose(self) -> None:
        error = (await attempt(self._ask_strategy)).error
        if error is not None:
            finding = _failed("its diagnosis", f"raised {described(error)}", _PLUGIN_FAULT)
            self._send_finding("source", finding)

    async def _ask_strategy(self) -> None:
        count = 0
        async for finding in self._strategy.diagnose(self._context):
            if (count := count + 1) > MAX_FINDINGS:
                raise ValueError(f"more than {MAX_FINDINGS} findings")
            self._send_finding("source", _checked(finding))
            await asyncio.sleep(0)

    async def _listen(self) -> None:
        error = (await attempt(self._discover)).error
        if error is not None:
            self._fault = f"discover raised {described(error)}"

    async def _discover(self) -> None:
        """Collect what is discovered, until there is no more or a complete answer has come."""
        loop = asyncio.get_running_loop()
        observations = checked_stream(self._strategy.discover(self._context))
        try:
            async for observation in observations:
                check_observation(observation)
                fault = text_of(observation.error) if isinstance(observation, Failed) else None
                self._fault = fault
                self._roster.observe("", observation, loop.time())
                if isinstance(observation, Found) and self._roster.known:
                    return
                await asyncio.sleep(0)
        finally:
            close = getattr(observations, "aclose", None)
            if close is not None:
                await close()

    def _discovered(self, listened_s: float) -> Finding:
        asked = "nodes it discovers"
        known = sorted(self._roster.known)
        if self._fault is not None:
            return _failed(asked, self._fault)
        if not known:
            got = f"no nodes within {listened_s:.1f} s"
            return Finding(asked=asked, got=got, outcome=Outcome.EMPTY)
        tried = f"; the first {MAX_TRIED} are tried" if len(known) > MAX_TRIED else ""
        return Finding(asked=asked, got=f"{len(known)}: {listed(known, _SHOWN)}{tried}")

    async def _check_reachability(self) -> None:
        """Report what is wrong with where this node would serve, once for all sources."""
        if self._order.source:
            return
        host = self._here.node.host
        serves_on, error = await attempt(lambda: self._connector.serves_on(host))
        if error is not None:
            return
        advertised, _ = await attempt(lambda: self._connector.dialled_at(host))
        finding = await diagnose_reachability(
            self._here.network, serves_on, self._roster.known.values(), advertised=advertised
        )
        if finding is not None:
            self._send_finding("connector", _checked(finding))

    # -- the nodes ---------------------------------------------------------------------------------

    async def _try_nodes(self) -> None:
        nodes = [self._roster.known[key] for key in sorted(self._roster.known)[:MAX_TRIED]]
        if not nodes:
            return
        timeout_s = self._order.topology.connect_timeout_s
        trials = {asyncio.create_task(self._try(node)): node for node in nodes}
        for wait_s in (min(PROMPT_S, timeout_s), max(0.0, timeout_s - PROMPT_S)):
            done, late = await asyncio.wait(trials, timeout=wait_s)
            for trial in [each for each in trials if each in done]:
                del trials[trial]
                if (finding := trial.result()) is not None:
                    self._send_finding("node", finding)
            if not late:
                return
        for trial, node in trials.items():
            trial.cancel()
            self._send_finding("node", _silent(node, timeout_s))

    async def _try(self, node: Node) -> Finding | None:
        result = await attempt(lambda: self._ask_connector(node))
        if result.error is not None:
            got = f"the connector's diagnose raised {described(result.error)}"
            return _failed(node.key, got, _PLUGIN_FAULT)
        finding: Finding | None = result.value
        return finding

    async def _ask_connector(self, node: Node) -> Finding | None:
        finding = await self._connector.diagnose(node, self._context)
        return None if finding is None else _checked(finding)

    # -- the pipe ----------------------------------------------------------------------------------

    def _send_finding(self, step: Step, finding: Finding) -> None:
        self._send(Diagnosed(step, finding))

    def _send(self, message: Any) -> None:
        try:
            self._channel.send(message)
        except OSError:
            self._process.end(_EXIT_ORPHANED)


def _failed(asked: str, got: str, cause: str | None = None) -> Finding:
    return Finding(asked=asked, got=got, outcome=Outcome.FAILED, cause=cause)


def _silent(node: Node, timeout_s: float) -> Finding:
    cause = (
        "its host is down, its process frozen, or a firewall in between; try its address from this "
        "host"
    )
    return _failed(node.key, f"no answer within {timeout_s:g} s", cause)


def _checked(finding: Finding) -> Finding:
    """Return ``finding`` as plain text, which the command can unpickle whatever a plugin made."""
    if not isinstance(finding, Finding) or not isinstance(finding.outcome, Outcome):
        raise TypeError(f"{finding!r:.80} is no Finding with an Outcome")
    return Finding(
        asked=_cut(finding.asked),
        got=_cut(finding.got),
        outcome=finding.outcome,
        cause=None if finding.cause is None else _cut(finding.cause),
    )


def _cut(text: str) -> str:
    return str.__str__(text)[:MAX_CHARS]
