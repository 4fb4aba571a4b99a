"""Whatever breaks, the strategy reports what the API server had, and in the end what it has.

The server is a model: a history of versions. Compaction forgets the older ones; a restored backup
knows nothing of the newer ones. Each request meets a fate.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.abc import Found, Gone, Leaving
from cluster_kit.strategies.kubernetes.api_errors import ApiError, ErrorKind
from cluster_kit.strategies.kubernetes.reflector import Reflector
from cluster_kit.strategies.kubernetes.resources import PeerAddress, Reading
from cluster_kit.strategies.kubernetes.view import CollectionView, Naming

STABLE = "stable"
NAMES = ["a", "b", "c", "d"]

changes = st.tuples(
    st.sampled_from(NAMES), st.frozensets(st.integers(1, 6), max_size=3) | st.none()
)
fates = st.sampled_from(
    ["good", "cut", "unreachable", "throttled", "refused", "expired", "forbidden"]
)
steps = st.lists(
    changes.map(lambda change: ("change", change))
    | st.just(("compact", None))
    | st.integers(1, 5).map(lambda versions: ("restore", versions))
    | fates.map(lambda fate: ("ask", fate))
)


def reading(addresses):
    return Reading(
        tuple(
            PeerAddress(
                ip=f"10.0.0.{n}",
                port=1,
                namespace="d",
                owner=f"{n}",
                hostname=None,
                ready=True,
                terminating=False,
            )
            for n in sorted(addresses)
        )
    )


class Server:
    """What kube-apiserver and etcd do, without the network."""

    def __init__(self):
        self.history = [(STABLE, frozenset({100}))]  # the version is the length
        self.had = [self.at(self.version)]
        self.compacted = 0
        self.page = 2
        self.away = False

    def change(self, what):
        self.history.append(what)
        self.had.append(self.at(self.version))

    def restore(self, versions):
        """Go back by so many versions; until the next request has failed, the server is away."""
        del self.history[max(1, self.version - versions) :]
        self.compacted = min(self.compacted, self.version)
        self.away = True

    @property
    def version(self):
        return len(self.history)

    def at(self, version):
        objects = {}
        for name, addresses in self.history[:version]:
            objects[name] = addresses
        return {name: addresses for name, addresses in objects.items() if addresses is not None}

    def reach(self, version):
        if version > self.version:
            raise ApiError(ErrorKind.EXPIRED, "the version is too large")
        return str(self.version)

    def list(self, token, paged):
        version, start = (
            (int(part) if part.isdigit() else part for part in token.split("/"))
            if token
            else (self.version, "")
        )
        if token and version < self.compacted:
            raise ApiError(ErrorKind.EXPIRED, "the token is too old")
        names = sorted(name for name in self.at(version) if name > str(start))
        shown = names[: self.page] if paged else names
        more = f"{version}/{shown[-1]}" if len(shown) < len(names) else ""
        return str(version), more, [(name, reading(self.at(version)[name])) for name in shown]

    def watch(self, version):
        if version < self.compacted:
            raise ApiError(ErrorKind.EXPIRED, "the version is too old")
        return [(str(at + 1), *self.history[at]) for at in range(version, self.version)]


class Client:
    """What the session does, without the network."""

    def __init__(self, server, cached):
        self.server = server
        self.reflector = Reflector(cached=cached, poll_s=30.0)
        self.view = CollectionView(
            Naming(basename=None, mode="ip", service=None, domain="d"),
            prefer_ipv6=False,
            count_unready=True,
            needs_port=True,
        )
        self.staged = []
        self.listed = False
        self.told = None

    def ask(self, fate):
        request = self.reflector.next(0.5)
        params = dict(request.params)
        kinds = {kind.name.lower(): kind for kind in ErrorKind}
        try:
            if self.server.away:
                self.server.away = False
                raise ApiError(ErrorKind.UNREACHABLE, "connection refused")
            if fate in kinds and not (fate == "forbidden" and not request.watch):
                raise ApiError(kinds[fate], "a fate")
            if request.watch:
                self._watch(int(params["resourceVersion"]), fate)
            elif request.position:
                self.reflector.located(self.server.reach(int(params["resourceVersion"])))
            else:
                self._list(request, params)
        except ApiError as error:
            self.reflector.failed(error)
        return self._take()

    def _list(self, request, params):
        self.server.reach(int(params.get("resourceVersion", 0)))
        version, token, items = self.server.list(params.get("continue", ""), "limit" in params)
        self.staged = [*([] if request.first else self.staged), *items]
        if self.reflector.listed(version, token):
            self.view.replace(self.staged)
            self.listed = True

    def _watch(self, version, fate):
        events = self.server.watch(version)
        for at, name, addresses in events[: len(events) // 2] if fate == "cut" else events:
            if addresses is None:
                self.view.remove(name)
            else:
                self.view.put(name, reading(addresses))
            self.reflector.heard(at, 60.0)
        self.reflector.ended(270.0, broken=fate == "cut")

    def _take(self):
        news = self.view.observe() if self.listed else []
        for observation in news:
            if isinstance(observation, Found):
                self.told = {node.key for node in observation.nodes}
        return news


def addresses(objects):
    return {f"10.0.0.{n}:1" for found in objects.values() for n in found}


@settings(deadline=None, max_examples=300)
@given(steps=steps, cached=st.booleans())
def test_no_false_leave_and_the_truth_at_last(steps, cached):
    server = Server()
    client = Client(server, cached)
    for kind, what in steps:
        if kind == "change":
            server.change(what)
        elif kind == "restore":
            server.restore(what)
        elif kind == "compact":
            server.compacted = server.version
        else:
            for observation in client.ask(what):
                assert not isinstance(observation, Gone | Leaving)
                assert "10.0.0.100:1" in client.told
                assert client.told in map(addresses, server.had), (
                    "it told of a state that never was"
                )
    for _ in range(12):
        client.ask("good")
    assert client.told == addresses(server.at(server.version))


@settings(deadline=None, max_examples=300)
@given(
    failures=st.lists(st.sampled_from([None, *ErrorKind]), min_size=10, max_size=40),
    jitter=st.floats(0, 1),
    poll_s=st.floats(0.5, 60),
)
def test_a_server_of_no_use_is_never_asked_without_pause(failures, jitter, poll_s):
    """``None``: a list is answered, and a watch ends at once."""
    reflector = Reflector(cached=False, poll_s=poll_s)
    hasty = 0
    for kind in failures:
        request = reflector.next(jitter)
        assert 0 <= request.delay_s <= max(poll_s, 30.0)
        hasty = 0 if request.delay_s else hasty + 1
        # a list, its watch, where the server is, the list anew because that had expired, and its
        # watch
        assert hasty <= 5
        if kind is not None:
            reflector.failed(ApiError(kind, "no"))
        elif request.watch:
            reflector.ended(0.0)
        elif request.position:
            reflector.located("7")
        else:
            reflector.listed("7", "")
