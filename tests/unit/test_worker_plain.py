"""Only plain data crosses from a plugin to the application."""

import pytest

from cluster_kit.worker.plain import check_plain


@pytest.mark.parametrize(
    "value", [None, True, 1, 1.5, "a", b"a", [1, [2]], (1, "x"), {"a": {"b": [None]}}]
)
def test_plain_data_passes(value):
    check_plain(value, "value")


@pytest.mark.parametrize(
    "value", [object(), {1: "a"}, {"a": {1, 2}}, [lambda: 0], type("Text", (str,), {})("a")]
)
def test_anything_else_is_refused_by_name(value):
    with pytest.raises(TypeError, match=r"^event 'x': "):
        check_plain(value, "event 'x'")


def test_a_value_that_contains_itself_is_refused():
    loop: list = []
    loop.append(loop)
    with pytest.raises(TypeError, match="nested"):
        check_plain(loop, "value")
