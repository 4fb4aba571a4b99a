"""``PollingStrategy``: what becomes of the answers of a source that is asked again and again."""

import asyncio

import pytest

from cluster_kit.abc import Answer, Failed, Found, PollingStrategy
from cluster_kit.errors import DiscoveryError
from cluster_kit.node import Node
from cluster_kit.testing import FakeDiscovery, Listener

ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:45001")
BOB = Node(name="bob@127.0.0.1", address="127.0.0.1:45002")
CAT = Node(name="cat@127.0.0.1", address="127.0.0.1:45003")
DOWN = DiscoveryError("source: cannot be reached", strategy="source")
NOBODY = DiscoveryError("source: there is no such name", strategy="source")


class Scripted(PollingStrategy):
    """Gives these answers one after the other; an error among them is raised. The last one ends the
    run.
    """

    interval_s = 0.001

    def __init__(self, *answers, confirmations=2):
        self.answers = iter(answers)
        self.confirmations = confirmations

    async def poll(self, ctx):
        answer = next(self.answers, None)
        if answer is None:
            raise EOFError
        if isinstance(answer, Exception):
            raise answer
        return answer


def observed(*answers, earlier=(), **options):
    """Return what is observed after a run that vouched for ``earlier``: names of nodes in order, or
    the text of the error.
    """

    async def scenario():
        async with Listener(
            Scripted(*answers, **options), FakeDiscovery(ANN, found=frozenset(earlier))
        ) as heard:
            await heard.hear(lambda _: False)
        assert isinstance(heard.error, EOFError)
        return [
            sorted(node.key.partition("@")[0] for node in observation.nodes)
            if isinstance(observation, Found)
            else str(observation.error)
            for observation in heard.observations
        ]

    return asyncio.run(scenario())


def nodes(*members):
    return frozenset(members)


def ok(*members):
    return Answer(nodes=nodes(*members))


FAILED = Answer(error=DOWN, complete=False)
EMPTY = Answer(error=NOBODY)


def test_an_answer_is_observed():
    assert observed(nodes(BOB, CAT)) == [["bob", "cat"]]


def test_a_missing_node_is_gone_when_answers_in_a_row_agree():
    assert observed(nodes(BOB, CAT), nodes(BOB), nodes(BOB)) == [
        ["bob", "cat"],
        ["bob", "cat"],
        ["bob"],
    ]


def test_a_node_that_is_back_is_missing_anew():
    assert observed(nodes(BOB), nodes(), nodes(BOB), nodes(), nodes())[-2:] == [["bob"], []]


def test_one_confirmation_removes_at_once():
    assert observed(nodes(BOB), nodes(), confirmations=1) == [["bob"], []]


def test_failed_lookup_keeps_everybody():
    assert observed(nodes(BOB), DOWN, DOWN, DOWN, confirmations=1) == [
        ["bob"],
        str(DOWN),
        str(DOWN),
        str(DOWN),
    ]


def test_failures_don_t_confirm_a_removal():
    assert observed(nodes(BOB), nodes(), DOWN, DOWN, nodes())[-1] == []
    assert observed(nodes(BOB), nodes(), DOWN, DOWN, nodes(BOB))[-1] == ["bob"]


def test_failure_at_first_says_nothing_about_anybody():
    assert observed(DOWN) == [str(DOWN)]


def test_a_new_address_of_a_node_replaces_the_old_one():
    async def scenario():
        async with Listener(
            Scripted(nodes(BOB), nodes(BOB.evolve(address="127.0.0.1:9"))), FakeDiscovery(ANN)
        ) as heard:
            await heard.hear(lambda _: False)
        assert [[node.address for node in found.nodes] for found in heard.observations] == [
            [BOB.address],
            ["127.0.0.1:9"],
        ]

    asyncio.run(scenario())


# Parts


def test_parts_add_up():
    assert observed({"one": ok(BOB), "two": ok(CAT)}) == [["bob", "cat"]]


def test_a_failing_part_keeps_what_it_vouched_for_and_the_others_go_on():
    both, failing, same = (
        {"one": ok(BOB), "two": ok(CAT)},
        {"one": FAILED, "two": ok()},
        {"one": FAILED, "two": ok(ANN)},
    )
    assert observed(both, failing, failing, same) == [
        ["bob", "cat"],
        str(DOWN),
        ["bob"],  # cat is gone: her part said so twice
        str(DOWN),
        ["ann", "bob"],
        str(DOWN),
    ]


def test_unchanged_nodes_are_not_reported_beside_an_error():
    """It would look as if the source worked again, each time."""
    partial = {"one": FAILED, "two": ok(CAT)}
    assert observed(partial, partial, partial) == [["cat"], *[str(DOWN)] * 3]


def test_recovery_is_reported_even_if_no_node_changed():
    assert observed({"one": ok(BOB)}, {"one": FAILED}, {"one": ok(BOB)}) == [
        ["bob"],
        str(DOWN),
        ["bob"],
    ]


def test_incomplete_answer_adds_nodes_and_removes_none():
    some = {"one": Answer(nodes=nodes(CAT), error=DOWN, complete=False)}
    assert observed({"one": ok(BOB)}, some, some, some) == [
        ["bob"],
        ["bob", "cat"],
        str(DOWN),
        str(DOWN),
        str(DOWN),
    ]


@pytest.mark.parametrize("confirmations", [1, 2])
def test_an_empty_answer_that_is_an_error_is_believed_when_it_repeats(confirmations):
    told = observed(
        {"one": ok(BOB)},
        {"one": EMPTY},
        {"one": EMPTY},
        {"one": EMPTY},
        confirmations=confirmations,
    )
    assert told == [["bob"], str(NOBODY), [], str(NOBODY), str(NOBODY)]


def test_empty_error_without_known_nodes_is_only_an_error():
    assert observed({"one": EMPTY}, {"one": EMPTY}) == [str(NOBODY)] * 2


def test_empty_error_after_a_restart_is_believed_when_it_repeats():
    reported = observed({"one": EMPTY}, {"one": EMPTY}, earlier=[BOB])
    assert reported == [str(NOBODY), [], str(NOBODY)]


def test_an_empty_error_takes_as_long_as_configured():
    told = observed({"one": ok(BOB)}, *[{"one": EMPTY}] * 3, confirmations=3)
    assert told == [["bob"], str(NOBODY), str(NOBODY), [], str(NOBODY)]


def test_after_a_restart_a_missing_node_is_gone_when_answers_in_a_row_agree():
    assert observed(nodes(ANN), nodes(ANN), nodes(ANN), earlier=[ANN, BOB]) == [
        ["ann", "bob"],
        ["ann"],
        ["ann"],
    ]


def test_after_a_restart_a_part_that_fails_at_once_keeps_what_it_had_vouched_for():
    down = Answer(error=DOWN, complete=False)
    answers = [{"x": ok(ANN), "y": down}] * 3 + [{"x": ok(ANN), "y": ok()}] * 2
    assert observed(*answers, earlier=[ANN, BOB]) == [str(DOWN)] * 3 + [["ann", "bob"], ["ann"]]


def test_after_a_restart_a_node_belongs_to_the_part_that_reports_it():
    down = Answer(error=DOWN, complete=False)
    answers = [{"x": ok(ANN), "y": down}] + [{"x": ok(), "y": down}] * 2
    assert observed(*answers, earlier=[ANN, BOB]) == [str(DOWN), str(DOWN), ["bob"], str(DOWN)]


def test_empty_error_after_a_restart_removes_no_node_until_it_repeats():
    empty = {"x": Answer(error=NOBODY)}
    assert observed(empty, empty, earlier=[ANN], confirmations=1) == [str(NOBODY), [], str(NOBODY)]


def test_a_node_stays_while_any_part_vouches_for_it():
    both, one = {"one": ok(BOB), "two": ok(BOB)}, {"one": ok(), "two": ok(BOB)}
    assert observed(both, one, one, one) == [["bob"]] * 4


def test_a_part_that_is_no_longer_asked_has_lost_its_nodes():
    assert observed({"one": ok(BOB), "two": ok(CAT)}, {"two": ok(CAT)}, {"two": ok(CAT)})[-1] == [
        "cat"
    ]


def test_everything_fails_when_poll_raises():
    assert observed({"one": ok(BOB)}, DOWN, {"one": ok(BOB)}) == [["bob"], str(DOWN), ["bob"]]


def test_errors_of_several_parts_are_one_and_each_is_reported_once():
    told = observed({"one": FAILED, "two": EMPTY, "three": FAILED})
    assert told[-1] == f"{DOWN}; {NOBODY}"


def test_of_parts_that_differ_about_a_node_the_first_has_the_say():
    other = BOB.evolve(address="127.0.0.1:9")

    async def scenario():
        async with Listener(
            Scripted({"one": ok(BOB), "two": ok(other)}), FakeDiscovery(ANN)
        ) as heard:
            await heard.hear(lambda _: False)
        assert heard.observations == [Found([BOB])]

    asyncio.run(scenario())


# Waiting


class Waits(list):
    async def __call__(self, seconds):
        self.append(seconds)


def waits(monkeypatch, *answers):
    """Return how many intervals were waited after each answer."""
    slept = Waits()
    monkeypatch.setattr("asyncio.sleep", slept)

    async def scenario():
        strategy = Scripted(*answers)
        strategy.interval_s, strategy.jitter = 1.0, 0.0
        with pytest.raises(EOFError):
            async for _ in strategy.discover(FakeDiscovery(ANN)):
                pass

    asyncio.run(scenario())
    return slept


def test_waits_longer_after_failures_up_to_a_bound(monkeypatch):
    assert waits(monkeypatch, *[DOWN] * 8, nodes(BOB)) == [2, 4, 8, 16, 32, 60, 60, 60, 1]


def test_one_failing_part_does_not_lengthen_the_wait(monkeypatch):
    assert waits(monkeypatch, *[{"one": FAILED, "two": ok(BOB)}] * 3) == [1, 1, 1]


def test_waits_longer_while_every_part_fails(monkeypatch):
    assert waits(monkeypatch, *[{"one": FAILED, "two": FAILED}] * 2) == [2, 4]


def test_empty_error_does_not_lengthen_the_wait(monkeypatch):
    assert waits(monkeypatch, *[{"one": EMPTY}] * 3) == [1, 1, 1]


def test_a_failure_is_an_observation_with_its_error():
    async def scenario():
        async with Listener(Scripted(DOWN), FakeDiscovery(ANN)) as heard:
            assert (await heard.hear()) == Failed(DOWN)

    asyncio.run(scenario())


def raised_by(strategy):
    async def scenario():
        async with Listener(strategy, FakeDiscovery(ANN)) as heard:
            await heard.hear(lambda _: False)
        return str(heard.error)

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    "answer", [0, "ann@h", {"ann@h"}, {ANN, None}, {"dns": nodes(ANN)}, {"dns": None}, nodes]
)
def test_an_answer_that_breaks_the_contract_is_reported(answer):
    assert "expected a frozenset of Node, empty only where nobody is there" in raised_by(
        Scripted(answer)
    )


def test_poll_that_returns_nothing_is_reported():
    class Nothing(PollingStrategy):
        async def poll(self, ctx):
            pass

    assert raised_by(Nothing()).startswith("poll returned None: expected a frozenset of Node")


def test_poll_that_is_not_async_is_reported():
    class Plain(PollingStrategy):
        def poll(self, ctx):
            return frozenset()

    assert (
        raised_by(Plain()) == "poll is not async, it returned frozenset(): write 'async def poll'"
    )


def test_nodes_may_come_in_any_collection():
    assert observed([ANN, BOB], {CAT}, (CAT,)) == [["ann", "bob"], ["ann", "bob", "cat"], ["cat"]]
