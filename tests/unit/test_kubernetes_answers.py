"""Lines of a watch, and answers that are none."""

import json
import random

import pytest

from cluster_kit.strategies.kubernetes.api_errors import (
    MAX_TEXT,
    ApiError,
    ErrorKind,
    error_of,
    with_advice,
)
from cluster_kit.strategies.kubernetes.client import MAX_LINE_BYTES, LineSplitter
from cluster_kit.strategies.kubernetes.resources import PODS, SLICES

FORBIDDEN = (
    'endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:shop:web" cannot '
    'list resource "endpointslices" in API group "discovery.k8s.io" in the namespace "shop"'
)


def status(**given):
    return json.dumps(
        {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"} | given
    ).encode()


class TestLines:
    def test_lines_are_whole_wherever_they_were_cut(self):
        data = b"one\ntwo\n\nthree\r\nfour\n" * 20
        for seed in range(50):
            cuts = sorted(random.Random(seed).choices(range(len(data)), k=seed))
            lines = LineSplitter()
            pieces = [
                data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)
            ]
            assert [line for piece in pieces for line in lines.feed(piece)] == [
                b"one",
                b"two",
                b"three\r",
                b"four",
            ] * 20

    def test_text_after_the_last_newline_waits(self):
        lines = LineSplitter()
        assert lines.feed(b'{"type":') == []
        assert lines.feed(b' "ADDED"}\n{') == [b'{"type": "ADDED"}']

    def test_a_line_is_bounded(self):
        lines = LineSplitter()
        half = b"x" * (MAX_LINE_BYTES // 2)
        assert lines.feed(half) == lines.feed(half) == []
        with pytest.raises(ValueError, match="a line of more than"):
            lines.feed(b"x")

    def test_many_short_lines_are_no_long_one(self):
        lines = LineSplitter()
        for _ in range(3):
            assert len(lines.feed(b"x" * 1023 + b"\n")) == 1
        assert (
            len(lines.feed((b"x" * 1023 + b"\n") * (MAX_LINE_BYTES // 1024)))
            == MAX_LINE_BYTES // 1024
        )


class TestErrors:
    @pytest.mark.parametrize(
        ("code", "given", "kind"),
        [
            (401, {"reason": "Unauthorized"}, ErrorKind.UNAUTHORIZED),
            (403, {"reason": "Forbidden"}, ErrorKind.FORBIDDEN),
            (404, {"reason": "NotFound"}, ErrorKind.MISSING),
            (410, {"reason": "Expired"}, ErrorKind.EXPIRED),
            (410, {"reason": "Gone"}, ErrorKind.EXPIRED),
            (429, {"reason": "TooManyRequests"}, ErrorKind.THROTTLED),
            (500, {"reason": "InternalError"}, ErrorKind.REFUSED),
            (
                504,
                {
                    "reason": "Timeout",
                    "details": {"causes": [{"reason": "ResourceVersionTooLarge"}]},
                },
                ErrorKind.EXPIRED,
            ),
            (504, {"reason": "Timeout"}, ErrorKind.REFUSED),
            (400, {"reason": "Expired"}, ErrorKind.EXPIRED),
        ],
    )
    def test_a_status_says_what_to_do(self, code, given, kind):
        assert error_of(code, status(message="why", code=code, **given), server="s").kind is kind
        assert error_of(None, status(message="why", code=code, **given), server="s").kind is kind

    @pytest.mark.parametrize(
        "body", [b"", b"404 page not found\n", b"<html>", b"[]", b"\xff\xfe", b"[" * 10_000]
    )
    def test_body_without_a_status_is_judged_by_the_code(self, body):
        assert error_of(503, body, server="s").kind is ErrorKind.REFUSED

    @pytest.mark.parametrize(
        ("header", "told", "wait_s"),
        [("7", 0, 7.0), (None, 3, 3.0), ("2", 3, 3.0), ("Fri, 31 Dec", 0, 0.0), ("-1", 0, 0.0)],
    )
    def test_the_wait_that_is_asked_for_is_known(self, header, told, wait_s):
        body = status(details={"retryAfterSeconds": told})
        assert error_of(429, body, server="s", retry_after=header).retry_after_s == wait_s

    def test_a_message_is_one_printable_line(self):
        text = str(
            error_of(
                500, status(message="a\nb\x1b[31m\t" + "x" * 10_000), server="API server https://h"
            )
        )
        assert text.startswith("API server https://h answered 500: a b [31m xxx")
        assert text.isprintable()
        assert len(text) < MAX_TEXT + 100


def advised(message, resource, namespace):
    return str(with_advice(ApiError(ErrorKind.FORBIDDEN, message), resource, namespace))


class TestRights:
    def test_the_cure_names_verbs_resource_namespace_and_account(self):
        text = advised(FORBIDDEN, SLICES["v1"], "shop")
        assert text.startswith(FORBIDDEN)
        assert (
            "the verbs list and watch on endpointslices.discovery.k8s.io in namespace 'shop' are "
            "needed" in text
        )
        assert "cluster-kit manifest kubernetes --namespace shop --service-account web'" in text
        assert (
            "kubectl create role cluster-kit -n shop --verb=get,list,watch "
            "--resource=endpointslices.discovery.k8s.io" in text
        )
        assert text.endswith(
            "kubectl create rolebinding cluster-kit -n shop --role=cluster-kit "
            "--serviceaccount=shop:web"
        )
        assert "\n" not in text

    def test_a_user_is_bound_as_a_user(self):
        text = advised('pods is forbidden: User "jane" cannot list resource "pods"', PODS, "shop")
        assert text.endswith("--role=cluster-kit --user='jane'")
        assert "manifest kubernetes --namespace shop --pods'" in text

    def test_placeholder_user_is_advised_if_the_server_names_none(self):
        assert advised("nope", PODS, "shop").endswith("--user='USER'")


def test_an_account_of_another_namespace_is_bound_by_hand():
    advice = advised(FORBIDDEN, SLICES["v1"], "backend")
    assert "cluster-kit manifest" not in advice
    assert advice.endswith(
        "kubectl create rolebinding cluster-kit -n backend --role=cluster-kit "
        "--serviceaccount=shop:web"
    )


def test_rights_for_anonymous_users_are_not_advised():
    told = FORBIDDEN.replace("system:serviceaccount:shop:web", "system:anonymous")
    advice = advised(told, SLICES["v1"], "shop")
    assert "rolebinding" not in advice
    assert "treats us as anonymous" in advice


@pytest.mark.parametrize("seconds", [-1, 10**400])
def test_a_wait_that_is_none_is_not_obeyed(seconds):
    error = error_of(
        429,
        status(message="busy", code=429, details={"retryAfterSeconds": seconds}),
        server="API server",
    )
    assert (error.kind, error.retry_after_s) == (ErrorKind.THROTTLED, 0.0)


def test_a_text_that_is_no_text_is_a_failure():
    error = error_of(500, b'{"message": "\xff\xfe", "code": 500}', server="API server")
    assert error.kind is ErrorKind.REFUSED
