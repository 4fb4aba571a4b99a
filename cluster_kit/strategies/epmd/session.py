"""One run of an EPMD strategy: rounds of look-ups, and this node's registration.

A round asks every EPMD that isn't still busy with the last one. Each answer is reported as it
arrives, so a slow EPMD delays no other. EPMDs that failed when last asked have slots of their own,
and never queue before others. A node that has just been registered asks at once: if two start
together, the later one finds the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from cluster_kit.abc import Discovery, Found, Observation
from cluster_kit.errors import DiscoveryError
from cluster_kit.node import Node, host_and_port
from cluster_kit.reporter import Reporter
from cluster_kit.strategies.epmd.answers import EpmdAnswers
from cluster_kit.strategies.epmd.client import Epmd
from cluster_kit.strategies.epmd.entries import judge
from cluster_kit.strategies.epmd.options import LOOPBACK, EpmdOptions, EpmdQuestion
from cluster_kit.strategies.epmd.registrar import Registrar, registration_of

_Result = TypeVar("_Result")

HOPEFUL_AT_ONCE = 256  # that answered when last asked, or are asked for the first time
DOUBTFUL_AT_ONCE = 64  # that did not: each may take all of ``deadline_s``
REGISTRATION_S = 5.0  # the supervisor's start waits for the first try
JITTER = 0.1
MAX_SHOWN = 3  # faults in one message


class EpmdSession:
    """Looks up as ``options`` say."""

    def __init__(self, options: EpmdOptions, ctx: Discovery) -> None:
        self._options = options
        self._ctx = ctx
        self._loop = asyncio.get_running_loop()
        self._answers = EpmdAnswers(options.gone_after_s, ctx.found)
        self._questions: tuple[EpmdQuestion, ...] = ()
        self._questions_fault: DiscoveryError | None = None
        self._registration_fault: DiscoveryError | None = None
        self._hopeful = asyncio.Semaphore(HOPEFUL_AT_ONCE)
        self._doubtful = asyncio.Semaphore(DOUBTFUL_AT_ONCE)
        self._asking: dict[EpmdQuestion, asyncio.Task[list[Node] | DiscoveryError]] = {}
        self._registering: asyncio.Task[None] | None = None
        self._due_s = self._loop.time()
        self._reporter = Reporter(ctx.announced)

    async def observe(self) -> AsyncGenerator[Observation, None]:
        """Yield what is found, until closed."""
        try:
            self._make_known()
            while True:
                self._collect_answers()
                if self._loop.time() >= self._due_s:
                    self._start_round()
                self._report()
                for observation in self._reporter.take():
                    yield observation
                await self._reporter.wait(self._due_s - self._loop.time())
        finally:
            await self._close()

    async def _close(self) -> None:
        tasks: list[asyncio.Task[Any]] = [*self._asking.values()]
        if self._registering:
            tasks.append(self._registering)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, _Result], name: str) -> asyncio.Task[_Result]:
        task = self._loop.create_task(work, name=f"epmd: {name}")
        task.add_done_callback(lambda _: self._reporter.wake())
        return task

    def _epmd(self, host: str) -> Epmd:
        return Epmd(host, self._options.port(), self._options.deadline_s)

    # -- being found -------------------------------------------------------------------------------

    def _make_known(self) -> None:
        local = self._ctx.local
        if not (self._options.register and self._ctx.announce and local.address):
            self._reporter.announced()
        elif host_and_port(local.address) is None:
            why = "EPMD carries nothing but a port: use another strategy, or set register: false"
            self._registered(DiscoveryError(f"cannot register {local.address!r}: {why}"))
        else:
            entry = registration_of(local, self._ctx.fence)
            deadline_s = min(self._options.deadline_s, REGISTRATION_S)
            epmd = Epmd(LOOPBACK, self._options.port(), deadline_s)
            registrar = Registrar(epmd, entry, self._ctx.random, self._registered)
            self._registering = self._start(registrar.run(), "registration")

    def _registered(self, fault: DiscoveryError | None) -> None:
        """Record that this node is registered, or why not; the first try counts as announced."""
        if fault is None or not self._reporter.is_announced:
            self._reporter.announced()
        self._registration_fault = fault
        if fault is None:
            self._ask_anew()
        self._reporter.wake()

    # -- finding -----------------------------------------------------------------------------------

    def _ask_anew(self) -> None:
        """Start a round now, and drop questions that were not answered yet."""
        for question in [question for question, task in self._asking.items() if not task.done()]:
            self._asking.pop(question).cancel()
        self._due_s = self._loop.time()

    def _start_round(self) -> None:
        varied = self._ctx.random.uniform(1 - JITTER, 1 + JITTER)
        self._due_s = self._loop.time() + self._options.interval_s * varied
        try:
            self._questions = self._options.questions(self._ctx.local)
        except DiscoveryError as error:
            self._questions_fault = error
        else:
            self._questions_fault = None
            self._answers.keep(self._questions)
        for question in self._questions:
            if question not in self._asking:
                asking = self._start(self._look_up(question), f"look-up at {question.epmd}")
                self._asking[question] = asking

    async def _look_up(self, question: EpmdQuestion) -> list[Node] | DiscoveryError:
        """Return the error rather than raise it: no one awaits a look-up that was given up."""
        epmd = self._epmd(question.epmd)
        turns = self._doubtful if question in self._answers.faults else self._hopeful
        try:
            async with turns, epmd.answering():
                names = await epmd.names() if question.names is None else question.names
                entries = await epmd.find_all(names)
        except DiscoveryError as error:
            return error
        judged = [judge(entry, question, self._ctx.fence) for entry in entries]
        nodes = [node for node in judged if isinstance(node, Node)]
        return [node for node in nodes if node.name != self._ctx.local.name]

    def _collect_answers(self) -> None:
        """Record finished look-ups; an exception that isn't an EPMD's fault ends this run."""
        for question in [question for question, task in self._asking.items() if task.done()]:
            answer = self._asking.pop(question).result()
            if isinstance(answer, DiscoveryError):
                self._answers.record_fault(question, answer)
            else:
                self._answers.record(question, answer, self._loop.time())
        if self._registering is not None and self._registering.done():
            self._registering.result()

    def _report(self) -> None:
        found = Found(self._answers.nodes) if self._answers.answered else None
        self._reporter.answer(found, self._fault())

    def _fault(self) -> DiscoveryError | None:
        """Return one error for all faults, each text once."""
        faults = (self._questions_fault, self._registration_fault, *self._answers.faults.values())
        texts = list(dict.fromkeys(str(fault) for fault in faults if fault))
        if not texts:
            return None
        rest = f"; and {len(texts) - MAX_SHOWN} more" if len(texts) > MAX_SHOWN else ""
        return DiscoveryError(f"epmd: {'; '.join(texts[:MAX_SHOWN])}{rest}")
