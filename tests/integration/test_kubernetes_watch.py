"""Strategy ``kubernetes`` against an API server: it lists, watches, and goes on whatever breaks."""

import asyncio
import logging
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from kubernetes_api import (
    ENDPOINTS,
    PODS,
    SLICES,
    KubernetesApi,
    endpoint,
    endpoint_slice,
    endpoints,
    pod,
)

from cluster_kit.abc import Failed, Found, Gone, Leaving
from cluster_kit.node import Node
from cluster_kit.strategies.kubernetes import KubernetesStrategy
from cluster_kit.testing.listener import Listener
from cluster_kit.testing.stand_ins import FakeDiscovery

DEADLINE_S = 30.0
FORBIDDEN = (
    'endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:default:default" '
    'cannot {verb} resource "endpointslices" in API group '
    '"discovery.k8s.io" in the namespace "default"'
)


NONSENSE = [
    b"<html>\n",
    b'{"type": "ADDED", "object": 3}\n',
    b'{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "\xff"}}}\n',
    b"[" * 5000 + b"\n",
]


@pytest.fixture
def api():
    return KubernetesApi()


@pytest.fixture
def run(api, tmp_path):
    """Return a function that runs a scenario with the server and a strategy that listens to it."""

    def run(scenario, objects=(), plural=SLICES, **options):
        async def main():
            async with (
                asyncio.timeout(90),
                api.serving(),
                listening(api, tmp_path, **options) as heard,
            ):
                await scenario(heard)

        async def prepared():
            await api.put(plural, *objects)
            await main()

        asyncio.run(prepared())

    return run


@pytest.fixture
def in_time(monkeypatch):
    """Have each watch that ends in good order pass for one that ran its time."""
    monkeypatch.setattr("cluster_kit.strategies.kubernetes.reflector.EARLY_S", 1e3)


@asynccontextmanager
async def listening(api, tmp_path, host="10.0.0.1", found=frozenset(), **options):
    options = {
        "service_name": "web",
        "kubeconfig": api.kubeconfig(tmp_path / "kubeconfig"),
    } | options
    ctx = FakeDiscovery(Node(name=f"me@{host}"), found=found)
    async with Heard(KubernetesStrategy(**options), ctx, deadline_s=DEADLINE_S) as heard:
        yield heard


class Heard(Listener):
    """What a strategy told, as names or addresses."""

    @property
    def known(self):
        """Who is known after all that was told."""
        found = [each for each in self.observations if isinstance(each, Found)]
        return {node.key for node in found[-1].nodes} if found else None

    @property
    def failures(self):
        return [str(each.error) for each in self.observations if isinstance(each, Failed)]

    async def watching(self, api):
        """Wait until the list has been told, and is being watched."""
        await api.until_watched()
        await self.until(lambda each: isinstance(each, Found), "an answer")

    async def until_known(self, *keys, since=0):
        def told(observation):
            return isinstance(observation, Found) and {
                node.key for node in observation.nodes
            } == set(keys)

        return await self.until(told, f"to know {keys}", since=since)

    async def until_failed(self, text="", since=0):
        return await self.until(
            lambda each: isinstance(each, Failed) and text in str(each.error),
            f"{text!r}",
            since=since,
        )

    def never_lost(self, *keys):
        """Assert that who was told once was told ever after."""
        known = [
            {node.key for node in each.nodes}
            for each in self.observations
            if isinstance(each, Found)
        ]
        assert known
        assert all(set(keys) <= each for each in known), known
        assert not [
            each
            for each in self.observations
            if isinstance(each, Gone | Leaving) and each.name in keys
        ]


def address(*numbers):
    return [f"10.0.0.{number}:4000" for number in numbers]


class TestListing:
    def test_a_list_in_pages_is_one_answer(self, api, run):
        api.page_limit = 2

        async def scenario(heard):
            await heard.until_known(*address(*range(7)))
            assert len(heard.observations) == 1
            assert [each.query["limit"] for each in api.requests("list")] == ["500"] * 4
            await api.until_watched()
            assert api.watched[0].query["resourceVersion"] == str(api.version)

        run(scenario, [endpoint_slice(f"s{number}", f"10.0.0.{number}") for number in range(7)])

    def test_changes_between_two_pages_are_heard_of_by_the_watch(self, api, run):
        api.page_limit = 1
        api.answer("list", 500, skip=1)  # so that there is a pause after the first page

        async def scenario(heard):
            await api.until(lambda: len(api.requests("list")) >= 2, "the second page")
            await api.put(SLICES, endpoint_slice("s1", "10.0.0.9"))
            await heard.until_known(*address(9, 2))

        run(scenario, [endpoint_slice("s1", "10.0.0.1"), endpoint_slice("s2", "10.0.0.2")])

    def test_an_expired_token_begins_anew_and_loses_nobody(self, api, run):
        api.page_limit = 2
        api.answer("list", 410, "Expired", skip=1)

        async def scenario(heard):
            await heard.until_known(*address(*range(5)))
            assert not heard.failures
            assert "limit" not in api.requests("list")[-1].query

        run(scenario, [endpoint_slice(f"s{number}", f"10.0.0.{number}") for number in range(5)])

    def test_a_token_that_compaction_has_made_too_old_is_no_failure(self, api, run):
        api.page_limit = 1
        api.answer("list", 500, skip=1)

        async def scenario(heard):
            await api.until(lambda: len(api.requests("list")) >= 2, "the second page")
            await api.put(SLICES, endpoint_slice("s3", "10.0.0.3"))
            await api.compact()
            await heard.until_known(*address(1, 2, 3))

        run(scenario, [endpoint_slice("s1", "10.0.0.1"), endpoint_slice("s2", "10.0.0.2")])

    def test_a_list_whose_pages_have_no_end_is_a_failure(self, api, run, monkeypatch):
        monkeypatch.setattr("cluster_kit.strategies.kubernetes.session.MAX_PAGES", 3)
        api.page_limit = 1

        async def scenario(heard):
            await heard.until_failed("a list of more than 3 pages")
            api.page_limit = None
            await heard.until_known(*address(*range(4)))

        run(scenario, [endpoint_slice(f"s{number}", f"10.0.0.{number}") for number in range(4)])

    def test_a_list_that_is_too_old_before_it_begins_is_a_failure(self, api, run):
        api.answer("list", 410, "Expired", times=2)

        async def scenario(heard):
            await heard.until_failed("answered 410: Expired")
            await heard.until_known(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_an_empty_list_is_an_answer(self, run):
        async def scenario(heard):
            await heard.until_known()

        run(scenario)

    def test_a_list_of_the_cache_says_how_old_it_may_be(self, api, run):
        async def scenario(heard):
            await heard.until_known(*address(1))
            query = api.requests("list")[0].query
            assert (query["resourceVersion"], query["resourceVersionMatch"]) == (
                "0",
                "NotOlderThan",
            )
            assert "limit" not in query

        run(scenario, [endpoint_slice("s", "10.0.0.1")], use_cached_resources=True)

    def test_a_cache_that_has_fallen_behind_is_passed_over(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            api.version -= 50  # another server of the same cluster, or a store that was restored
            await api.watches[0].error(500, "InternalError", "no idea")
            await api.until(lambda: len(api.requests("list")) >= 2, "another list")
            assert api.requests("list")[1].answered == 200
            heard.never_lost(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")], use_cached_resources=True)


class TestWatching:
    def test_changes_are_told_as_they_come(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            await api.put(SLICES, endpoint_slice("s", "10.0.0.1", "10.0.0.2"))
            await heard.until_known(*address(1, 2))
            await api.put(SLICES, endpoint_slice("t", "10.0.0.3"))
            await heard.until_known(*address(1, 2, 3))
            await api.delete(SLICES, "s")
            await heard.until_known(*address(3))
            assert len(api.requests("list")) == len(api.requests("watch")) == 1

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_one_that_adds_up_to_more_than_there_can_be_is_a_failure(self, api, run, monkeypatch):
        monkeypatch.setattr("cluster_kit.strategies.kubernetes.session.MAX_OBJECTS", 2)

        async def scenario(heard):
            await api.until_watched()
            await api.put(SLICES, endpoint_slice("b", "10.0.0.2"))
            await heard.until_known(*address(1, 2))
            await api.put(SLICES, endpoint_slice("c", "10.0.0.3"))
            await heard.until_failed("sent more than 2 objects")

        run(scenario, objects=[endpoint_slice("a", "10.0.0.1")])

    def test_slices_of_other_services_are_none_of_ours(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            await api.put(
                SLICES,
                endpoint_slice("other", "10.0.0.7", service="other"),
                endpoint_slice("t", "10.0.0.2"),
            )
            await heard.until_known(*address(1, 2))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    @pytest.mark.parametrize("selector", ["app=web,tier in (a, b)", "app=web,tier!=c"])
    def test_a_selector_arrives_as_it_was_written(self, api, run, selector):
        async def scenario(heard):
            await heard.until_known(*address(1))
            assert api.requests("list")[0].query["labelSelector"] == selector

        labels = {"app": "web", "tier": "a"}
        objects = [
            endpoint_slice("s", "10.0.0.1", labels=labels),
            endpoint_slice("t", "10.0.0.2", labels=labels | {"tier": "c"}),
        ]
        run(scenario, objects, selector=selector)

    @pytest.mark.usefixtures("in_time")
    def test_bookmarks_move_the_place_to_go_on_from(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            await api.put(SLICES, endpoint_slice("other", "10.0.0.7", service="other"))
            await api.watches[0].bookmark()
            await api.watches[0].end()
            await api.until_watched(2)
            assert api.watched[1].query["resourceVersion"] == str(api.version)
            assert api.watched[0].query["allowWatchBookmarks"] == "true"
            assert len(heard.observations) == 1

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_an_idle_watch_makes_no_requests(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            before = len(api.asked)
            for _ in range(20):
                await api.watches[0].bookmark()
            await api.put(SLICES, endpoint_slice("s", "10.0.0.2"))
            await heard.until_known(*address(2))
            assert len(api.asked) == before

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    @pytest.mark.usefixtures("in_time")
    @pytest.mark.parametrize("way", ["end", "cut"])
    def test_a_watch_that_ends_goes_on_and_misses_nothing(self, api, run, way):
        async def scenario(heard):
            await heard.watching(api)
            [watch] = api.watches
            watch.stall()
            await api.put(
                SLICES, endpoint_slice("s", "10.0.0.1", "10.0.0.2"), endpoint_slice("t", "10.0.0.3")
            )
            if way == "end":
                watch._held.set()
                await watch.end()
            else:
                await watch.cut()
            await heard.until_known(*address(1, 2, 3))
            assert len(api.requests("list")) == (1 if way == "end" else 2)
            assert not heard.failures
            heard.never_lost(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_a_line_that_is_cut_in_the_middle_is_made_up_for_by_the_next_list(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            [watch] = api.watches
            watch.stall()
            await api.put(SLICES, endpoint_slice("s", "10.0.0.2"))
            await watch.write(b'{"type": "MODIFIED", "object": {"metadata": {"na')
            await watch.cut()
            await heard.until_known(*address(2))
            assert len(api.requests("list")) == 2
            assert not heard.failures

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_a_line_in_many_pieces_is_one_change(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            [watch] = api.watches
            metadata = b'{"name": "s", "namespace": "default", "resourceVersion": "999"}'
            line = b'{"type": "DELETED", "object": {"metadata": %b}}\n' % metadata
            for start in range(0, len(line), 7):
                await watch.write(line[start : start + 7])
            await heard.until_known()

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_a_silent_watch_is_given_up(self, api, run, monkeypatch):
        monkeypatch.setattr("cluster_kit.strategies.kubernetes.client.SILENT_S", 1.5)

        async def scenario(heard):
            await heard.watching(api)
            api.watches[0].stall()
            await api.put(SLICES, endpoint_slice("s", "10.0.0.2"))
            await heard.until_known(*address(2))
            assert len(api.requests("list")) == 2
            assert not heard.failures

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_a_watch_that_is_held_back_on_the_way_is_made_up_for_by_lists(
        self, api, run, monkeypatch
    ):
        monkeypatch.setattr("cluster_kit.strategies.kubernetes.client.ANSWER_S", 0.5)
        api.answer("watch", 502, "BadGateway", times=2, after_s=5.0)

        async def scenario(heard):
            await heard.until_failed("no answer within 0.5 s")
            await api.put(SLICES, endpoint_slice("s", "10.0.0.2"))
            await heard.until_known(*address(2))
            assert not api.watched

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_events_of_unknown_types_are_skipped(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            await api.watches[0].write(b'{"type": "SPARKLED", "object": {}}\n\n')
            await api.put(SLICES, endpoint_slice("s", "10.0.0.2"))
            await heard.until_known(*address(2))
            assert not heard.failures

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    @pytest.mark.parametrize("line", NONSENSE, ids=repr)
    def test_nonsense_is_a_failure_and_removes_nobody(self, api, run, line):
        async def scenario(heard):
            await heard.watching(api)
            await api.watches[0].write(line)
            await heard.until_failed("answered with what can't be read")
            await heard.until_known(*address(1), since=len(heard.observations))
            heard.never_lost(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_an_answer_that_is_no_list_is_a_failure_and_removes_nobody(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            api.answer("list", 200)
            await api.watches[0].error(410, "Expired", "too old resource version")
            await heard.until_failed("answered with what can't be read")
            await api.until_watched(2)
            heard.never_lost(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_an_endless_line_is_refused(self, api, run, monkeypatch):
        monkeypatch.setattr("cluster_kit.strategies.kubernetes.client.MAX_LINE_BYTES", 100_000)

        async def scenario(heard):
            await heard.watching(api)
            await api.watches[0].write(b"x" * 100_001)
            await heard.until_failed("a line of more than")
            heard.never_lost(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_a_burst_is_told_in_few_answers(self, api, run):
        ips = [f"10.0.{number // 250}.{number % 250}" for number in range(900)]

        async def scenario(heard):
            await heard.watching(api)
            await api.put(PODS, *(pod(f"p{number}", ip) for number, ip in enumerate(ips)))
            await heard.until_known("10.9.9.9:4000", *(f"{ip}:4000" for ip in ips))
            assert len(heard.observations) < 60
            since = len(heard.observations)
            await api.put(
                PODS,
                *(
                    pod(f"p{number}", ip, ports=[("cluster", 4001)])
                    for number, ip in enumerate(ips)
                ),
            )
            await heard.until_known("10.9.9.9:4000", *(f"{ip}:4001" for ip in ips), since=since)
            assert len(heard.observations) - since < 60
            heard.never_lost("10.9.9.9:4000")

        run(
            scenario,
            [pod("stable", "10.9.9.9")],
            plural=PODS,
            ip_lookup_mode="pods",
            selector="app=web",
        )


class TestExpiry:
    @pytest.mark.parametrize("way", ["status", "event", "compaction"])
    def test_a_version_that_is_too_old_loses_nobody_and_misses_nothing(self, api, run, way):
        async def scenario(heard):
            await heard.watching(api)
            [watch] = api.watches
            watch.stall()
            await api.put(SLICES, endpoint_slice("s", "10.0.0.1", "10.0.0.3"))
            await api.delete(SLICES, "gone")
            if way == "event":
                await watch.error(410, "Expired", "too old resource version: 101 (103)")
                watch._held.set()
            else:
                if way == "status":
                    api.answer("watch", 410, "Gone", "too old resource version: 101 (103)")
                else:
                    await api.compact()
                await watch.cut()
            await heard.until_known(*address(1, 3))
            assert len(api.requests("list")) == 2
            assert not heard.failures
            heard.never_lost(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1"), endpoint_slice("gone", "10.0.0.2")])

    def test_a_version_that_is_too_old_and_no_change_is_no_news(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            await api.watches[0].error(410, "Expired", "too old resource version: 101 (103)")
            await api.until_watched(2)
            await api.put(SLICES, endpoint_slice("s", "10.0.0.1", "10.0.0.2"))
            await heard.until_known(*address(1, 2))
            assert len(heard.observations) == 2

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    @pytest.mark.parametrize(
        ("code", "reason", "message"),
        [
            (500, "InternalError", "etcdserver: leader changed"),
            (504, "Timeout", "Timeout: Too large resource version: 9, current: 3"),
        ],
    )
    def test_another_error_in_the_watch_lists_again(self, api, run, code, reason, message):
        async def scenario(heard):
            await heard.watching(api)
            await api.watches[0].error(code, reason, message)
            await heard.until_failed(f"answered {code}: {message}")
            await api.until_watched(2)
            await heard.until_known(*address(1), since=len(heard.observations))
            heard.never_lost(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])


class TestOutage:
    def test_an_outage_loses_nobody_and_misses_nothing(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            await api.stop()
            await heard.until_failed("connection refused")
            await api.put(SLICES, endpoint_slice("s", "10.0.0.1", "10.0.0.3"))
            await api.start()
            await heard.until_known(*address(1, 3))
            assert len(heard.failures) == 1
            heard.never_lost(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1", "10.0.0.2")])

    def test_compaction_during_an_outage_loses_nobody(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            await api.stop()
            await heard.until_failed("connection refused")
            await api.put(SLICES, endpoint_slice("s", "10.0.0.1", "10.0.0.3"))
            await api.compact()
            await api.start()
            await heard.until_known(*address(1, 3))
            heard.never_lost(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1", "10.0.0.2")])

    def test_an_end_of_the_outage_without_news_is_told(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            await api.stop()
            await heard.until_failed("connection refused")
            since = len(heard.observations)
            await api.start()
            await heard.until_known(*address(1), since=since)

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_a_list_that_an_outage_breaks_off_begins_anew(self, api, run):
        api.page_limit = 1
        api.answer("list", 500, skip=1, times=1)

        async def scenario(heard):
            await api.until(lambda: len(api.requests("list")) >= 2, "the second page")
            await api.stop()
            await heard.until_failed("connection refused")
            backup = api.version - 1
            api.restore(backup)
            await api.put(
                SLICES, endpoint_slice("s1", "10.0.0.8"), endpoint_slice("s2", "10.0.0.9")
            )
            await api.start()
            await heard.until_known(*address(8, 9))

        run(scenario, [endpoint_slice("s1", "10.0.0.1"), endpoint_slice("s2", "10.0.0.2")])

    def test_a_store_that_comes_back_empty_drops_nobody_at_first(self, api, run, monkeypatch):
        monkeypatch.setattr("cluster_kit.strategies.kubernetes.session.DOUBT_S", 1.5)

        async def scenario(heard):
            await heard.watching(api)
            api.forget()
            await api.watches[0].error(410, "Expired", "too old resource version")
            await api.until_watched(2)
            await api.put(SLICES, endpoint_slice("s", "10.0.0.3"))
            await heard.until_known(*address(1, 2, 3))
            await heard.until_known(*address(3))

        run(scenario, [endpoint_slice("s", "10.0.0.1"), endpoint_slice("t", "10.0.0.2")])

    def test_a_store_that_is_empty_after_a_restart_of_the_strategy_drops_nobody_at_first(
        self, api, run, monkeypatch
    ):
        monkeypatch.setattr("cluster_kit.strategies.kubernetes.session.DOUBT_S", 0.5)
        earlier = frozenset({Node(address="10.0.0.1:4000")})

        async def scenario(heard):
            await heard.until_known(*address(1))
            await heard.until_known()

        run(scenario, found=earlier)

    def test_a_store_that_is_empty_and_then_fails_drops_nobody(self, api, run, monkeypatch):
        monkeypatch.setattr("cluster_kit.strategies.kubernetes.session.DOUBT_S", 0.2)

        async def scenario(heard):
            await heard.watching(api)
            api.forget()
            api.answer("watch", 500)
            api.answer("list", 500, skip=1, times=2)  # with waits that are longer than doubt
            await api.watches[0].error(410, "Expired", "too old resource version")
            await heard.until_failed("answered 500")
            await api.put(SLICES, endpoint_slice("s", "10.0.0.1"))
            await api.until_watched(2)
            await heard.until_known(*address(1), since=len(heard.observations))
            heard.never_lost(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_a_store_that_stays_empty_is_believed(self, api, run, monkeypatch):
        monkeypatch.setattr("cluster_kit.strategies.kubernetes.session.DOUBT_S", 0.5)

        async def scenario(heard):
            await heard.watching(api)
            api.forget()
            await api.watches[0].error(410, "Expired", "too old resource version")
            await heard.until_known()

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_the_last_one_that_is_deleted_is_gone_at_once(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            await api.delete(SLICES, "s")
            await heard.until_known()

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    @pytest.mark.parametrize("verb", ["list", "watch"])
    def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(self, api, run, verb):
        api.throttle(verb, times=2, retry_after_s=1)

        async def scenario(heard):
            await heard.until_failed("is too busy (429 storage is (re)initializing)")
            await api.until_watched()
            await heard.until_known(*address(1))
            busy = [each.at_s for each in api.requests(verb)]
            assert all(later - sooner >= 1.0 for sooner, later in pairwise(busy))
            assert len(api.requests("list")) == 3

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_a_server_that_is_not_ready_yet_is_asked_again(self, api, run):
        api.answer(
            "get",
            503,
            "ServiceUnavailable",
            "the request has been made before all known HTTP paths have been installed",
        )
        api.answer("list", 500, "InternalError", "etcdserver: request timed out")

        async def scenario(heard):
            await heard.until_failed("answered 503: the request has been made before")
            await heard.until_known(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])


class TestRights:
    def test_a_forbidden_list_is_a_failure_with_its_cure_until_it_is_granted(self, api, run):
        api.denied = {("list", SLICES), ("watch", SLICES)}

        async def scenario(heard):
            await heard.until_failed(FORBIDDEN.format(verb="list"))
            [message] = heard.failures
            assert message.startswith("kubernetes: ")
            assert (
                "cluster-kit manifest kubernetes --namespace default --service-account default"
                in message
            )
            assert heard.known is None
            api.denied = set()
            await heard.until_known(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_rights_that_are_withdrawn_lose_nobody(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            api.denied = {("list", SLICES), ("watch", SLICES)}
            await api.watches[0].error(410, "Expired", "too old resource version")
            await heard.until_failed("is forbidden")
            heard.never_lost(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_where_watching_is_forbidden_it_polls_and_says_so_once(self, api, run, caplog):
        api.denied = {("watch", SLICES)}
        caplog.set_level(logging.WARNING, "cluster_kit.kubernetes")

        async def scenario(heard):
            await heard.until_known(*address(1))
            await api.until(lambda: len(api.requests("list")) >= 3, "polls")
            await api.put(SLICES, endpoint_slice("s", "10.0.0.2"))
            await heard.until_known(*address(2))
            assert not heard.failures
            [told] = [
                record.getMessage()
                for record in caplog.records
                if record.name == "cluster_kit.kubernetes"
            ]
            assert told.startswith(
                f"kubernetes: polling every 0.5 s: {FORBIDDEN.format(verb='watch')}"
            )

        run(scenario, [endpoint_slice("s", "10.0.0.1")], polling_interval_s=0.5)

    def test_a_watch_that_is_allowed_later_is_found_out(self, api, run, monkeypatch):
        monkeypatch.setattr("cluster_kit.strategies.kubernetes.reflector.WATCH_AGAIN_S", 1.0)
        api.denied = {("watch", SLICES)}

        async def scenario(heard):
            await api.until(lambda: api.requests("watch"), "a watch")
            api.denied = set()
            await api.until_watched()
            await api.put(SLICES, endpoint_slice("s", "10.0.0.2"))
            await heard.until_known(*address(2))

        run(scenario, [endpoint_slice("s", "10.0.0.1")], polling_interval_s=0.5)

    def test_slices_are_read_where_the_server_does_not_say_what_it_has(self, api, run):
        api.answer(
            "get", 403, "Forbidden", 'forbidden: User "x" cannot get path "/apis/discovery.k8s.io"'
        )

        async def scenario(heard):
            await heard.until_known(*address(1))
            assert not heard.failures

        run(scenario, [endpoint_slice("s", "10.0.0.1")])


class TestForms:
    def test_old_servers_have_slices_in_beta(self, api, run):
        api.slice_versions = ("v1beta1",)

        async def scenario(heard):
            await heard.until_known(*address(1))
            await api.until_watched()
            assert "/discovery.k8s.io/v1beta1/" in api.watched[0].path

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_older_servers_have_endpoints(self, api, run):
        api.slice_versions = ()

        async def scenario(heard):
            await heard.until_known(*address(1, 2))
            await api.until_watched()
            assert api.requests("list", ENDPOINTS)[0].query["fieldSelector"] == "metadata.name=web"
            await api.put(
                ENDPOINTS, endpoints("web", ["10.0.0.2"]), endpoints("other", ["10.0.0.7"])
            )
            await heard.until_known(*address(2))

        run(scenario, [endpoints("web", ["10.0.0.1"], ["10.0.0.2"])], plural=ENDPOINTS)

    def test_a_server_that_is_upgraded_has_another_version(self, api, run):
        api.slice_versions = ("v1beta1",)

        async def scenario(heard):
            await heard.watching(api)
            api.slice_versions = ("v1",)
            await api.watches[0].end()
            await api.until(
                lambda: any("/v1/" in each.path for each in api.watched), "a watch of v1"
            )
            await api.put(SLICES, endpoint_slice("s", "10.0.0.1", "10.0.0.2"))
            await heard.until_known(*address(1, 2))
            heard.never_lost(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_pods_are_found_by_their_labels(self, api, run):
        async def scenario(heard):
            await heard.until_known("web@10.0.0.1", "web@10.0.0.2")
            await api.until_watched()
            await api.put(
                PODS,
                pod("b", "10.0.0.2", deleted=True),
                pod("d", "10.0.0.4", labels=[("app", "other")]),
            )
            await heard.until(lambda each: each == Leaving("web@10.0.0.2"), "b to be leaving")
            await api.delete(PODS, "b")
            await heard.until_known("web@10.0.0.1")
            await api.put(PODS, pod("a", "10.0.0.1", labels=[("app", "other")]))
            await heard.until_known()

        objects = [
            pod("a", "10.0.0.1"),
            pod("b", "10.0.0.2", ready=False),
            pod("c", None, phase="Pending"),
        ]
        run(
            scenario,
            objects,
            plural=PODS,
            ip_lookup_mode="pods",
            selector="app=web",
            node_basename="web",
            port=4000,
        )

    def test_a_terminating_endpoint_is_leaving_until_it_is_gone(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            await api.put(
                SLICES, endpoint_slice("s", endpoint("10.0.0.1", terminating=True), "10.0.0.2")
            )
            await heard.until(
                lambda each: each == Leaving("10.0.0.1:4000"), "10.0.0.1 to be leaving"
            )
            assert heard.known == set(address(1, 2))
            await api.put(SLICES, endpoint_slice("s", "10.0.0.2"))
            await heard.until_known(*address(2))

        run(scenario, [endpoint_slice("s", "10.0.0.1", "10.0.0.2")])

    @pytest.mark.parametrize(
        ("host", "key"), [("10.0.0.1", "web@10.0.0.1"), ("fd00::1", "web@fd00::1")]
    )
    def test_a_pod_of_both_families_is_one_node_of_ours(self, run, host, key):
        async def scenario(heard):
            await heard.until_known(key)

        objects = [
            endpoint_slice("four", endpoint("10.0.0.1", pod="a")),
            endpoint_slice("six", endpoint("fd00::1", pod="a"), family="IPv6"),
        ]
        run(scenario, objects, host=host, node_basename="web")

    def test_a_port_that_nobody_has_is_a_failure_that_removes_nobody(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            await api.put(SLICES, endpoint_slice("s", "10.0.0.1", ports=[("http", 80)]))
            await heard.until_failed(
                "EndpointSlice 's' has the ports 80 ('http'): set port to the number, or the name"
            )
            heard.never_lost(*address(1))
            await api.put(SLICES, endpoint_slice("s", "10.0.0.2"))
            await heard.until_known(*address(2), since=len(heard.observations))

        run(scenario, [endpoint_slice("s", "10.0.0.1")], port="cluster")


class TestRestoredStore:
    """The store is restored from an older backup: versions run backwards, and another history takes
    their place.
    """

    @pytest.mark.parametrize("cached", [False, True])
    @pytest.mark.parametrize("changes", [1, 20], ids=["behind what we know", "ahead of it again"])
    def test_the_truth_is_known_after_the_return_of_the_server(self, api, run, changes, cached):
        async def scenario(heard):
            await heard.watching(api)
            backup = api.version
            await api.put(
                SLICES,
                *(endpoint_slice(f"lost-{number}", f"10.0.0.{number}") for number in range(10, 15)),
            )
            await heard.until_known(*address(1, *range(10, 15)))
            await api.stop()
            await heard.until_failed("connection refused")
            api.restore(backup)
            for number in range(changes):
                await api.put(SLICES, endpoint_slice("new", f"10.0.0.{20 + number}"))
            await api.start()
            await heard.until_known(*address(1, 19 + changes))
            await api.until_watched(2)
            await api.put(SLICES, endpoint_slice("later", "10.0.0.90"))
            await heard.until_known(*address(1, 19 + changes, 90))
            heard.never_lost(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")], use_cached_resources=cached)

    @pytest.mark.parametrize("changes", [1, 20], ids=["behind what we know", "ahead of it again"])
    def test_a_connection_that_breaks_without_an_outage_is_enough(self, api, run, changes):
        async def scenario(heard):
            await heard.watching(api)
            backup = api.version
            await api.put(
                SLICES,
                *(endpoint_slice(f"lost-{number}", f"10.0.0.{number}") for number in range(10, 15)),
            )
            await heard.until_known(*address(1, *range(10, 15)))
            [watch] = api.watches
            watch.stall()
            api.restore(backup)
            for number in range(changes):
                await api.put(SLICES, endpoint_slice("new", f"10.0.0.{20 + number}"))
            await watch.cut()
            await heard.until_known(*address(1, 19 + changes))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    @pytest.mark.parametrize("passed", [0, 20], ids=["at our version", "ahead of it"])
    @pytest.mark.parametrize("cached", [False, True])
    def test_a_watch_that_ends_in_good_order_before_its_time_is_enough(
        self, api, run, passed, cached
    ):
        async def scenario(heard):
            await heard.watching(api)
            backup = api.version
            await api.put(
                SLICES,
                *(endpoint_slice(f"lost-{number}", f"10.0.0.{number}") for number in range(10, 15)),
            )
            await heard.until_known(*address(1, *range(10, 15)))
            [watch] = api.watches
            watch.stall()
            api.restore(backup)
            for number in range(5 + passed):
                await api.put(SLICES, endpoint_slice("new", f"10.0.0.{20 + number}"))
            await watch.end()
            watch._held.set()
            await heard.until_known(*address(1, 24 + passed))

        run(scenario, [endpoint_slice("s", "10.0.0.1")], use_cached_resources=cached)

    @pytest.mark.usefixtures("in_time")
    def test_a_server_that_is_too_busy_to_tell_its_version_is_enough(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            backup = api.version
            await api.put(
                SLICES,
                *(endpoint_slice(f"lost-{number}", f"10.0.0.{number}") for number in range(10, 15)),
            )
            await heard.until_known(*address(1, *range(10, 15)))
            [watch] = api.watches
            watch.stall()
            api.restore(backup)
            api.throttle("list", times=2, retry_after_s=1)
            await watch.end()
            watch._held.set()
            await heard.until_failed("is too busy")
            for number in range(8):
                await api.put(SLICES, endpoint_slice("new", f"10.0.0.{20 + number}"))
            await heard.until_known(*address(1, 27))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    @pytest.mark.usefixtures("in_time")
    def test_without_any_sign_of_it_the_truth_is_known_after_a_few_renewals(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            backup = api.version
            await api.put(SLICES, endpoint_slice("lost", "10.0.0.2"))
            await heard.until_known(*address(1, 2))
            [watch] = api.watches
            watch.stall()
            api.restore(backup)
            await api.put(SLICES, endpoint_slice("new", "10.0.0.3"))
            watch._held.set()
            for times in range(1, 4):
                await api.until_watched(times)
                await api.watches[0].end()
            await heard.until_known(*address(1, 3))
            assert len(api.positions) == 2

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    @pytest.mark.usefixtures("in_time")
    def test_a_watch_is_renewed_only_if_the_server_has_reached_its_version(self, api, run, caplog):
        async def scenario(heard):
            await heard.watching(api)
            backup = api.version
            await api.put(
                SLICES, endpoint_slice("lost", "10.0.0.2"), endpoint_slice("lost-too", "10.0.0.3")
            )
            await heard.until_known(*address(1, 2, 3))
            api.restore(backup)
            await api.put(SLICES, endpoint_slice("new", "10.0.0.4"))
            await api.watches[0].end()
            await heard.until_known(*address(1, 4))
            assert len(api.positions) == 1
            assert not heard.failures

        run(scenario, [endpoint_slice("s", "10.0.0.1")])
        assert "store was restored or its cache is behind" in caplog.text

    @pytest.mark.usefixtures("in_time")
    def test_a_renewal_asks_for_one_object_only(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            for times in range(2, 4):
                await api.put(SLICES, endpoint_slice("s", f"10.0.0.{times}"))
                await heard.until_known(*address(times))
                await api.watches[0].end()
                await api.until_watched(times)
            assert len(api.requests("list")) == 1
            assert all("labelSelector" not in each.query for each in api.positions)

        run(scenario, [endpoint_slice("s", "10.0.0.1")])
