"""Asks each EPMD and looks for each name, step by step, with the likely cause of each failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable
from difflib import get_close_matches

from cluster_kit.abc import Discovery
from cluster_kit.diagnosis import Finding, Outcome, failed
from cluster_kit.errors import DiscoveryError
from cluster_kit.host import is_loopback
from cluster_kit.node import Node
from cluster_kit.strategies.epmd.client import Epmd
from cluster_kit.strategies.epmd.entries import decode_marker, describe, judge
from cluster_kit.strategies.epmd.options import LOOPBACK, EpmdOptions, EpmdQuestion
from cluster_kit.wire.epmd import Registration

MAX_NAMED = 20
_NOBODY = (
    "nobody else is registered there; start another node: an Erlang node only registers when it "
    "has a name (-name or -sname)"
)
_LOOPBACK_ONLY = (
    "EPMD runs, since it answers on loopback, but other hosts can't ask it: it listens on "
    "loopback only (ERL_EPMD_ADDRESS or -address), or a firewall shuts its port; start it without "
    "that"
)


async def diagnose(options: EpmdOptions, ctx: Discovery) -> AsyncIterator[Finding]:
    """Ask all EPMDs at the same time; see ``Strategy.diagnose``."""
    diagnosis = Diagnosis(options, ctx)
    try:
        targets = options.targets(ctx.local)
    except DiscoveryError as error:
        targets = ()
        yield _failed("which hosts to ask", error)
    else:
        if not any(diagnosis.asks_for_others(target) for target in targets):
            cause = "it names nobody but this node, or nobody at all; list the others"
            yield _nothing("nodes that it names", "nobody else", cause)
    asked = [diagnosis.of_target(target) for target in targets]
    if options.register:
        asked.append(diagnosis.of_this_node())
    for found in await asyncio.gather(*asked):
        for finding in found:
            yield finding


class Diagnosis:
    """Asks as ``options`` say."""

    def __init__(self, options: EpmdOptions, ctx: Discovery) -> None:
        self._options = options
        self._ctx = ctx

    def _epmd(self, host: str) -> Epmd:
        return Epmd(host, self._options.port(), self._options.deadline_s)

    def asks_for_others(self, target: EpmdQuestion) -> bool:
        """Whether the question is about any node but this one."""
        return target.names is None or bool(self._others(target, target.names))

    def _others(self, target: EpmdQuestion, names: Iterable[str]) -> list[str]:
        """Return those of ``names`` at ``target`` that are not this node's own."""
        return [name for name in names if f"{name}@{target.host}" != self._ctx.local.name]

    async def of_target(self, target: EpmdQuestion) -> list[Finding]:
        """Return the names at one EPMD, and what it knows about those that are wanted."""
        epmd = self._epmd(target.epmd)
        asked = f"{epmd}: names"
        try:
            async with epmd.answering():
                active = list(await epmd.names())
                wanted = self._others(target, target.names or active)
                entries = {entry.name: entry for entry in await epmd.find_all(wanted[:MAX_NAMED])}
                # only the EPMD of this host says which names it has known
                dumped = await epmd.dump() if is_loopback(target.epmd) else ()
        except DiscoveryError as error:
            return [_failed(asked, error)]
        if not (active if target.names else wanted):
            got = "no name but our own" if active else "no names"
            return [_nothing(asked, got, _NOBODY)]
        got = f"{len(active)} name{'s' * (len(active) != 1)}: {_listed(active)}"
        findings = [Finding(asked=asked, got=got)]
        gone = {each.name for each in dumped if not each.active}
        for name in wanted[:MAX_NAMED]:
            if entry := entries.get(name):
                findings.append(self._of_entry(entry, target))
            else:
                findings.append(_of_missing(name, target, active, gone))
        return findings

    def _of_entry(self, entry: Registration, target: EpmdQuestion) -> Finding:
        verdict = judge(entry, target, self._ctx.fence)
        cause = verdict if isinstance(verdict, str) else _why_refused(entry, target)
        if cause is not None:
            return _nothing(_shown(entry.name, target), describe(entry), cause)
        erlang = "" if decode_marker(entry.extra) else "; connector tcp can't link to it"
        return Finding(asked=str(verdict), got=describe(entry) + erlang)

    async def of_this_node(self) -> list[Finding]:
        """Return whether this node can register, and whether others can look it up."""
        local = self._ctx.local
        epmd = self._epmd(LOOPBACK)
        asked = f"{epmd}: our own name {_basename(local)!r}"
        try:
            async with epmd.answering():
                entry = await epmd.find(_basename(local))
        except DiscoveryError as error:
            return [_failed(asked, error)]
        return [self._of_own(asked, entry), *await self._of_reach(local.host)]

    def _of_own(self, asked: str, entry: Registration | None) -> Finding:
        if entry is None:
            got = "free: registered while this node runs with a connector that listens"
            return Finding(asked=asked, got=got)
        node = judge(entry, EpmdQuestion(LOOPBACK, self._ctx.local.host), self._ctx.fence)
        if isinstance(node, Node) and node.boot_id and node.name == self._ctx.local.name:
            got = f"registered by a running process of this cluster, port {entry.port}"
            return Finding(asked=asked, got=got)
        cause = "EPMD ignores what follows the '@'; give this node another name, or stop that one"
        return failed(asked, f"taken by {describe(entry)}", cause)

    async def _of_reach(self, host: str) -> list[Finding]:
        """Ask the EPMD of this host the way that others do."""
        if is_loopback(host):
            return []
        epmd = self._epmd(host)
        asked = f"{epmd}: names, as other hosts ask"
        try:
            async with epmd.answering():
                await epmd.names()
        except DiscoveryError as error:
            return [failed(asked, str(error), _LOOPBACK_ONLY)]
        return [Finding(asked=asked, got="it answers")]


def _failed(asked: str, error: DiscoveryError) -> Finding:
    return failed(asked, "no answer", str(error))


def _nothing(asked: str, got: str, cause: str) -> Finding:
    return Finding(asked=asked, got=got, outcome=Outcome.EMPTY, cause=cause)


def _basename(local: Node) -> str:
    return (local.name or "").partition("@")[0]


def _shown(name: str, target: EpmdQuestion) -> str:
    return f"{_listed([name])}@{target.host}"


def _listed(names: Iterable[str]) -> str:
    known = [name if name.isprintable() else repr(name) for name in sorted(names)]
    return ", ".join(known[:MAX_NAMED]) + (", ..." if len(known) > MAX_NAMED else "")


def _of_missing(
    name: str, target: EpmdQuestion, active: Iterable[str], gone: Collection[str]
) -> Finding:
    """Return why a name is not registered; only its own host learns that it was there before."""
    nearest = get_close_matches(name, active, n=1)
    if name in gone:
        cause = "it was registered there until its process ended; start it again"
    elif nearest:
        cure = "correct hosts, or the node's name"
        cause = f"EPMD knows {nearest[0]!r}: is that the name meant? {cure}"
    else:
        cause = f"EPMD knows only {_listed(active)}; start the node, or correct its name in hosts"
    return _nothing(_shown(name, target), "not registered", cause)


def _why_refused(entry: Registration, target: EpmdQuestion) -> str | None:
    """Return why a link to a node that was asked for by name would be refused."""
    marker = decode_marker(entry.extra)
    if marker is None or target.names is None or marker.host == target.host:
        return None
    what = f"it calls itself {entry.name}@{marker.host}"
    return (
        f"{what}, so a link to {entry.name}@{target.host} is refused; list it by the name that it "
        "has: short and long host names, and addresses, are different names"
    )
