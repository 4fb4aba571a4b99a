"""A roster for tests, and what is read of its changes."""

from membership_parts import node

from cluster_kit.membership.peer import Peers
from cluster_kit.membership.roster import Roster

B, C, D = node("b"), node("c"), node("d")


def roster(*, prune=True, max_nodes=100):
    return Roster(Peers(), prune=prune, max_nodes=max_nodes)


def lost(changes):
    return {change.key: change.reason for change in changes if change.node is None}


def found(changes):
    return {change.key for change in changes if change.node is not None}


def mirrors(known):
    return {key: peer.set_aside for key, peer in known._peers.items() if peer.set_aside}


def fresh(changes):
    return [change.key for change in changes if change.fresh]
