"""What a class owes its contract is checked before anything runs, and what keeps the contract
passes.
"""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from cluster_kit import Connector, PluginError, PollingStrategy, Strategy, Topology, load_config
from cluster_kit.config.contract import check_contract, contract_faults
from cluster_kit.plugins import PluginRegistry

REGISTRY = PluginRegistry.load({"CLUSTER_KIT_PLUGINS": ""})


class Polls(PollingStrategy):
    async def poll(self, ctx):
        return frozenset()


class Links(Connector):
    async def start(self, local, links):
        return local

    async def connect(self, node):
        return node

    async def disconnect(self, node):
        pass

    async def stop(self):
        pass


class Everybody(Topology):
    def select(self, local, known):
        return known


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in ("strategy", "connector", "topology")
        for name in REGISTRY.names(kind)
    ],
)
def test_built_ins_keep_their_contract(kind, name):
    assert contract_faults(REGISTRY.resolve(kind, name), kind) == []


def test_plain_connect_is_refused():
    class Plain(Links):
        def connect(self, node):
            return node

    assert contract_faults(Plain, "connector") == [
        "'connect' must be async: write 'async def', and 'return' instead of 'yield'"
    ]


def test_select_is_refused_that_is_async_or_takes_too_little():
    class Async(Everybody):
        async def select(self, known):
            return known

    assert contract_faults(Async, "topology") == [
        "'select' must be a plain function, neither async nor a generator",
        (
            "'select' is called with (local, known), which it does not take: too many positional "
            "arguments"
        ),
    ]


def test_everything_that_is_wrong_is_reported_at_once():
    class Wrong(Links):
        stop = 3

        def connect(self, node):
            yield node

    with pytest.raises(PluginError) as raised:
        check_contract(Wrong, "connector")
    assert "'connect' must be async" in str(raised.value)
    assert "'stop' is of type int: expected a method" in str(raised.value)


def traced(function):
    @functools.wraps(function)
    def wrapper(*arguments, **options):
        return function(*arguments, **options)

    return wrapper


def test_methods_may_be_written_in_any_way_that_works():
    class Wrapped(PollingStrategy):
        @traced
        async def poll(self, ctx, retries=3):
            return frozenset()

        @staticmethod
        def serves_on(host):
            return host

    class Delegating(Links):
        def connect(self, node: Any) -> Awaitable[Any]:
            return self.disconnect(node)

        @classmethod
        async def diagnose(cls, *arguments):
            return None

    class Passing(Strategy):
        def discover(self, ctx: Any) -> AsyncIterator[Any]:
            return Polls().discover(ctx)

    class Calling(Polls):
        async def discover(self, ctx):
            async for observation in super().discover(ctx):
                yield observation

    assert [contract_faults(cls, "strategy") for cls in (Wrapped, Passing, Calling)] == [[], [], []]
    assert contract_faults(Delegating, "connector") == []


def test_super_named_in_full_works_in_a_slotted_dataclass():
    @dataclass(slots=True)
    class Slotted(Polls):
        interval_s: float = 1.0

        async def discover(self, ctx):
            async for observation in super(Slotted, self).discover(ctx):
                yield observation

    assert contract_faults(Slotted, "strategy") == []


def test_options_that_only_code_gives_may_be_of_any_type():
    @dataclass
    class Injected(Polls):
        kind: ClassVar[str] = "fixed"
        clock: Callable[[], float] | None = None
        session: Any = None
        state: list[str] = field(init=False, default_factory=list)
        tags: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    assert contract_faults(Injected, "strategy") == []


class Assembled(Polls):
    """Takes what no configuration can give; its instances are made by code."""

    def __init__(self, session):
        self.session = session


def test_instance_may_have_been_made_of_anything():
    load_config(
        {"topologies": {"lan": {"strategy": Assembled("session"), "connector": "none"}}}, REGISTRY
    )
