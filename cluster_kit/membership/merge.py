"""One node out of what several parties say about it; which party speaks first never matters."""

from __future__ import annotations

from collections.abc import Sequence

from cluster_kit.node import BootId, Node, is_other_run

_NO_BOOT = BootId(0, 0)


def merge(claims: Sequence[tuple[str, Node]], name: str | None) -> Node | None:
    """Return the node called ``name`` as its sources know it, ``None`` if no source does.

    The newest boot is right about the run. What it leaves open comes from the claims that don't
    contradict it: the most detailed first, then by the name of the source.

    Args:
        claims: Pairs of source and node, in any order.
        name: The node's name; ``None`` while only its address is known.
    """
    if not claims:
        return None
    if len(claims) == 1 and claims[0][1].name == name:  # as nearly always
        return claims[0][1]
    ranked = [node for _, node in sorted(claims, key=lambda claim: (claim[0], claim[1].key))]
    ranked.sort(key=_rank, reverse=True)
    boot_id = ranked[0].boot_id
    agreeing = [node for node in ranked if node.boot_id in (boot_id, None)]
    address = next((node.address for node in agreeing if node.address), None)
    metadata = next((node.metadata for node in agreeing if node.metadata), {})
    return Node(name=name, address=address, metadata=metadata, boot_id=boot_id)


def _rank(node: Node) -> tuple[BootId, bool, bool, int]:
    boot_id = node.boot_id or _NO_BOOT
    return boot_id, node.name is not None, node.address is not None, len(node.metadata)


def effective(found: Node | None, met: Node | None, *, linked: bool) -> Node | None:
    """Return the node as it is shown, selected and dialled.

    While linked, the peer itself knows best. Afterwards its own description still fills what
    discovery leaves open about the same run. The discovered address always comes first: it is known
    to be reachable from here, which the peer's own view of it is not.

    Args:
        found: The node as discovery knows it.
        met: The node as it last introduced itself over a link.
        linked: Whether that link is up.
    """
    if found is None or met is None:
        return found or met
    if found == met:  # as nearly always; making a node costs more than all else about a link
        return met
    first, second = (met, found) if linked else (found, met)
    if not same_run(first, second):
        return first
    return Node(
        name=first.name,
        address=found.address or met.address,
        metadata=first.metadata or second.metadata,
        boot_id=first.boot_id or second.boot_id,
    )


def views(
    found: Node | None, met: Node | None, *, up: bool, introduces: bool, keeps_links: bool
) -> tuple[Node | None, Node | None]:
    """Return the node as it is shown, selected and dialled, and the node that is shown as linked.

    The two differ only for a connector whose links do not introduce the peers, while discovery
    knows another run than the one that the connector was given.

    Args:
        found: The node as discovery knows it.
        met: The node as it last introduced itself over a link.
        up: Whether that link is up.
        introduces: False if links say nothing about the peers.
        keeps_links: False if being known is all there is to a link.
    """
    node = linked = effective(found, met, linked=up and introduces)
    if up and found and met and not introduces:
        node, linked = found if is_other_run(found, met) else node, met  # until the connector knows
    if found and node and not keeps_links:
        # Discovery alone describes the node, so metadata that it has removed must not stay.
        node = node.evolve(metadata=found.metadata)
    return node, linked


def same_run(one: Node, other: Node) -> bool:
    """Whether nothing says that these are different runs of a node."""
    return one.boot_id is None or other.boot_id is None or one.boot_id == other.boot_id


def is_older(one: Node, other: Node) -> bool:
    """Whether ``one`` is an earlier run than ``other``, as far as their clocks tell."""
    return one.boot_id is not None and other.boot_id is not None and one.boot_id < other.boot_id
