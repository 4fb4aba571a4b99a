"""Examines one source of a topology for ``cluster-kit doctor``, in a worker process of its own.

Asks the strategy for its diagnosis, meanwhile listens to what it discovers, then has the connector
try whom it found. Nothing is announced, no link is made. Strategy and connector are plugins: what
they raise, and that they come to no end, is told as a finding; who blocks the event loop is given
away by the beats that fail to come.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, Literal

from msgspec import Struct

from cluster_kit.abc import Connector, Failed, Found, Observation, Strategy
from cluster_kit.config import TopologyConfig
from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.errors import described, text_of
from cluster_kit.membership.peer import Peers
from cluster_kit.membership.roster import Roster
from cluster_kit.network import Network
from cluster_kit.node import Fence, Node
from cluster_kit.pipe.channel import Channel
from cluster_kit.security import Security
from cluster_kit.security.keys import Keyring
from cluster_kit.worker.foreign import CLOSE_S, attempt
from cluster_kit.worker.local_node import LocalNode
from cluster_kit.worker.messages import Beat
from cluster_kit.worker.observed import check_observation, checked_stream
from cluster_kit.worker.process import Process
from cluster_kit.worker.source import Context
from cluster_kit.worker.standpoint import standpoint

BEAT_S = 1.0
DIAGNOSE_S = 30.0  # "within some seconds", says the contract
MAX_FINDINGS = 1_000  # of one source
MAX_CHARS = 4_000  # of one text in a finding
PROMPT_S = 1.0  # nodes that answer by then are told before those that take longer
MAX_TRIED = 64  # nodes; who is told that so many answer needs to ask no more of them
_SHOWN = 5  # of the nodes that were found, by name
_EXIT_UNHEARD = 75  # EX_TEMPFAIL of sysexits.h: whom we tell is gone

_PLUGIN_FAULT = "a fault of the plugin, not of its source; report it to whoever wrote it"


class Examine(Struct, frozen=True, kw_only=True):
    """To a worker, in place of ``Start``: examine the strategy number ``source``, listening for
    ``wait_s`` at least.
    """

    topology: TopologyConfig
    source: int
    local: Node
    fence: Fence
    wait_s: float
    keyring: Keyring | None = None


Step = Literal["source", "discovery", "connector", "node"]


class Told(Struct, frozen=True):
    """From the worker: what came of one question to the source, of listening to what it discovers,
    or of trying a node.
    """

    step: Step
    finding: Finding


class Examined(Struct, frozen=True):
    """From the worker, last: everything was told."""


class Examiner:
    """Carries out ``order``, and tells through ``channel``; it is the ``Surroundings`` of the
    strategy.

    Args:
        order: What to examine.
        channel: The other end is the command's.
        network: What strategy and connector see of the world.
        process: What it runs in.
    """

    def __init__(
        self, order: Examine, channel: Channel, *, network: Network, process: Process
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
        self._strategy: Strategy = order.topology.strategies[order.source].build()
        self._connector: Connector = order.topology.connector.build()
        self._context = Context(order.topology.sources[order.source], self._here, lambda: None)
        self._roster = Roster(Peers(), prune=True, max_nodes=order.topology.max_nodes)
        self._roster.disown(order.local.name)
        self._fault: str | None = None

    async def main(self) -> bool:
        """Tell all there is to tell; True, as that can always be done."""
        logging.disable()  # what is wrong is told
        beating = asyncio.create_task(self._beat())
        listening = asyncio.create_task(self._listen())
        loop = asyncio.get_running_loop()
        since_s = loop.time()
        await self._diagnose_in_time()
        await asyncio.wait(
            [listening], timeout=max(0.0, since_s + self._order.wait_s - loop.time())
        )
        self._tell("discovery", self._discovered(loop.time() - since_s))
        await self._look_at_ourselves()
        await self._try_nodes()
        listening.cancel()
        await asyncio.wait([listening], timeout=CLOSE_S)
        beating.cancel()
        self._send(Examined())
        self._channel.drain()
        return True

    async def _beat(self) -> None:
        while True:
            self._send(Beat())
            await asyncio.sleep(BEAT_S)

    # -- the source --------------------------------------------------------------------------------

    async def _diagnose_in_time(self) -> None:
        diagnosing = asyncio.create_task(self._diagnose())
        _, late = await asyncio.wait([diagnosing], timeout=DIAGNOSE_S)
        if late:
            diagnosing.cancel()
            self._tell(
                "source",
                _failed(
                    "its diagnosis",
                    f"not complete after {DIAGNOSE_S:g} s",
                    "its source does not answer",
                ),
            )

    async def _diagnose(self) -> None:
        raised = (await attempt(self._ask_strategy)).error
        if raised is not None:
            self._tell(
                "source", _failed("its diagnosis", f"raised {described(raised)}", _PLUGIN_FAULT)
            )

    async def _ask_strategy(self) -> None:
        told = 0
        async for finding in self._strategy.diagnose(self._context):
            if (told := told + 1) > MAX_FINDINGS:
                raise ValueError(f"more than {MAX_FINDINGS} findings")
            self._tell("source", _checked(finding))
            await asyncio.sleep(0)

    async def _listen(self) -> None:
        """Take in what is discovered, until there is no more or a complete answer has come."""
        raised = (
            await attempt(
                lambda: self._hear(checked_stream(self._strategy.discover(self._context)))
            )
        ).error
        if raised is not None:
            self._fault = f"discover raised {described(raised)}"

    async def _hear(self, observations: AsyncIterator[Observation]) -> None:
        loop = asyncio.get_running_loop()
        try:
            async for observation in observations:
                check_observation(observation)
                self._fault = (
                    text_of(observation.error) if isinstance(observation, Failed) else None
                )
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
            return Finding(
                asked=asked, got=f"nobody within {listened_s:.1f} s", outcome=Outcome.EMPTY
            )
        more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
        tried = f"; the first {MAX_TRIED} are tried" if len(known) > MAX_TRIED else ""
        return Finding(asked=asked, got=f"{len(known)}: {', '.join(known[:_SHOWN])}{more}{tried}")

    async def _look_at_ourselves(self) -> None:
        """Tell what is wrong with where this node would serve, once for all sources."""
        if self._order.source:
            return
        where, raised = await attempt(lambda: self._connector.serves_on(self._here.node.host))
        if raised is not None:
            return
        announced, _ = await attempt(lambda: self._connector.dialled_at(self._here.node.host))
        finding = await standpoint(
            self._here.network, where, self._roster.known.values(), announced=announced
        )
        if finding is not None:
            self._tell("connector", _checked(finding))

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
                    self._tell("node", finding)
            if not late:
                return
        for trial, node in trials.items():
            trial.cancel()
            self._tell("node", _silent(node, timeout_s))

    async def _try(self, node: Node) -> Finding | None:
        finding, raised = await attempt(lambda: self._ask_connector(node))
        if raised is not None:
            return _failed(
                node.key, f"the connector's diagnose raised {described(raised)}", _PLUGIN_FAULT
            )
        answer: Finding | None = finding
        return answer

    async def _ask_connector(self, node: Node) -> Finding | None:
        finding = await self._connector.diagnose(node, self._context)
        return None if finding is None else _checked(finding)

    # -- telling -----------------------------------------------------------------------------------

    def _tell(self, step: Step, finding: Finding) -> None:
        self._send(Told(step, finding))

    def _send(self, message: Any) -> None:
        try:
            self._channel.send(message)
        except OSError:
            self._process.end(_EXIT_UNHEARD)


def _failed(asked: str, got: str, cause: str | None = None) -> Finding:
    return Finding(asked=asked, got=got, outcome=Outcome.FAILED, cause=cause)


def _silent(node: Node, timeout_s: float) -> Finding:
    cause = (
        "its host is down, its process frozen, or a firewall in between; try its address from this "
        "host"
    )
    return _failed(node.key, f"no answer within {timeout_s:g} s", cause)


def _checked(finding: Finding) -> Finding:
    """Return ``finding`` as nothing but text, which the command can read whatever class a plugin
    made it of.
    """
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
