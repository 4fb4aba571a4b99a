"""A Kubernetes API server for discovery: paged lists, watches, selectors, RBAC, tokens, faults.

It keeps a history as etcd does, so that a list shows one version, and a watch can start at any
version that is not compacted. It answers what kube-apiserver 1.31 answers, down to the wording.
"""

import asyncio
import base64
import json
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from aiohttp import web
from kubernetes_replies import CONTINUE_EXPIRED, failure, forbidden, not_found, selecting, too_large
from kubernetes_watches import Watch

TOKEN = "first-token"
USER = "system:serviceaccount:default:default"
GROUP = "discovery.k8s.io"
SLICES, ENDPOINTS, PODS, SERVICES = "endpointslices", "endpoints", "pods", "services"
POSITION = "metadata.name=cluster-kit"


@dataclass
class Asked:
    """A request that was received."""

    verb: str
    path: str
    query: dict
    token: str | None
    at_s: float
    answered: int = 0


@dataclass
class Stored:
    """One change of an object; ``now`` is None if that deleted it."""

    version: int
    key: tuple
    before: dict | None
    now: dict | None


@dataclass
class Answer:
    """An answer that requests of one verb get instead of the usual one."""

    verb: str
    status: int
    reason: str
    message: str
    times: int = 1
    skip: int = 0
    after_s: float = 0.0
    headers: dict = field(default_factory=dict)
    details: dict = field(default_factory=dict)


class KubernetesApi:
    """One API server and its store; the store outlives a ``stop``."""

    def __init__(self, *, slice_versions=("v1",), ssl_context=None):
        self.slice_versions = slice_versions
        self.ssl_context = ssl_context
        self.tokens = {TOKEN: USER}
        self.certificates = {}  # common name -> user
        self.denied = set()  # (verb, plural)
        self.namespaces = {"default"}
        self.page_limit = None  # pages smaller than asked for, so that few objects take many
        self.asked = []
        self.answers = []
        self.version = 100
        self.compacted = 0
        self.port = 0
        self._objects = {}
        self.history = []
        self._watches = set()
        self.changed = asyncio.Condition()
        self._runner = None
        self._listening = None

    # -- the store ---------------------------------------------------------------------------------

    async def put(self, plural, *objects):
        """Create or replace objects, each at a version of its own."""
        for each in objects:
            self._store((plural, each["metadata"]["namespace"], each["metadata"]["name"]), each)
        await self.notify()

    async def delete(self, plural, *names, namespace="default"):
        for name in names:
            self._store((plural, namespace, name), None)
        await self.notify()

    def _store(self, key, now):
        self.version += 1
        before = self._objects.pop(key, None)
        if now is not None:
            now = json.loads(json.dumps(now))
            now["metadata"]["resourceVersion"] = str(self.version)
            self._objects[key] = now
        self.history.append(Stored(self.version, key, before, now))

    def forget(self):
        """Lose every object without notifying a watch, as a store does that is wiped."""
        self._objects.clear()

    def restore(self, version):
        """Return to a backup made at ``version``: nothing that happened later is known any more."""
        self._objects = self.at(version)
        self.history = [stored for stored in self.history if stored.version <= version]
        self.version = version

    async def compact(self):
        """Forget all versions but the latest."""
        self.compacted = self.version

    async def notify(self):
        async with self.changed:
            self.changed.notify_all()

    def at(self, version):
        """Return the objects as they were at ``version``."""
        objects = dict(self._objects)
        for stored in reversed(self.history):
            if stored.version <= version:
                break
            objects.pop(stored.key, None)
            if stored.before is not None:
                objects[stored.key] = stored.before
        return objects

    # -- serving -----------------------------------------------------------------------------------

    async def start(self):
        app = web.Application()
        app.router.add_get("/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            app, shutdown_timeout=0.1, handle_signals=False, access_log=None
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.ssl_context)
        await site.start()
        [self._listening] = site._server.sockets
        self.port = self._listening.getsockname()[1]

    async def stop(self):
        """Stop as if killed: connections break, and new ones are refused."""
        if self._runner is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            # when a server closes, asyncio loses a connection that it is just accepting
            for _ in range(3):
                await asyncio.sleep(0)
        for watch in list(self._watches):
            await watch.cut()
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    @asynccontextmanager
    async def serving(self):
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    @property
    def url(self):
        return f"http{'s' if self.ssl_context else ''}://127.0.0.1:{self.port}"

    def kubeconfig(self, path, *, token=TOKEN, namespace=None, user=None, **cluster):
        """Write a kubeconfig and return its path."""
        context = {"cluster": "test", "user": "tester"} | (
            {"namespace": namespace} if namespace else {}
        )
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "contexts": [{"name": "test", "context": context}],
                    "clusters": [{"name": "test", "cluster": {"server": self.url, **cluster}}],
                    "users": [
                        {"name": "tester", "user": user if user is not None else {"token": token}}
                    ],
                }
            )
        )
        return path

    # -- what was asked, and faults ----------------------------------------------------------------

    @property
    def watches(self):
        """The watches that are under way."""
        return list(self._watches)

    def requests(self, verb, plural=SLICES):
        """Return the requests for a collection."""
        return [
            each
            for each in self.asked
            if each.verb == verb
            and each.path.endswith(f"/{plural}")
            and each.query.get("fieldSelector") != POSITION
        ]

    @property
    def positions(self):
        """The requests for one object, whose answers show the server's version."""
        return [
            each
            for each in self.asked
            if each.verb == "list" and each.query.get("fieldSelector") == POSITION
        ]

    async def until(self, condition, what, deadline_s=20.0):
        """Wait until requests have made ``condition`` true."""
        try:
            async with asyncio.timeout(deadline_s), self.changed:
                await self.changed.wait_for(condition)
        except TimeoutError:
            raise AssertionError(f"not seen: {what}; asked: {self.asked[-8:]}") from None

    async def until_watched(self, times=1):
        """Wait until the ``times``-th watch is under way."""
        await self.until(
            lambda: len(self.watched) >= times and self._watches, f"watch number {times}"
        )

    @property
    def watched(self):
        return [each for each in self.asked if each.verb == "watch" and each.answered == 200]

    def answer(self, verb, status, reason="", message="", **more):
        """Answer ``times`` requests of a verb differently, after ``skip`` good answers."""
        self.answers.append(Answer(verb, status, reason, message or reason, **more))

    def throttle(self, verb, times, retry_after_s):
        self.answer(
            verb,
            429,
            "TooManyRequests",
            "storage is (re)initializing",
            times=times,
            headers={"Retry-After": str(retry_after_s)},
            details={"retryAfterSeconds": retry_after_s},
        )

    # -- answering ---------------------------------------------------------------------------------

    async def _handle(self, request):
        parts = request.path.strip("/").split("/")
        watch = request.query.get("watch") in ("true", "1")
        listing = (
            parts[-2:-1] != ["namespaces"]
            and "namespaces" in parts
            and len(parts) - parts.index("namespaces") == 3
        )
        verb = ("watch" if watch else "list") if listing else "get"
        token = request.headers.get("Authorization", "").partition(" ")[2] or None
        asked = Asked(verb, request.path, dict(request.query), token, time.monotonic())
        self.asked.append(asked)
        try:
            response = await self._answer(request, parts, asked)
            asked.answered = asked.answered or response.status
        finally:
            await self.notify()
        return response

    async def _answer(self, request, parts, asked):
        user = self._user(request, asked)
        if user is None:
            return failure(401, "Unauthorized", "Unauthorized")
        for answer in self.answers:
            if answer.verb == asked.verb and answer.skip > 0:
                answer.skip -= 1
            elif answer.verb == asked.verb and answer.times > 0:
                answer.times -= 1
                await asyncio.sleep(answer.after_s)
                return failure(
                    answer.status, answer.reason, answer.message, answer.headers, answer.details
                )
        if parts == ["version"]:
            return web.json_response({"major": "1", "minor": "31", "gitVersion": "v1.31.4"})
        if parts == ["apis", GROUP] and self.slice_versions:
            versions = [
                {"groupVersion": f"{GROUP}/{each}", "version": each} for each in self.slice_versions
            ]
            return web.json_response(
                {
                    "kind": "APIGroup",
                    "apiVersion": "v1",
                    "name": GROUP,
                    "versions": versions,
                    "preferredVersion": versions[0],
                }
            )
        known = [["apis", GROUP, version] for version in self.slice_versions]
        root, group = (parts[:3], GROUP) if parts[:1] == ["apis"] else (parts[:2], "")
        rest = parts[len(root) :]
        if root not in (known if group else [["api", "v1"]]) or rest[:1] != ["namespaces"]:
            return web.Response(status=404, text="404 page not found\n")
        return await self._resource(request, asked, user, group, rest[1:])

    def _user(self, request, asked):
        if asked.token is not None:
            return self.tokens.get(asked.token)
        peer = request.transport.get_extra_info("peercert") if request.transport else None
        names = {key: value for part in (peer or {}).get("subject", ()) for key, value in part}
        return self.certificates.get(names.get("commonName"), "system:anonymous")

    async def _resource(self, request, asked, user, group, rest):
        namespace, plural, name = [*rest, None, None][:3]
        plural = plural or "namespaces"
        if (asked.verb, plural) in self.denied or user == "system:anonymous":
            return forbidden(user, asked.verb, group, plural, namespace, name)
        if plural == "namespaces":
            if namespace in self.namespaces:
                return web.json_response(
                    {"kind": "Namespace", "metadata": {"name": namespace, "resourceVersion": "1"}}
                )
            return not_found("namespaces", namespace)
        if name is not None:
            found = self._objects.get((plural, namespace, name))
            return web.json_response(found) if found else not_found(plural, name)
        fits = selecting(request.query, plural, namespace)
        if asked.verb == "watch":
            return await self._watch(request, asked, fits)
        return self._list(request.query, plural, fits)

    def _list(self, query, plural, fits):
        version, start = self.version, ""
        if "resourceVersion" in query and int(query["resourceVersion"]) > self.version:
            return too_large(int(query["resourceVersion"]), self.version)
        if query.get("continue"):
            version, start = json.loads(base64.urlsafe_b64decode(query["continue"]))
            if version < self.compacted:
                return failure(
                    410, "Expired", CONTINUE_EXPIRED, metadata={"continue": "inconsistent"}
                )
        keys = sorted(
            (key, each)
            for key, each in self.at(version).items()
            if fits(key, each) and key[2] > start
        )
        limit = (
            min(int(query.get("limit", 0)) or len(keys), self.page_limit or len(keys))
            if "limit" in query
            else len(keys)
        )
        metadata = {"resourceVersion": str(version)}
        if len(keys) > limit:
            token = json.dumps([version, keys[limit - 1][0][2]])
            metadata["continue"] = base64.urlsafe_b64encode(token.encode()).decode()
            if not {"labelSelector", "fieldSelector"} & query.keys():
                metadata["remainingItemCount"] = len(keys) - limit
        return web.json_response(
            {
                "kind": f"{plural.title()}List",
                "apiVersion": "v1",
                "metadata": metadata,
                "items": [each for _, each in keys[:limit]],
            }
        )

    async def _watch(self, request, asked, fits):
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        asked.answered = 200
        watch = Watch(self, response, request, fits)
        self._watches.add(watch)
        await self.notify()
        try:
            await watch.run(
                int(request.query.get("resourceVersion") or 0),
                float(request.query.get("timeoutSeconds", 3600)),
            )
        finally:
            self._watches.discard(watch)
        return response


@contextmanager
def in_thread(api):
    """Serve ``api`` in a thread; yield a function that runs a coroutine there."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    async def end():
        await api.stop()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        # a task may be accepting a connection, which would stay open if the task were cancelled
        if left:
            _, left = await asyncio.wait(left, timeout=1.0)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    try:
        run(api.start())
        yield run
    finally:
        run(end())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
