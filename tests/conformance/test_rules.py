"""How a rule of a suite is run, and how its failure is reported."""

import asyncio
import inspect

import pytest

from cluster_kit.testing.rules import contract, run_to_end, without_unhandled


async def stubborn(done):
    while not done.is_set():
        try:
            await done.wait()
        except asyncio.CancelledError:
            continue


def test_task_that_cannot_be_cancelled_is_not_waited_for():
    async def scenario():
        kept.append(asyncio.create_task(stubborn(asyncio.Event())))
        await asyncio.sleep(0)

    kept = []
    run_to_end(scenario(), 0.1)
    assert not kept[0].done()


def test_exception_of_the_scenario_propagates():
    async def scenario():
        raise KeyError("x")

    with pytest.raises(KeyError):
        run_to_end(scenario(), 1.0)


async def fail():
    raise ValueError("nobody looks")


def in_a_task():
    asyncio.create_task(fail())  # noqa: RUF006 - that nobody keeps it is the point


def in_a_callback():
    asyncio.get_running_loop().call_soon([].pop)


@pytest.mark.parametrize(
    ("lose", "told"), [(in_a_task, "ValueError"), (in_a_callback, "IndexError")]
)
def test_unhandled_exception_fails_the_scenario(lose, told):
    async def scenario():
        lose()
        await asyncio.sleep(0)

    with pytest.raises(AssertionError, match=f"unhandled: .*{told}"):
        run_to_end(without_unhandled(scenario()), 1.0)


class Suite:
    def play(self, rule, *participants):
        asyncio.run(rule(*map(str.upper, participants)))

    @contract("A link belongs to both ends.")
    async def test_rule(self, ann, cat, number):
        self.played = ann, cat, number


def test_suite_plays_a_rule_with_its_participants():
    suite = Suite()
    suite.test_rule(3)
    assert suite.played == ("ANN", "CAT", 3)
    suite.test_rule(number=4)
    assert suite.played == ("ANN", "CAT", 4)


def test_pytest_is_not_asked_for_participants():
    assert [*inspect.signature(Suite.test_rule).parameters] == ["self", "number"]


@contract("A link belongs to both ends.")
def broken(error):
    raise error


def test_failure_begins_with_the_sentence_of_the_contract():
    with pytest.raises(
        AssertionError, match=r"^contract: 'A link belongs to both ends.'\nit is down$"
    ):
        broken(AssertionError("it is down"))


def test_other_errors_have_the_sentence_as_a_note():
    with pytest.raises(TypeError) as caught:
        broken(TypeError("odd"))
    assert caught.value.__notes__ == ["contract: 'A link belongs to both ends.'"]
