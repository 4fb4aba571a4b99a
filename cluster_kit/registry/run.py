"""One run of a ``RegistryStrategy``: renews this node's entry, and observes the others'."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from cluster_kit.abc import Discovery, Failed, Gone, Leaving, Observation, Seen
from cluster_kit.diagnosis import Finding, Outcome, failed
from cluster_kit.errors import DiscoveryError
from cluster_kit.events import Reason
from cluster_kit.registry import RegistryStrategy
from cluster_kit.registry.entry import Entry, EntryState, newest, prefix_of

GOODBYE_S = 0.8  # of the second that the contract grants

_Result = TypeVar("_Result")


@dataclass(slots=True)
class _Sighting:
    """An entry, and when its latest renewal was first seen."""

    entry: Entry
    since_s: float

    def left_s(self, now_s: float) -> float:
        return self.since_s + self.entry.ttl_s - now_s


class Run:
    """Announces the node of ``ctx`` and finds others, as ``options`` say."""

    def __init__(self, options: RegistryStrategy, ctx: Discovery) -> None:
        self._options = options
        self._ctx = ctx
        self._name = type(options).__name__.removesuffix("Strategy").lower()
        self._sightings: dict[str, _Sighting] = {}
        self._writing: asyncio.Task[tuple[None, DiscoveryError | None]] | None = None
        self._works = False

    async def observe(self) -> AsyncGenerator[Observation, None]:
        """Yield observations after each read of the store, until closed."""
        jitter = self._options.jitter
        try:
            while True:
                for observation in await self._look():
                    yield observation
                varied = self._ctx.random.uniform(1 - jitter, 1 + jitter)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._options.interval_s * varied):
                        await self._ctx.changed()
        except (asyncio.CancelledError, GeneratorExit):
            # not after other exceptions, as the worker restarts a run that raises
            await self._say_goodbye()
            raise

    async def diagnose(self) -> AsyncIterator[Finding]:
        """Yield the finding of one read of the others' entries."""
        asked = f"entries under {prefix_of(self._ctx.fence)!r}"
        entries, error = await self._read()
        names = [name for name, entry in newest(entries).items() if entry.state != "gone"]
        if error is not None:
            why = " ".join(str(error).split())
            yield failed(asked, "no answer", f"{why}; see whether the store runs and is reachable")
        elif names:
            yield Finding(asked=asked, got=f"other nodes: {', '.join(names)}")
        else:
            got, cause = "no other node", "none runs, or it uses another store, cluster or group"
            yield Finding(asked=asked, got=got, outcome=Outcome.EMPTY, cause=cause)

    async def _look(self) -> list[Observation]:
        """Renew our entry, read the others', and return the observations."""
        unwritten = None
        if self._ctx.announce:
            unwritten = await self._write("leaving" if self._ctx.leaving else "here")
        entries, unread = await self._read()
        observations = self._observations_from(entries)
        error = unwritten or unread
        if error is not None:
            observations.append(Failed(error))  # last, as the last one determines the health
        elif not self._works:
            self._ctx.announced()
        self._works = error is None
        return observations

    async def _say_goodbye(self) -> None:
        """Write that this node is gone; if that fails, the others forget it in time."""
        if self._writing is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                # a thread can't be cancelled, so an earlier write could overwrite the goodbye
                await asyncio.wait([self._writing])
                await self._write("gone")
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)

    async def _write(self, state: EntryState) -> DiscoveryError | None:
        local, fence, ttl_s = self._ctx.local, self._ctx.fence, self._options.ttl_s
        assert local.boot_id is not None
        entry = Entry(
            node=local,
            boot_id=local.boot_id,
            fence=fence,
            ttl_s=ttl_s,
            state=state,
            renewal=self._ctx.random.getrandbits(32),
        )
        put = self._options.put(f"{prefix_of(fence)}{local.boot_id}", entry.encode(), ttl_s)
        self._writing = asyncio.create_task(self._answer(put), name=f"write to the {self._name}")
        _, error = await asyncio.shield(self._writing)
        return error

    async def _read(self) -> tuple[list[Entry], DiscoveryError | None]:
        """Return the others' entries, or why they can't be read."""
        values, error = await self._answer(self._options.values(prefix_of(self._ctx.fence)))
        fence, own = self._ctx.fence, self._ctx.local.boot_id
        entries = filter(None, map(Entry.decode, values or ()))
        return [each for each in entries if each.fence == fence and each.boot_id != own], error

    async def _answer(
        self, question: Coroutine[Any, Any, _Result]
    ) -> tuple[_Result | None, DiscoveryError | None]:
        """Return the store's answer, or the error."""
        limit_s = self._options.ttl_s / 3
        try:
            async with asyncio.timeout(limit_s):
                return await question, None
        except DiscoveryError as exc:
            return None, exc
        except OSError as exc:  # includes TimeoutError
            why = exc.strerror or str(exc) or f"no answer within {limit_s:g} s"
            cure = "see whether it runs and is reachable; trying again"
            message = f"{self._name}: cannot use the store: {why}; {cure}"
            return None, DiscoveryError(message, strategy=self._name)

    def _observations_from(self, entries: Sequence[Entry]) -> list[Observation]:
        """Return which nodes are alive, leaving or gone.

        An entry that is read again unchanged was not renewed, so its time runs on. A boot that is
        gone stays so, even if an older entry of it is read beside the goodbye.
        """
        now_s = asyncio.get_running_loop().time()
        gone = {entry.boot_id for entry in entries if entry.state == "gone"}
        here = newest(entry for entry in entries if entry.boot_id not in gone)
        observations: list[Observation] = []
        for name, last in sorted(self._sightings.items()):
            if last.entry.boot_id in gone:
                observations.append(Gone(name, Reason.LEFT, last.entry.boot_id))
            if last.entry.boot_id in gone or (name not in here and last.left_s(now_s) <= 0):
                del self._sightings[name]
        for name, entry in here.items():
            if name not in self._sightings or self._sightings[name].entry != entry:
                self._sightings[name] = _Sighting(entry, now_s)
            left_s = self._sightings[name].left_s(now_s)
            if left_s > 0:
                observations.append(Seen(entry.node, left_s))
                if entry.state == "leaving":
                    observations.append(Leaving(name))
        return observations
