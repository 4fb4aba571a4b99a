"""One run of a ``RegistryStrategy``: renews this node's entry, and observes those of others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from cluster_kit.abc import Discovery, Failed, Gone, Leaving, Observation, Seen
from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.errors import DiscoveryError
from cluster_kit.events import Reason
from cluster_kit.registry import RegistryStrategy
from cluster_kit.registry.entry import Entry, State, newest, prefix_of

GOODBYE_S = 0.8  # of the second that the contract grants

_Result = TypeVar("_Result")


@dataclass(slots=True)
class _Heard:
    """An entry, and when it was first seen as it is."""

    entry: Entry
    since_s: float

    def left_s(self, now_s: float) -> float:
        return self.since_s + self.entry.ttl_s - now_s


class Run:
    """Announces the node of ``ctx`` and finds others, by ``options``."""

    def __init__(self, options: RegistryStrategy, ctx: Discovery) -> None:
        self._options = options
        self._ctx = ctx
        self._name = type(options).__name__.removesuffix("Strategy").lower()
        self._heard: dict[str, _Heard] = {}
        self._writing: asyncio.Task[tuple[None, DiscoveryError | None]] | None = None
        self._works = False

    async def observe(self) -> AsyncGenerator[Observation, None]:
        """Yield observations after each look at the store, until closed."""
        jitter = self._options.jitter
        try:
            while True:
                for observation in await self._look():
                    yield observation
                with suppress(TimeoutError):
                    async with asyncio.timeout(
                        self._options.interval_s * self._ctx.random.uniform(1 - jitter, 1 + jitter)
                    ):
                        await self._ctx.changed()
        except (asyncio.CancelledError, GeneratorExit):
            # Not after other exceptions: the worker restarts a run that raises.
            await self._say_goodbye()
            raise

    async def diagnose(self) -> AsyncIterator[Finding]:
        """Yield the finding of one look at the others' entries."""
        asked = f"entries under {prefix_of(self._ctx.fence)!r}"
        entries, error = await self._read()
        names = [name for name, entry in newest(entries).items() if entry.state != "gone"]
        if error is not None:
            cause = " ".join(
                f"{error}; see whether the store runs and can be reached from here".split()
            )
            yield Finding(asked=asked, got="no answer", outcome=Outcome.FAILED, cause=cause)
        elif names:
            yield Finding(asked=asked, got=f"other nodes: {', '.join(names)}")
        else:
            cause = "no other node runs, or it uses another store, cluster or group"
            yield Finding(
                asked=asked, got="nobody but this node", outcome=Outcome.EMPTY, cause=cause
            )

    async def _look(self) -> list[Observation]:
        """Renew our entry, read the others', and return the observations."""
        error = (
            await self._write("leaving" if self._ctx.leaving else "here")
            if self._ctx.announce
            else None
        )
        entries, unread = await self._read()
        news = self._take(entries)
        error = error or unread
        if error is not None:
            news.append(Failed(error))  # last, since the last word is the state of health
        elif not self._works:
            self._ctx.announced()
        self._works = error is None
        return news

    async def _say_goodbye(self) -> None:
        """Write that this node is gone; where that fails, the others forget it in time."""
        if self._writing is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                # or it may come after the goodbye, as a thread can't be cancelled
                await asyncio.wait([self._writing])
                await self._write("gone")
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)

    async def _write(self, state: State) -> DiscoveryError | None:
        local, fence, ttl_s = self._ctx.local, self._ctx.fence, self._options.ttl_s
        assert local.boot_id is not None
        renewal = self._ctx.random.getrandbits(32)
        entry = Entry(
            node=local,
            boot_id=local.boot_id,
            fence=fence,
            ttl_s=ttl_s,
            state=state,
            renewal=renewal,
        )
        put = self._options.put(f"{prefix_of(fence)}{local.boot_id}", entry.encode(), ttl_s)
        self._writing = asyncio.create_task(self._asked(put), name=f"write to the {self._name}")
        _, error = await asyncio.shield(self._writing)
        return error

    async def _read(self) -> tuple[list[Entry], DiscoveryError | None]:
        """Return the others' entries, or why they can't be read."""
        values, error = await self._asked(self._options.values(prefix_of(self._ctx.fence)))
        entries = filter(None, map(Entry.decode, values or ()))
        own = self._ctx.local.boot_id
        return [
            entry for entry in entries if entry.fence == self._ctx.fence and entry.boot_id != own
        ], error

    async def _asked(
        self, question: Coroutine[Any, Any, _Result]
    ) -> tuple[_Result | None, DiscoveryError | None]:
        """Return the store's answer, or the error."""
        limit_s = self._options.ttl_s / 3
        try:
            async with asyncio.timeout(limit_s):
                return await question, None
        except DiscoveryError as exc:
            return None, exc
        except OSError as exc:  # TimeoutError is one
            why = exc.strerror or str(exc) or f"no answer within {limit_s:g} s"
            message = (
                f"{self._name}: cannot use the store: {why}; see whether it runs and can be "
                "reached; trying again"
            )
            return None, DiscoveryError(message, strategy=self._name)

    def _take(self, entries: Sequence[Entry]) -> list[Observation]:
        """Return the nodes that the entries show as alive, leaving or gone."""
        now_s = asyncio.get_running_loop().time()
        gone = {entry.boot_id for entry in entries if entry.state == "gone"}
        here = newest(entry for entry in entries if entry.boot_id not in gone)
        news: list[Observation] = []
        for name, heard in sorted(self._heard.items()):
            if heard.entry.boot_id in gone:
                news.append(Gone(name, Reason.LEFT, heard.entry.boot_id))
            if heard.entry.boot_id in gone or (name not in here and heard.left_s(now_s) <= 0):
                del self._heard[name]
        for name, entry in here.items():
            if name not in self._heard or self._heard[name].entry != entry:
                self._heard[name] = _Heard(entry, now_s)
            left_s = self._heard[name].left_s(now_s)
            if left_s > 0:
                news.append(Seen(entry.node, left_s))
                news += [Leaving(name)] if entry.state == "leaving" else []
        return news
