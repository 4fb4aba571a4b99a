"""Strategy ``kubernetes`` goes on when versions expire, servers fail or stores are restored."""

from functools import partial
from itertools import pairwise

import pytest
from kubernetes_api import SLICES, KubernetesApi
from kubernetes_objects import endpoint_slice
from kubernetes_stage import IN_TIME, address, run_scenario

from cluster_kit.node import Node
from cluster_kit.strategies.kubernetes.limits import Limits


@pytest.fixture
def api():
    return KubernetesApi()


@pytest.fixture
def run(api, tmp_path):
    return partial(run_scenario, api, tmp_path)


class TestExpiry:
    @pytest.mark.parametrize("way", ["status", "event", "compaction"])
    def test_expired_version_loses_no_node_and_misses_nothing(self, api, run, way):
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
    def test_outage_loses_no_node_and_misses_nothing(self, api, run):
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

    def test_compaction_during_an_outage_loses_no_node(self, api, run):
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

    def test_an_end_of_the_outage_without_news_is_reported(self, api, run):
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

    def test_store_that_comes_back_empty_drops_no_node_at_first(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            api.forget()
            await api.watches[0].error(410, "Expired", "too old resource version")
            await api.until_watched(2)
            await api.put(SLICES, endpoint_slice("s", "10.0.0.3"))
            await heard.until_known(*address(1, 2, 3))
            await heard.until_known(*address(3))

        slices = [endpoint_slice("s", "10.0.0.1"), endpoint_slice("t", "10.0.0.2")]
        run(scenario, slices, limits=Limits(doubt_s=1.5))

    def test_empty_store_after_a_strategy_restart_drops_no_node_at_first(self, api, run):
        earlier = frozenset({Node(address="10.0.0.1:4000")})

        async def scenario(heard):
            await heard.until_known(*address(1))
            await heard.until_known()

        run(scenario, found=earlier, limits=Limits(doubt_s=0.5))

    def test_store_that_is_empty_and_then_fails_drops_no_node(self, api, run):
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

        run(scenario, [endpoint_slice("s", "10.0.0.1")], limits=Limits(doubt_s=0.2))

    def test_a_store_that_stays_empty_is_believed(self, api, run):
        async def scenario(heard):
            await heard.watching(api)
            api.forget()
            await api.watches[0].error(410, "Expired", "too old resource version")
            await heard.until_known()

        run(scenario, [endpoint_slice("s", "10.0.0.1")], limits=Limits(doubt_s=0.5))

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


async def made_before_five_changes(api, heard):
    """Return the version of a backup; what is known is of five versions later."""
    await heard.watching(api)
    backup = api.version
    for number in range(10, 15):
        await api.put(SLICES, endpoint_slice(f"lost-{number}", f"10.0.0.{number}"))
    await heard.until_known(*address(1, *range(10, 15)))
    return backup


async def put_new(api, count):
    for number in range(count):
        await api.put(SLICES, endpoint_slice("new", f"10.0.0.{20 + number}"))


class TestRestoredStore:
    """The store returns to an older backup: versions run backwards and history differs."""

    @pytest.mark.parametrize("cached", [False, True])
    @pytest.mark.parametrize("changes", [1, 20], ids=["behind what we know", "ahead of it again"])
    def test_the_truth_is_known_after_the_return_of_the_server(self, api, run, changes, cached):
        async def scenario(heard):
            backup = await made_before_five_changes(api, heard)
            await api.stop()
            await heard.until_failed("connection refused")
            api.restore(backup)
            await put_new(api, changes)
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
            backup = await made_before_five_changes(api, heard)
            [watch] = api.watches
            watch.stall()
            api.restore(backup)
            await put_new(api, changes)
            await watch.cut()
            await heard.until_known(*address(1, 19 + changes))

        run(scenario, [endpoint_slice("s", "10.0.0.1")])

    @pytest.mark.parametrize("passed", [0, 20], ids=["at our version", "ahead of it"])
    @pytest.mark.parametrize("cached", [False, True])
    def test_a_watch_that_ends_in_good_order_before_its_time_is_enough(
        self, api, run, passed, cached
    ):
        async def scenario(heard):
            backup = await made_before_five_changes(api, heard)
            [watch] = api.watches
            watch.stall()
            api.restore(backup)
            await put_new(api, 5 + passed)
            await watch.end()
            watch._held.set()
            await heard.until_known(*address(1, 24 + passed))

        run(scenario, [endpoint_slice("s", "10.0.0.1")], use_cached_resources=cached)

    def test_a_server_that_is_too_busy_to_give_its_version_is_enough(self, api, run):
        async def scenario(heard):
            backup = await made_before_five_changes(api, heard)
            [watch] = api.watches
            watch.stall()
            api.restore(backup)
            api.throttle("list", times=2, retry_after_s=1)
            await watch.end()
            watch._held.set()
            await heard.until_failed("is too busy")
            await put_new(api, 8)
            await heard.until_known(*address(1, 27))

        run(scenario, [endpoint_slice("s", "10.0.0.1")], limits=IN_TIME)

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

        run(scenario, [endpoint_slice("s", "10.0.0.1")], limits=IN_TIME)

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

        run(scenario, [endpoint_slice("s", "10.0.0.1")], limits=IN_TIME)
        assert "store was restored or its cache is behind" in caplog.text

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

        run(scenario, [endpoint_slice("s", "10.0.0.1")], limits=IN_TIME)
