"""One node out of what several parties say about it; which party speaks first never matters.

``merge`` joins the claims of sources to the *known* node. ``views`` joins that with *met*, the node
as it last introduced itself over a link, to the node that is shown, selected and dialled:

    the link                          shown, selected, dialled      shown as linked
    none                              known, completed by met
    up                                met, completed by known       the same
    up, but does not introduce peers  known, completed by met (*)   met

One completes the other only if both may be the same run, and where the other leaves something open.
The known address always comes first: discovery found it to be reachable from here, which the peer's
own view of it is not. (*) Known alone if it is another run, until the connector has been given it.
"""

from __future__ import annotations

from collections.abc import Sequence

from cluster_kit.node import BootId, Node, is_other_run, may_be_same_run

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


def views(
    known: Node | None, met: Node | None, *, up: bool, introduces: bool, keeps_links: bool
) -> tuple[Node | None, Node | None]:
    """Return the node as it is shown, selected and dialled, and the node that is shown as linked.

    Args:
        known: The node as discovery knows it.
        met: The node as it last introduced itself over a link.
        up: Whether that link is up.
        introduces: False if links say nothing about the peers.
        keeps_links: False if being known is all there is to a link.
    """
    if known is None or met is None or known == met:  # as nearly always, and making a node is dear
        return met or known, met
    if up and introduces:
        node = linked = _completed(met, by=known, address=known.address or met.address)
    else:
        node = linked = _completed(known, by=met, address=known.address or met.address)
        if up:
            node, linked = known if is_other_run(known, met) else node, met
    if not keeps_links:
        # Discovery alone describes the node, so metadata that it has removed must not stay.
        node = node.evolve(metadata=known.metadata)
    return node, linked


def _completed(node: Node, *, by: Node, address: str | None) -> Node:
    if not may_be_same_run(node, by):
        return node
    return Node(
        name=node.name,
        address=address,
        metadata=node.metadata or by.metadata,
        boot_id=node.boot_id or by.boot_id,
    )
