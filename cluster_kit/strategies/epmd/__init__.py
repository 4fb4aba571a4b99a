"""Strategy ``epmd``: the listed nodes, each looked up at the EPMD of its host.

``EpmdLookup`` and the modules of this package serve all EPMD strategies. ``session`` asks,
``client`` speaks to one EPMD, ``registrar`` keeps this node registered, ``answers`` combines the
answers, and ``entries`` decides which entries are nodes of the cluster.

Source: libcluster ``Cluster.Strategy.Epmd``, lib/strategy/epmd.ex.
Differs: asks EPMD rather than dialling every listed node, again and again rather than once, and
registers this node.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cluster_kit.abc import Discovery, Observation
from cluster_kit.fault import Fault
from cluster_kit.node import Node, canonical_name
from cluster_kit.strategies.epmd.options import EpmdOptions, EpmdQuestion

if TYPE_CHECKING:
    from cluster_kit.diagnosis import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class EpmdLookup(EpmdOptions):
    """Asks EPMDs for nodes, and registers this node at the one of its own host."""

    announces: ClassVar[bool] = True

    def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Look up and stay registered until closed."""
        from cluster_kit.strategies.epmd.session import EpmdSession

        return EpmdSession(self, ctx).observe()

    def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Ask each EPMD, and look for each name."""
        from cluster_kit.strategies.epmd.diagnosis import diagnose

        return diagnose(self, ctx)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpmdStrategy(EpmdLookup):
    """Vouches for those of ``hosts`` that are registered.

    Args:
        hosts: The nodes, each as ``name@host``; this node may be among them.
    """

    hosts: tuple[str, ...]

    def faults(self) -> Iterator[Fault]:
        """Check the options."""
        yield from EpmdLookup.faults(self)
        if not self.hosts:
            cure = "list the nodes as name@host, or use local_epmd for all names of this host"
            yield Fault(("hosts",), "is empty", cure)
        for index, entry in enumerate(self.hosts):
            yield from _faults_of(index, entry)

    def questions(self, local: Node) -> tuple[EpmdQuestion, ...]:
        """Ask the EPMD of each host for the names that are listed there."""
        wanted: dict[str, dict[str, None]] = {}
        for entry in self.hosts:
            name, _, host = canonical_name(entry).partition("@")
            wanted.setdefault(host, {})[name] = None
        return tuple(EpmdQuestion(host, host, tuple(names)) for host, names in wanted.items())


def _faults_of(index: int, entry: str) -> Iterator[Fault]:
    try:
        if "@" not in entry:
            raise ValueError("there is no '@'; a host alone is for erlang_hosts")
        canonical_name(entry)
    except ValueError as exc:
        what = f"cannot use {entry!r}: expected name@host, without a port, which EPMD knows; {exc}"
        yield Fault(("hosts", index), what)
