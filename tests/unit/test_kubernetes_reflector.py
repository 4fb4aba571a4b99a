"""What is asked of the API server, one thing after the other."""

import pytest

from cluster_kit.strategies.kubernetes.api_errors import ApiError, ErrorKind
from cluster_kit.strategies.kubernetes.reflector import BACKOFF, Reflector

MODERATE = 0.5


def error(kind, retry_after_s=0.0):
    return ApiError(kind, "why", retry_after_s=retry_after_s)


def ask(reflector, jitter=MODERATE):
    request = reflector.next(jitter)
    return ("watch" if request.watch else "list"), dict(request.params), request.delay_s


def not_older(version):
    return {"resourceVersion": version, "resourceVersionMatch": "NotOlderThan"}


def locate(reflector):
    """Let the server confirm that it has reached the version to go on from."""
    request = reflector.next(MODERATE)
    assert request.position
    reflector.located(dict(request.params)["resourceVersion"])
    return request


def watching(version="7", **given):
    """Return a reflector that watches."""
    reflector = Reflector(**({"cached": False, "poll_s": 5.0} | given))
    reflector.next(MODERATE)
    reflector.listed(version, "")
    reflector.next(MODERATE)
    return reflector


class TestListing:
    def test_begins_with_a_page(self):
        assert ask(Reflector(cached=False, poll_s=5.0)) == ("list", {"limit": "500"}, 0.0)

    def test_goes_on_with_the_token_and_watches_from_the_version_of_the_list(self):
        reflector = Reflector(cached=False, poll_s=5.0)
        assert reflector.next(MODERATE).first
        assert not reflector.listed("7", "more")
        request = reflector.next(MODERATE)
        assert (dict(request.params), request.first) == (
            {"limit": "500", "continue": "more"},
            False,
        )
        assert reflector.listed("7", "")
        kind, params, delay_s = ask(reflector)
        assert (kind, params["resourceVersion"], delay_s) == ("watch", "7", 0.0)

    def test_an_expired_token_begins_anew_without_pages(self):
        reflector = Reflector(cached=False, poll_s=5.0)
        reflector.next(MODERATE)
        reflector.listed("7", "more")
        reflector.next(MODERATE)
        reflector.failed(error(ErrorKind.EXPIRED))
        request = reflector.next(MODERATE)
        assert (request.watch, request.params, request.first, request.delay_s) == (
            False,
            (),
            True,
            0.0,
        )
        reflector.listed("9", "")
        assert ask(reflector)[1]["resourceVersion"] == "9"
        reflector.failed(error(ErrorKind.EXPIRED))
        assert ask(reflector)[1] == {"limit": "500"}

    def test_a_page_that_the_server_was_too_busy_for_is_asked_for_again(self):
        reflector = Reflector(cached=False, poll_s=5.0)
        reflector.next(MODERATE)
        reflector.listed("7", "more")
        reflector.next(MODERATE)
        reflector.failed(error(ErrorKind.THROTTLED))
        assert ask(reflector)[:2] == ("list", {"limit": "500", "continue": "more"})

    def test_an_outage_between_two_pages_begins_the_list_anew(self):
        reflector = Reflector(cached=False, poll_s=5.0)
        reflector.next(MODERATE)
        reflector.listed("7", "more")
        reflector.next(MODERATE)
        reflector.failed(error(ErrorKind.UNREACHABLE))
        request = reflector.next(MODERATE)
        assert (request.params, request.first) == ((("limit", "500"),), True)

    def test_a_list_of_the_cache_is_never_older_than_what_is_known(self):
        reflector = Reflector(cached=True, poll_s=5.0)
        assert ask(reflector)[1] == {"resourceVersion": "0", "resourceVersionMatch": "NotOlderThan"}
        reflector.listed("7", "")
        reflector.next(MODERATE)
        reflector.heard("8", 60.0)
        reflector.failed(error(ErrorKind.EXPIRED))
        assert ask(reflector)[1] == {"limit": "500"}
        reflector.listed("9", "")
        reflector.next(MODERATE)
        reflector.failed(error(ErrorKind.UNREACHABLE))
        assert ask(reflector)[:2] == ("list", not_older("9"))

    def test_a_cache_that_has_fallen_behind_is_passed_over(self):
        reflector = Reflector(cached=True, poll_s=5.0)
        reflector.next(MODERATE)
        reflector.failed(error(ErrorKind.REFUSED))
        assert ask(reflector)[1] == {"limit": "500"}


class TestWatching:
    def test_asks_for_bookmarks_and_an_end(self):
        reflector = watching()
        reflector.ended(270.0)
        locate(reflector)
        request = reflector.next(MODERATE)
        assert dict(request.params) == {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": "7",
            "timeoutSeconds": "265",
        }
        assert request.timeout_s == 265

    @pytest.mark.parametrize(("jitter", "timeout_s"), [(0.0, 240), (1.0, 290)])
    def test_not_all_end_at_once(self, jitter, timeout_s):
        assert watching().next(jitter).timeout_s == timeout_s

    def test_goes_on_at_once_from_the_last_version(self):
        reflector = watching()
        reflector.heard("8", 60.0)
        reflector.heard("", 60.0)
        reflector.ended(270.0)
        assert locate(reflector).delay_s == 0.0
        kind, params, delay_s = ask(reflector)
        assert (kind, params["resourceVersion"], delay_s) == ("watch", "8", 0.0)

    def test_a_server_that_was_away_is_asked_for_all_that_it_has_by_now(self):
        reflector = watching()
        for _ in range(5):
            reflector.failed(error(ErrorKind.UNREACHABLE))
            assert ask(reflector)[:2] == ("list", not_older("7"))
        reflector.failed(error(ErrorKind.EXPIRED))
        assert ask(reflector)[:2] == ("list", {"limit": "500"})
        reflector.listed("3", "")
        assert ask(reflector)[1]["resourceVersion"] == "3"

    def test_a_connection_that_breaks_leads_to_the_list(self):
        reflector = watching()
        reflector.heard("8", 60.0)
        reflector.ended(100.0, broken=True)
        assert ask(reflector) == ("list", not_older("8"), 0.0)

    @pytest.mark.parametrize("question", ["watch", "position"])
    def test_a_server_that_was_too_busy_is_asked_for_all_that_it_has_by_now(self, question):
        reflector = watching()
        if question == "position":
            reflector.ended(270.0)
            assert reflector.next(MODERATE).position
        for _ in range(5):
            reflector.failed(error(ErrorKind.THROTTLED))
            assert ask(reflector)[:2] == ("list", not_older("7"))
        reflector.listed("7", "")
        assert ask(reflector)[0] == "watch"

    @pytest.mark.parametrize(("lasted_s", "question"), [(259.0, "list"), (261.0, "position")])
    def test_only_a_watch_that_ran_its_time_is_renewed_by_position(self, lasted_s, question):
        reflector = watching()  # for 265 s
        reflector.ended(lasted_s)
        request = reflector.next(MODERATE)
        assert request.position == (question == "position")
        assert dict(request.params).items() >= not_older("7").items()
        assert request.delay_s == 0.0

    def test_the_collection_is_listed_after_a_few_renewals_whatever_the_position(self):
        reflector = watching()
        asked = []
        for _ in range(6):
            reflector.ended(270.0)
            request = reflector.next(MODERATE)
            asked.append("position" if request.position else dict(request.params))
            if request.position:
                reflector.located("7")
            else:
                reflector.listed("7", "")
            assert reflector.next(MODERATE).watch
        assert asked == ["position", "position", not_older("7")] * 2

    def test_where_the_server_is_is_asked_of_one_object(self):
        reflector = watching()
        reflector.heard("8", 60.0)
        reflector.ended(270.0)
        assert dict(locate(reflector).params) == {
            "fieldSelector": "metadata.name=cluster-kit",
            **not_older("8"),
        }
        assert ask(reflector)[0] == "watch"

    def test_a_server_that_is_behind_leads_to_the_list(self):
        reflector = watching()
        reflector.ended(270.0)
        reflector.next(MODERATE)
        with pytest.raises(ApiError) as caught:
            reflector.located("6")
        reflector.failed(caught.value)
        assert ask(reflector)[:2] == ("list", {"limit": "500"})
        reflector.listed("6", "")
        assert ask(reflector)[1]["resourceVersion"] == "6"

    def test_versions_that_are_no_numbers_are_left_to_the_server_to_compare(self):
        reflector = watching("abc")
        reflector.ended(270.0)
        assert dict(locate(reflector).params)["resourceVersion"] == "abc"
        assert ask(reflector)[0] == "watch"

    @pytest.mark.parametrize(
        "kind", [ErrorKind.EXPIRED, ErrorKind.REFUSED, ErrorKind.MISSING, ErrorKind.UNAUTHORIZED]
    )
    def test_lists_again_where_the_version_is_of_no_use(self, kind):
        reflector = watching()
        reflector.failed(error(kind))
        assert ask(reflector)[:2] == ("list", {"limit": "500"})

    def test_an_expired_version_is_no_reason_to_wait(self):
        reflector = watching()
        reflector.failed(error(ErrorKind.EXPIRED))
        assert ask(reflector)[2] == 0.0

    def test_versions_that_expire_over_and_over_are(self):
        reflector = watching()
        delays = []
        for _ in range(8):
            reflector.failed(error(ErrorKind.EXPIRED))
            delays.append(ask(reflector)[2])
            reflector.listed("8", "")
            reflector.next(MODERATE)
        assert delays[0] == 0.0
        assert delays[1:] == sorted(delays[1:])
        assert 0 < delays[1] < delays[-1] <= BACKOFF.cap_s

    def test_watches_that_end_at_once_are_too(self):
        reflector = watching()
        delays = []
        for _ in range(3):
            reflector.ended(0.01)
            delays.append(ask(reflector)[2])
            reflector.listed("7", "")
            reflector.next(MODERATE)
        assert delays[0] == 0.0
        assert 0 < delays[1] < delays[2]


class TestWaiting:
    def test_waits_longer_after_each_failure_up_to_a_bound(self):
        reflector = Reflector(cached=False, poll_s=5.0)
        delays = []
        for _ in range(12):
            reflector.failed(error(ErrorKind.UNREACHABLE))
            delays.append(ask(reflector)[2])
        assert delays == sorted(delays)
        assert delays[0] < 1.0
        assert delays[-1] == BACKOFF.cap_s * 0.75

    def test_waits_differ(self):
        reflector = Reflector(cached=False, poll_s=5.0)
        reflector.failed(error(ErrorKind.UNREACHABLE))
        least = ask(reflector, 0.0)[2]
        reflector = Reflector(cached=False, poll_s=5.0)
        reflector.failed(error(ErrorKind.UNREACHABLE))
        assert ask(reflector, 1.0)[2] == 2 * least

    def test_never_comes_back_sooner_than_asked_to(self):
        reflector = watching()
        reflector.failed(error(ErrorKind.THROTTLED, retry_after_s=7.0))
        assert 7.0 < ask(reflector, 0.0)[2] < 8.0

    def test_a_server_that_asks_for_eternity_is_asked_again(self):
        reflector = watching()
        reflector.failed(error(ErrorKind.THROTTLED, retry_after_s=1e9))
        assert ask(reflector)[2] < 200

    def test_news_ends_a_row_of_failures(self):
        reflector = watching()
        for _ in range(6):
            reflector.failed(error(ErrorKind.UNREACHABLE))
            reflector.next(MODERATE)
        reflector.heard("8", 60.0)
        reflector.failed(error(ErrorKind.UNREACHABLE))
        assert ask(reflector)[2] < 1.0

    def test_watches_that_report_something_and_end_at_once_are_asked_for_less_and_less_often(self):
        reflector = watching()
        delays_s = []
        for version in range(8, 14):
            reflector.heard(str(version), 0.01)
            reflector.ended(0.02)
            delays_s.append(ask(reflector)[2])
            reflector.listed(str(version), "")
            reflector.next(MODERATE)
        assert delays_s == sorted(delays_s)
        assert delays_s[0] == 0.0
        assert delays_s[-1] > 2.0

    def test_versions_that_go_back_lead_to_the_list(self):
        reflector = watching()
        reflector.heard("100", 60.0)
        with pytest.raises(ApiError) as caught:
            reflector.heard("99", 60.0)
        reflector.failed(caught.value)
        assert ask(reflector)[0] == "list"
        reflector.listed("50", "")
        ask(reflector)
        reflector.heard("51", 1.0)

    @pytest.mark.parametrize("version", ["", "abc", "9" * 5000])
    def test_versions_of_another_kind_are_taken_as_they_are(self, version):
        reflector = watching()
        reflector.heard("100", 60.0)
        reflector.heard(version, 60.0)

    def test_a_wait_is_waited_once(self):
        reflector = watching()
        reflector.failed(error(ErrorKind.UNREACHABLE))
        assert ask(reflector)[2] > 0
        assert ask(reflector)[2] == 0


class TestPolling:
    def test_lists_where_watching_is_forbidden_and_tries_again_after_a_minute(self):
        reflector = watching(poll_s=20.0)
        reflector.failed(error(ErrorKind.FORBIDDEN))
        assert ask(reflector)[::2] == ("list", 20.0)
        reflector.listed("8", "")
        # it may have been the start of a server that didn't know its roles yet
        assert ask(reflector)[::2] == ("watch", 0.0)
        assert not reflector.polling
        reflector.failed(error(ErrorKind.FORBIDDEN))
        assert reflector.polling
        asked = []
        for _ in range(4):
            asked.append(ask(reflector)[::2])
            if asked[-1][0] == "list":
                reflector.listed("8", "")
        assert asked == [("list", 20.0), ("list", 20.0), ("list", 20.0), ("watch", 0.0)]
        reflector.failed(error(ErrorKind.FORBIDDEN))
        assert ask(reflector)[::2] == ("list", 20.0)

    def test_a_position_that_may_not_be_asked_for_is_no_watch_that_is_forbidden(self):
        reflector = watching(poll_s=20.0)
        reflector.ended(270.0)
        reflector.next(MODERATE)
        reflector.failed(error(ErrorKind.FORBIDDEN))
        assert ask(reflector)[:2] == ("list", {"limit": "500"})
        reflector.listed("8", "")
        assert ask(reflector)[0] == "watch"

    def test_a_list_that_is_forbidden_is_a_failure(self):
        reflector = Reflector(cached=False, poll_s=20.0)
        reflector.next(MODERATE)
        reflector.failed(error(ErrorKind.FORBIDDEN))
        assert ask(reflector)[0] == "list"
        assert not reflector.polling
