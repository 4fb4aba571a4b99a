"""Values from plugins are checked, and an error names the contract."""

import gc

import pytest

from cluster_kit import DiscoveryError, Failed, Found, Gone, Leaving, Node, Seen
from cluster_kit.worker.plugin_values import check_observation, check_plain, checked_stream

ANN = Node("ann@h")


@pytest.mark.parametrize(
    "observation",
    [
        Found([]),
        Found([ANN]),
        Seen(ANN, 5),
        Seen(ANN, 0.5),
        Leaving("ann@h"),
        Gone("10.0.0.7:1"),
        Failed(DiscoveryError("x")),
    ],
)
def test_valid_observation_passes(observation):
    check_observation(observation)


@pytest.mark.parametrize(
    ("observation", "expected"),
    [
        (None, "it yielded None: expected an observation such as Found"),
        (
            Found(["ann@h"]),
            (
                r"it yielded Found\(nodes=frozenset\({'ann@h'}\)\): expected nothing but Nodes in "
                r"Found"
            ),
        ),
        (Seen("ann@h", 5), r"expected Seen\(node, ttl_s\), a Node and a number of seconds"),
        (Seen(ANN, None), r"expected Seen\(node, ttl_s\), a Node and a number of seconds"),
        (Failed("no answer"), "expected an exception in Failed, such as DiscoveryError"),
    ],
)
def test_invalid_observation_is_refused(observation, expected):
    with pytest.raises(TypeError, match=expected):
        check_observation(observation)


@pytest.mark.parametrize("kind", [Leaving, Gone])
@pytest.mark.parametrize("name", [ANN, None, 4370])
def test_name_that_is_not_text_is_refused_at_construction(kind, name):
    with pytest.raises(TypeError, match="expected the name of a node, or its address without one"):
        kind(name)


async def coroutine():
    pass


@pytest.mark.parametrize(
    "discover", [lambda: [Found([])], coroutine, lambda: (each for each in ()), lambda: None]
)
@pytest.mark.filterwarnings("error")
def test_discover_that_is_not_an_async_generator_is_refused(discover):
    with pytest.raises(TypeError, match="expected an async generator, 'async def' with 'yield'"):
        checked_stream(discover())
    gc.collect()  # a coroutine that nobody awaited would warn here


def test_async_generator_passes():
    async def discover():
        yield Found([])

    stream = discover()
    assert checked_stream(stream) is stream


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
