"""What simulated nodes are called, and where their machines are."""

from __future__ import annotations

from cluster_kit.node import Node

_PER_SUBNET = 250


def address_of(number: int) -> str:
    """Return the address of the machine of a node."""
    subnet, host = divmod(number, _PER_SUBNET)
    return f"10.{subnet // 256}.{subnet % 256}.{host + 1}"


def label_of(number: int) -> str:
    """Return what a node is called in a trace."""
    return f"n{number:04}"


def node_of(number: int) -> Node:
    """Return a node as it starts."""
    return Node(f"{label_of(number)}@{address_of(number)}")
