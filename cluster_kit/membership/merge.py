"""One node out of what several parties say about it; which party speaks first never matters."""

from __future__ import annotations

from collections.abc import Sequence

from cluster_kit.node import BootId, Node, is_other_run

_NO_BOOT = BootId(0, 0)


def merge(said: Sequence[tuple[str, Node]], name: str | None) -> Node | None:
    """Return the node called ``name`` as its sources know it, ``None`` where no source does.

    The newest boot is right about the run; what it leaves open comes from the others that don't
    contradict it: first from those who say most, then by the sources' names.

    Args:
        said: Pairs of source and node, in any order.
        name: The node's name; ``None`` while only its address is known.
    """
    if not said:
        return None
    if len(said) == 1 and said[0][1].name == name:  # as nearly always
        return said[0][1]
    ranked = [node for _, node in sorted(said, key=lambda pair: (pair[0], pair[1].key))]
    ranked.sort(key=_weight, reverse=True)
    boot_id = ranked[0].boot_id
    agreeing = [node for node in ranked if node.boot_id in (boot_id, None)]
    address = next((node.address for node in agreeing if node.address), None)
    metadata = next((node.metadata for node in agreeing if node.metadata), {})
    return Node(name=name, address=address, metadata=metadata, boot_id=boot_id)


def _weight(node: Node) -> tuple[BootId, bool, bool, int]:
    return (
        node.boot_id or _NO_BOOT,
        node.name is not None,
        node.address is not None,
        len(node.metadata),
    )


def effective(found: Node | None, met: Node | None, *, linked: bool) -> Node | None:
    """Return the node as it is to be shown, selected and dialled.

    While linked, the peer itself knows best; afterwards its word still fills what discovery leaves
    open about the same run. A discovered address comes first all the same: it is known to be
    reachable from here, the peer's own view of it is not.

    Args:
        found: The node as discovery knows it.
        met: The node as it last introduced itself over a link.
        linked: Whether that link is up.
    """
    if found is None or met is None:
        return found or met
    if found == met:  # as nearly always; to make a node costs more than all else that a link brings
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
    """Return the node as it is to be shown, selected and dialled, and as it is to be shown as
    linked.

    Args:
        found: The node as discovery knows it.
        met: The node as it last introduced itself over a link.
        up: Whether that link is up.
        introduces: False where links tell nothing about the peers.
        keeps_links: False where being known is all there is to a link.
    """
    node = linked = effective(found, met, linked=up and introduces)
    if up and found and met and not introduces:
        node, linked = found if is_other_run(found, met) else node, met  # until the connector knows
    if found and node and not keeps_links:
        # all that is ever said of it; also that it has none any more
        node = node.evolve(metadata=found.metadata)
    return node, linked


def same_run(one: Node, other: Node) -> bool:
    """Whether nothing says that these are different runs of a node."""
    return one.boot_id is None or other.boot_id is None or one.boot_id == other.boot_id


def is_older(one: Node, other: Node) -> bool:
    """Whether ``one`` is an earlier run than ``other``, as far as their clocks tell."""
    return one.boot_id is not None and other.boot_id is not None and one.boot_id < other.boot_id
