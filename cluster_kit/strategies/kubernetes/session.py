"""One run of the strategy: makes the reflector's requests, and reports what is new in the view.

It has two parts: a task that follows the API server, and the run itself, which wakes up when there
is something to report. Changes that arrive in one burst are reported together. A failure of the
server is reported once, while requests go on.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from math import inf

from msgspec.json import decode

from cluster_kit.abc import Discovery, Observation
from cluster_kit.errors import DiscoveryError
from cluster_kit.reporter import Reporter
from cluster_kit.strategies.kubernetes.api_errors import ApiError, ErrorKind, error_of, with_advice
from cluster_kit.strategies.kubernetes.client import Client, WatchBrokenError
from cluster_kit.strategies.kubernetes.limits import LIMITS, Limits
from cluster_kit.strategies.kubernetes.objects import UNREADABLE, Page, Versioned, WatchEvent
from cluster_kit.strategies.kubernetes.options import KubernetesOptions
from cluster_kit.strategies.kubernetes.reflector import Reflector, Request
from cluster_kit.strategies.kubernetes.resources import Reading, Resource, name_of
from cluster_kit.strategies.kubernetes.view import CollectionView, Naming

log = logging.getLogger("cluster_kit.kubernetes")

SETTLE_S = 0.02  # about as long as a burst of changes takes to arrive


class KubernetesSession:
    """Follows the collection that ``options`` select."""

    def __init__(self, options: KubernetesOptions, ctx: Discovery, limits: Limits = LIMITS) -> None:
        self._options = options
        self._limits = limits
        self._ctx = ctx
        self._loop = asyncio.get_running_loop()
        self._client = Client(options, limits)
        self._reflector = Reflector(
            cached=options.use_cached_resources, poll_s=options.polling_interval_s, limits=limits
        )
        self._view = _view_of(options, ctx)
        self._resource: Resource | None = None
        self._staged: list[tuple[str, Reading]] = []
        self._pages = 0
        self._listed = False
        self._doubt_until_s: float | None = None
        self._fault: ApiError | None = None
        self._polls = False
        self._began_s = 0.0
        self._reporter = Reporter(ctx.announced)

    async def observe(self) -> AsyncGenerator[Observation, None]:
        """Yield what is new, until closed."""
        following = self._loop.create_task(self._follow(), name="kubernetes: list and watch")
        following.add_done_callback(lambda _: self._reporter.wake())
        try:
            while not following.done():
                self._report()
                for observation in self._reporter.take():
                    yield observation
                await self._pause()
            following.result()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await self._client.close()

    async def _pause(self) -> None:
        """Wait until there may be something to report."""
        delay_s = inf
        if self._fault is None and self._doubt_until_s is not None:
            delay_s = self._doubt_until_s - self._loop.time()
        await self._reporter.wait(delay_s)
        await asyncio.sleep(SETTLE_S)

    # -- what to report ----------------------------------------------------------------------------

    def _report(self) -> None:
        """Queue what has not been reported yet."""
        now_s = self._loop.time()
        if self._fault is None and self._doubt_until_s is not None and now_s >= self._doubt_until_s:
            self._doubt_until_s = None
        problem = self._view.problem
        news: list[Observation] = []
        if self._listed:
            doubt = problem is not None or self._doubt_until_s is not None
            is_over = self._reporter.fault is not None and self._fault is None
            news = self._view.observe(doubt=doubt, again=is_over)
        self._reporter.say(*news)
        trouble, error = self._fault or problem, None
        if trouble is not None:
            error = DiscoveryError(f"kubernetes: {trouble}", strategy="kubernetes")
        self._reporter.judge(error, again=bool(news))

    def _works(self) -> None:
        """Note that the server answers; as long as it doesn't, doubt remains."""
        if self._fault is not None and self._doubt_until_s is not None:
            self._doubt_until_s = self._loop.time() + self._limits.doubt_s
        self._fault = None
        if self._reporter.fault is not None:
            self._reporter.wake()

    async def _failed(self, error: ApiError, request: Request) -> None:
        """Note that the server fails or refuses."""
        if error.kind is ErrorKind.FORBIDDEN and self._resource is not None:
            error = with_advice(error, self._resource, await self._client.namespace())
        if error.kind is ErrorKind.FORBIDDEN and request.watch:
            if self._reflector.polling and not self._polls:
                every_s = self._options.polling_interval_s
                log.warning("kubernetes: polling every %g s: %s", every_s, error)
            self._polls = self._reflector.polling
        elif error.kind is not ErrorKind.EXPIRED or not request.resumes:
            self._fault = error
            self._reporter.wake()
        elif request.position or request.first:
            why = "the server's store was restored or its cache is behind"
            log.warning("kubernetes: listing again, since %s: %s", why, error)

    # -- what to ask -------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            request = self._reflector.next(self._ctx.random.random())
            await asyncio.sleep(request.delay_s)
            try:
                if request.watch:
                    await self._watch(request)
                else:
                    await (self._locate(request) if request.position else self._list(request))
            except ApiError as error:
                self._reflector.failed(error)
                await self._failed(error, request)
                if error.kind in (ErrorKind.MISSING, ErrorKind.FORBIDDEN):
                    self._resource = None

    async def _locate(self, request: Request) -> None:
        """Ask whether the server has reached the version to watch from."""
        _, path = await self._collection()
        page = await self._client.read(path, Page[Versioned], request.params)
        self._reflector.located(page.metadata.resource_version)

    async def _list(self, request: Request) -> None:
        resource, path = await self._collection()
        params = self._params(resource, request)
        page = await self._client.read(path, resource.page, params)
        self._pages = 1 if request.first else self._pages + 1
        if self._pages > self._limits.max_pages:
            most = self._limits.max_pages
            what = f"{self._client.server} answered with a list of more than {most} pages"
            raise ApiError(ErrorKind.REFUSED, what)
        if request.first:
            self._staged = []
        self._staged += [
            (name_of(item.metadata), resource.read(item, self._options.port))
            for item in page.items or ()
        ]
        if self._reflector.listed(page.metadata.resource_version, page.metadata.token):
            self._replace()

    def _replace(self) -> None:
        """Apply a complete list."""
        if not self._staged and self._view.knows_nodes:
            self._doubt_until_s = self._loop.time() + self._limits.doubt_s
        self._view.replace(self._staged)
        self._staged = []
        self._listed = True
        self._works()
        self._reporter.wake()

    async def _watch(self, request: Request) -> None:
        resource, path = await self._collection()
        batches = self._client.watch(path, self._params(resource, request), request.timeout_s)
        broken = False
        async with aclosing(batches):
            await anext(batches, None)
            self._began_s = self._loop.time()
            self._polls = False
            self._works()
            try:
                async for lines in batches:
                    for line in lines:
                        self._received(resource, line)
            except WatchBrokenError:
                broken = True
        self._reflector.ended(self._lasted_s(), broken=broken)

    def _lasted_s(self) -> float:
        """Return how long the watch has been running."""
        return self._loop.time() - self._began_s

    def _received(self, resource: Resource, line: bytes) -> None:
        """Handle one line of a watch."""
        try:
            event = decode(line, type=WatchEvent)
            match event.type:
                case "ADDED" | "MODIFIED" | "DELETED":
                    self._change(resource, event)
                case "BOOKMARK":
                    bookmark = decode(event.object, type=Versioned)
                    self._reflector.heard(bookmark.metadata.resource_version, self._lasted_s())
                case "ERROR":
                    raise error_of(None, bytes(event.object), server=self._client.server)
        except UNREADABLE as exc:
            raise self._client.unreadable(exc) from exc

    def _change(self, resource: Resource, event: WatchEvent) -> None:
        found = decode(event.object, type=resource.kind)
        name = name_of(found.metadata)
        if event.type == "DELETED":
            self._view.remove(name)
        else:
            self._view.put(name, resource.read(found, self._options.port))
        if self._view.size > self._limits.max_objects:
            what = f"{self._client.server} sent more than {self._limits.max_objects} objects"
            raise ApiError(ErrorKind.REFUSED, what)
        self._reflector.heard(found.metadata.resource_version, self._lasted_s())
        self._reporter.wake()

    async def _collection(self) -> tuple[Resource, str]:
        """Return the resource to read, and the path of its collection."""
        if self._resource is None:
            self._resource = await self._client.resource()
        return self._resource, self._resource.path(await self._client.namespace())

    def _params(self, resource: Resource, request: Request) -> tuple[tuple[str, str], ...]:
        selected = resource.params(self._options.selector, self._options.service_name)
        return (*selected, *request.params)


def _view_of(options: KubernetesOptions, ctx: Discovery) -> CollectionView:
    """Return an empty view."""
    naming = Naming(
        basename=options.node_basename,
        mode=options.mode,
        service=options.service_name,
        domain=options.domain(os.environ),
    )
    return CollectionView(
        naming,
        prefer_ipv6=":" in ctx.local.host,
        count_unready=options.count_unready,
        needs_port=options.port is not None or options.node_basename is None,
        earlier=ctx.found,
    )
