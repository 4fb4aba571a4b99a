"""The loop of a strategy that asks its source again and again; ``PollingStrategy`` runs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping
from random import Random
from typing import NamedTuple

from cluster_kit.confirmations import Confirmations, merged
from cluster_kit.errors import DiscoveryError
from cluster_kit.node import Node
from cluster_kit.observations import Answer, Failed, Found
from cluster_kit.retry import Backoff

Polled = frozenset[Node] | Mapping[str, Answer]


class Pace(NamedTuple):
    """How often to poll; see the fields of ``PollingStrategy``."""

    interval_s: float
    max_interval_s: float
    jitter: float
    random: Random

    def wait_s(self, failures: int) -> float:
        """Return the seconds until the next poll, after so many failures in a row."""
        backoff = Backoff(self.interval_s, max(self.max_interval_s, self.interval_s))
        return backoff.bound_s(failures) * self.random.uniform(1 - self.jitter, 1 + self.jitter)


async def observe(
    poll: Callable[[], Awaitable[Polled]], pace: Pace, confirmations: int, earlier: Collection[Node]
) -> AsyncGenerator[Found | Failed, None]:
    """Poll until closed, and yield what the answers add up to.

    Args:
        poll: Asks once; may raise ``DiscoveryError``.
        pace: How often to ask.
        confirmations: How many answers in a row must lack a node before it is gone.
        earlier: The nodes that an earlier run vouched for.
    """
    source = PolledSource(confirmations, earlier)
    reported = Found(earlier)
    failures = 0
    while True:
        try:
            answers = _by_part(await _checked(poll()))
        except DiscoveryError as exc:
            answers = source.all_failed(exc)
        source.answered(answers)
        is_answered = any(answer.complete or answer.nodes for answer in answers.values())
        failures = 0 if is_answered else failures + 1
        found, error = Found(source.nodes), _sum_up(answers.values())
        if error is None or found != reported:  # an old answer beside an error looks like recovery
            reported = found
            yield found
        if error is not None:
            yield Failed(error)
        await asyncio.sleep(pace.wait_s(failures))


class PolledSource:
    """The parts of a source, and the nodes that they vouch for. Pure.

    After a restart, nodes that no part has named yet are kept until all parts answer without them.
    """

    def __init__(self, confirmations: int, earlier: Iterable[Node]) -> None:
        self._confirmations = confirmations
        self._parts: dict[str, Confirmations] = {}
        self._earlier = Confirmations(confirmations, earlier=earlier)

    @property
    def nodes(self) -> Collection[Node]:
        """Each node once; where parts differ about it, the first one decides."""
        return merged((*self._parts.values(), self._earlier))

    def answered(self, answers: Mapping[str, Answer]) -> None:
        """Handle the answers of one poll; a part that is not among them has nobody."""
        for name in dict.fromkeys([*self._parts, *answers]):
            part = self._parts.setdefault(name, Confirmations(self._confirmations))
            _confirm(part, answers.get(name, Answer()))
            if not part.nodes:
                del self._parts[name]
        self._earlier.forget({node.key for answer in answers.values() for node in answer.nodes})
        is_complete = all(answer.complete for answer in answers.values())
        _confirm(self._earlier, Answer(error=_sum_up(answers.values()), complete=is_complete))

    def all_failed(self, error: DiscoveryError) -> Mapping[str, Answer]:
        """Return the answers of a poll that failed as a whole: each part fails."""
        return dict.fromkeys(self._parts or [""], Answer(error=error, complete=False))


def _confirm(part: Confirmations, answer: Answer) -> None:
    """Count an answer; one that is complete and an error at once is believed when it repeats."""
    at_least = 1 if answer.error is None else 2
    part.answered(answer.nodes, complete=answer.complete, at_least=at_least)


def _checked(polling: object) -> Awaitable[Polled]:
    if not isinstance(polling, Awaitable):
        raise TypeError(f"poll is not async, it returned {polling!r:.80}: write 'async def poll'")
    return polling


def _by_part(answer: Polled) -> Mapping[str, Answer]:
    """Return the answer of each part; a source without parts is one part with an empty name.

    Raises:
        TypeError: ``answer`` is neither nodes nor a mapping of ``Answer``.
    """
    parts = answer if isinstance(answer, Mapping) else {"": Answer(nodes=answer)}
    if not all(isinstance(part, Answer) and _are_nodes(part.nodes) for part in parts.values()):
        nodes = "a frozenset of Node, empty only where nobody is there"
        expected = f"expected {nodes}, or a mapping of part to Answer"
        raise TypeError(f"poll returned {answer!r:.80}: {expected}")
    return parts


def _are_nodes(nodes: object) -> bool:
    return isinstance(nodes, Collection) and all(isinstance(node, Node) for node in nodes)


def _sum_up(answers: Iterable[Answer]) -> DiscoveryError | None:
    """Return one error for all that is wrong, each fault once."""
    errors = {str(answer.error): answer.error for answer in answers if answer.error is not None}
    if len(errors) < 2:
        return next(iter(errors.values()), None)
    first = next(iter(errors.values()))
    return DiscoveryError("; ".join(errors), strategy=first.strategy, retryable=first.retryable)
