"""What the answers of a polled source mean: which nodes it vouches for, whom it lacks for long enough, what is wrong. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from cluster_kit.abc import Answer
from cluster_kit.errors import DiscoveryError
from cluster_kit.node import Node


def by_part(answer: frozenset[Node] | Mapping[str, Answer]) -> Mapping[str, Answer]:
    """Return what each part says; a source without parts is one that has no name.

    Raises:
        TypeError: ``answer`` is neither of the two.
    """
    parts = answer if isinstance(answer, Mapping) else {"": Answer(nodes=answer)}
    if not all(isinstance(part, Answer) and _are_nodes(part.nodes) for part in parts.values()):
        expected = "a frozenset of Node, empty only where nobody is there, or a mapping of part to Answer"
        raise TypeError(f"poll returned {answer!r:.80}: expected {expected}")
    return parts


def _are_nodes(nodes: object) -> bool:
    return isinstance(nodes, Collection) and all(isinstance(node, Node) for node in nodes)


def confirm(held: dict[Node, int], answer: Answer, confirmations: int) -> dict[Node, int]:
    """Return the nodes that a part vouches for, each with the number of answers in a row that lacked it."""
    answered = {node.key for node in answer.nodes}
    missing = {node: count + answer.complete for node, count in held.items() if node.key not in answered}
    needed = confirmations if answer.error is None else max(confirmations, 2)
    return dict.fromkeys(answer.nodes, 0) | {node: count for node, count in missing.items() if count < needed}


def confirm_earlier(earlier: dict[Node, int], answers: Collection[Answer], confirmations: int) -> dict[Node, int]:
    """Return whom an earlier run vouched for and no part has told since, until all parts together have lacked them for long."""
    told = {node.key for answer in answers for node in answer.nodes}
    left = {node: count for node, count in earlier.items() if node.key not in told}
    whole = Answer(error=sum_up(answers), complete=all(answer.complete for answer in answers))
    return confirm(left, whole, confirmations)


def vouched(parts: Sequence[Iterable[Node]]) -> Iterable[Node]:
    """Return each node once; of parts that differ about it the first one has the say."""
    return {node.key: node for part in reversed(parts) for node in part}.values()


def sum_up(answers: Iterable[Answer]) -> DiscoveryError | None:
    """Return one error that tells what is wrong with any of them."""
    errors = {str(answer.error): answer.error for answer in answers if answer.error is not None}
    if len(errors) < 2:
        return next(iter(errors.values()), None)
    first = next(iter(errors.values()))
    return DiscoveryError("; ".join(errors), strategy=first.strategy, retryable=first.retryable)
