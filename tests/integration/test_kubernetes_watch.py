"""Strategy ``kubernetes`` lists what the API server has, and watches it."""

from functools import partial

import pytest
from kubernetes_api import PODS, SLICES, KubernetesApi
from kubernetes_objects import endpoint_slice, pod
from kubernetes_stage import IN_TIME, address, run_scenario

from cluster_kit.strategies.kubernetes.client import MAX_LINE_BYTES
from cluster_kit.strategies.kubernetes.limits import Limits

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
    return partial(run_scenario, api, tmp_path)


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

    def test_changes_between_two_pages_come_by_the_watch(self, api, run):
        api.page_limit = 1
        api.answer("list", 500, skip=1)  # so that there is a pause after the first page

        async def scenario(heard):
            await api.until(lambda: len(api.requests("list")) >= 2, "the second page")
            await api.put(SLICES, endpoint_slice("s1", "10.0.0.9"))
            await heard.until_known(*address(9, 2))

        run(scenario, [endpoint_slice("s1", "10.0.0.1"), endpoint_slice("s2", "10.0.0.2")])

    def test_expired_continue_token_restarts_the_list_and_loses_no_node(self, api, run):
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

    def test_a_list_whose_pages_have_no_end_is_a_failure(self, api, run):
        api.page_limit = 1

        async def scenario(heard):
            await heard.until_failed("a list of more than 3 pages")
            api.page_limit = None
            await heard.until_known(*address(*range(4)))

        slices = [endpoint_slice(f"s{number}", f"10.0.0.{number}") for number in range(4)]
        run(scenario, slices, limits=Limits(max_pages=3))

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
            assert query["resourceVersion"] == "0"
            assert query["resourceVersionMatch"] == "NotOlderThan"
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
    def test_changes_are_reported_as_they_come(self, api, run):
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

    def test_watch_that_exceeds_the_object_limit_is_a_failure(self, api, run):
        async def scenario(heard):
            await api.until_watched()
            await api.put(SLICES, endpoint_slice("b", "10.0.0.2"))
            await heard.until_known(*address(1, 2))
            await api.put(SLICES, endpoint_slice("c", "10.0.0.3"))
            await heard.until_failed("sent more than 2 objects")

        run(scenario, objects=[endpoint_slice("a", "10.0.0.1")], limits=Limits(max_objects=2))

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

        run(scenario, [endpoint_slice("s", "10.0.0.1")], limits=IN_TIME)

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

        run(scenario, [endpoint_slice("s", "10.0.0.1")], limits=IN_TIME)

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

    def test_a_silent_watch_is_given_up(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            api.watches[0].stall()
            await api.put(SLICES, endpoint_slice("s", "10.0.0.2"))
            await heard.until_known(*address(2))
            assert len(api.requests("list")) == 2
            assert not heard.failures

        run(scenario, [endpoint_slice("s", "10.0.0.1")], limits=Limits(silent_s=1.5))

    def test_a_watch_that_is_held_back_on_the_way_is_made_up_for_by_lists(self, api, run):
        api.answer("watch", 502, "BadGateway", times=2, after_s=5.0)

        async def scenario(heard):
            await heard.until_failed("no answer within 0.5 s")
            await api.put(SLICES, endpoint_slice("s", "10.0.0.2"))
            await heard.until_known(*address(2))
            assert not api.watched

        run(scenario, [endpoint_slice("s", "10.0.0.1")], limits=Limits(answer_s=0.5))

    def test_events_of_unknown_types_are_skipped(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            await api.watches[0].write(b'{"type": "SPARKLED", "object": {}}\n\n')
            await api.put(SLICES, endpoint_slice("s", "10.0.0.2"))
            await heard.until_known(*address(2))
            assert not heard.failures

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    @pytest.mark.parametrize("line", NONSENSE, ids=repr)
    def test_nonsense_is_a_failure_and_removes_no_node(self, api, run, line):
        async def scenario(heard):
            await heard.watching(api)
            await api.watches[0].write(line)
            await heard.until_failed("sent an unreadable answer")
            await heard.until_known(*address(1), since=len(heard.observations))
            heard.never_lost(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_answer_that_is_no_list_is_a_failure_and_removes_no_node(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            api.answer("list", 200)
            await api.watches[0].error(410, "Expired", "too old resource version")
            await heard.until_failed("sent an unreadable answer")
            await api.until_watched(2)
            heard.never_lost(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_an_endless_line_is_refused(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            await api.watches[0].write(b"x" * (MAX_LINE_BYTES + 1))
            await heard.until_failed("a line of more than")
            heard.never_lost(*address(1))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    def test_a_burst_is_reported_in_few_answers(self, api, run):
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
