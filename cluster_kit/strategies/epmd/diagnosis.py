"""Asks each EPMD and looks for each name, step by step, with the likely cause of each failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable
from difflib import get_close_matches

from cluster_kit.abc import Discovery
from cluster_kit.diagnosis import Finding, empty, failed
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
        questions = options.questions(ctx.local)
    except DiscoveryError as error:
        questions = ()
        yield _failed("which hosts to ask", error)
    else:
        if not any(diagnosis.asks_for_others(question) for question in questions):
            cause = "it names only this node, or none at all; list the others"
            yield empty("nodes that it names", "nobody else", cause)
    asked = [diagnosis.of_question(question) for question in questions]
    if options.register:
        asked.append(diagnosis.of_this_node())
    for found in await asyncio.gather(*asked):
        for finding in found:
            yield finding


class Diagnosis:
    """Asks the questions of ``options``, and explains the answers."""

    def __init__(self, options: EpmdOptions, ctx: Discovery) -> None:
        self._options = options
        self._ctx = ctx

    def _epmd(self, host: str) -> Epmd:
        return Epmd(host, self._options.port(), self._options.deadline_s)

    def asks_for_others(self, question: EpmdQuestion) -> bool:
        """Whether the question is about any node but this one."""
        return question.names is None or bool(self._others(question, question.names))

    def _others(self, question: EpmdQuestion, names: Iterable[str]) -> list[str]:
        """Return those of ``names`` at the EPMD that are not this node's own."""
        return [name for name in names if f"{name}@{question.host}" != self._ctx.local.name]

    async def of_question(self, question: EpmdQuestion) -> list[Finding]:
        """Return the names at one EPMD, and what it knows about those that are wanted."""
        epmd = self._epmd(question.epmd)
        asked = f"{epmd}: names"
        try:
            async with epmd.answering():
                active = list(await epmd.names())
                wanted = self._others(question, question.names or active)
                entries = {entry.name: entry for entry in await epmd.find_all(wanted[:MAX_NAMED])}
                # an EPMD dumps the names that it remembers only for its own host
                dumped = await epmd.dump() if is_loopback(question.epmd) else ()
        except DiscoveryError as error:
            return [_failed(asked, error)]
        if not (active if question.names else wanted):
            got = "no name but our own" if active else "no names"
            return [empty(asked, got, _NOBODY)]
        got = f"{len(active)} name{'s' * (len(active) != 1)}: {_listed(active)}"
        findings = [Finding(asked=asked, got=got)]
        gone = {each.name for each in dumped if not each.active}
        for name in wanted[:MAX_NAMED]:
            if entry := entries.get(name):
                findings.append(self._of_entry(entry, question))
            else:
                findings.append(_of_missing(name, question, active, gone))
        return findings

    def _of_entry(self, entry: Registration, question: EpmdQuestion) -> Finding:
        verdict = judge(entry, question, self._ctx.fence)
        cause = verdict if isinstance(verdict, str) else _why_refused(entry, question)
        if cause is not None:
            return empty(_shown(entry.name, question), describe(entry), cause)
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


def _basename(local: Node) -> str:
    return (local.name or "").partition("@")[0]


def _shown(name: str, question: EpmdQuestion) -> str:
    return f"{_listed([name])}@{question.host}"


def _listed(names: Iterable[str]) -> str:
    known = [name if name.isprintable() else repr(name) for name in sorted(names)]
    return ", ".join(known[:MAX_NAMED]) + (", ..." if len(known) > MAX_NAMED else "")


def _of_missing(
    name: str, question: EpmdQuestion, active: Iterable[str], gone: Collection[str]
) -> Finding:
    """Return why a name is not registered; ``gone`` are those whose process has ended."""
    nearest = get_close_matches(name, active, n=1)
    if name in gone:
        cause = "it was registered there until its process ended; start it again"
    elif nearest:
        cure = "correct hosts, or the node's name"
        cause = f"EPMD knows {nearest[0]!r}: is that the name meant? {cure}"
    else:
        cause = f"EPMD knows only {_listed(active)}; start the node, or correct its name in hosts"
    return empty(_shown(name, question), "not registered", cause)


def _why_refused(entry: Registration, question: EpmdQuestion) -> str | None:
    """Return why a link to a node that was asked for by name would be refused."""
    marker = decode_marker(entry.extra)
    if marker is None or question.names is None or marker.host == question.host:
        return None
    refused = f"a link to {entry.name}@{question.host} is refused"
    return (
        f"it calls itself {entry.name}@{marker.host}, so {refused}; list it by the name that it "
        "has: short and long host names, and addresses, are different names"
    )
