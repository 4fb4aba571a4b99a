"""What a supervisor tells of itself is an answer only if it says who that is."""

import json

import pytest

from cluster_kit.supervisor.control_client import read_answer

ANSWER = {"node": "ann@10.0.0.1", "pid": 7, "cluster": "shop"}


def test_answer_may_have_more_fields():
    assert read_answer(json.dumps(ANSWER | {"later": 1}).encode()) == ANSWER | {"later": 1}


@pytest.mark.parametrize(
    "heard",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        *(json.dumps(ANSWER | {key: None}).encode() for key in ANSWER),
    ],
    ids=lambda heard: repr(heard[:12]),
)
def test_anything_else_is_none(heard):
    with pytest.raises(ValueError):
        read_answer(heard)
