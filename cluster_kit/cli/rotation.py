"""Whether the next step of a rotation of secrets is safe, by what the nodes tell of theirs. Pure.

A secret is known by its id, of which the first half is shown. Of several a node uses the first, and accepts all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

_SHOWN = 8
_NOTHING = "-"


class Verdict(Enum):
    """What the step means for a node."""

    READY = "ready"
    BEHIND = "behind"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a node stands before the step.

    Attributes:
        node: Its name.
        secrets: The ids of those that it holds, the one that it uses first; none where it doesn't tell.
        verdict: What the step means for it.
        why: The same in words.
    """

    node: str
    secrets: tuple[str, ...]
    verdict: Verdict
    why: str

    @property
    def row(self) -> tuple[str, str, str, str]:
        """The cells of a table: node, what it uses, what it accepts besides, and what the step means for it."""
        uses, *accepts = map(short, self.secrets or (_NOTHING,))
        return self.node, uses, " ".join(accepts) or _NOTHING, self.why


HEADINGS = ("NODE", "USES", "ACCEPTS BESIDES", "THIS STEP")


def short(secret_id: str) -> str:
    """Return as much of an id as is shown."""
    return secret_id[:_SHOWN]


def standings(told: Mapping[str, Any], secrets: Sequence[str]) -> list[Standing]:
    """Return how the peers of a node stand, by name.

    Args:
        told: What its supervisor tells of itself.
        secrets: The ids of those that the node will hold after the step, the one that it will use first.
    """
    topologies: Iterable[Mapping[str, Any]] = told["topologies"].values()
    linked: dict[str, tuple[str, ...]] = {}
    others: dict[str, None] = {}
    for topology in topologies:
        for link in topology["links"]:
            linked[link["node"]] = linked.get(link["node"]) or tuple(link["secrets"])
        others |= dict.fromkeys(node["node"] for node in (*topology["known"], *topology["gone"]))
    every = [_of_linked(node, held, secrets) for node, held in linked.items()]
    every += [_of_absent(node, secrets) for node in others if node not in linked]
    return sorted(every, key=lambda standing: standing.node)


def _of_linked(node: str, held: tuple[str, ...], secrets: Sequence[str]) -> Standing:
    if not held:
        return Standing(node, held, Verdict.BEHIND, "tells of no secret: its release or its connector has none")
    faults = list(_faults(held, secrets))
    return Standing(node, held, Verdict.BEHIND if faults else Verdict.READY, "; ".join(faults) or "ready")


def _faults(held: tuple[str, ...], secrets: Sequence[str]) -> Iterator[str]:
    if secrets[0] not in held:
        yield f"does not accept {short(secrets[0])} yet, which would be used: have it accepted there first"
    if held[0] not in secrets:
        yield f"still uses {short(held[0])}, which would be accepted no longer: have it use another one first"


def _of_absent(node: str, secrets: Sequence[str]) -> Standing:
    why = f"absent: it can return if it accepts {short(secrets[0])} and uses {' or '.join(map(short, secrets))}"
    return Standing(node, (), Verdict.ABSENT, why)
