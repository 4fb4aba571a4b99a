"""What is reported once, what again, and what wakes up."""

import asyncio

import pytest

from cluster_kit.abc import Failed, Found
from cluster_kit.errors import DiscoveryError
from cluster_kit.node import Node
from cluster_kit.reporter import Reporter

ANN = Node(name="ann@here")
DOWN, ANNS, NOBODY = "source: down", Found([ANN]), Found([])


class Log:
    def __init__(self):
        self.announced = 0
        self.reporter = Reporter(self._announced)

    def _announced(self):
        self.announced += 1

    def taken(self):
        """Return what is queued, errors by their text."""
        return [
            each if isinstance(each, Found) else str(each.error) for each in self.reporter.take()
        ]


@pytest.fixture
def log():
    return Log()


def down():
    return DiscoveryError(DOWN)


def test_an_error_is_reported_once_until_it_is_over(log):
    log.reporter.failed(down())
    log.reporter.failed(down())
    assert log.taken() == [DOWN]
    log.reporter.works()
    log.reporter.failed(down())
    assert log.taken() == [DOWN]


def test_another_error_is_reported(log):
    log.reporter.failed(down())
    log.reporter.failed(DiscoveryError("source: gone"))
    assert log.taken() == [DOWN, "source: gone"]


def test_an_answer_is_reported_when_it_changes(log):
    for found in (ANNS, ANNS, NOBODY):
        log.reporter.answer(found, None)
    assert log.taken() == [ANNS, NOBODY]


def test_an_answer_is_repeated_when_a_fault_is_over(log):
    for error in (None, down(), None):
        log.reporter.answer(ANNS, error)
    assert log.taken() == [ANNS, DOWN, ANNS]


def test_an_error_is_repeated_after_an_answer_that_would_hide_it(log):
    log.reporter.answer(ANNS, down())
    log.reporter.answer(ANNS, down())
    log.reporter.answer(NOBODY, down())
    assert log.taken() == [ANNS, DOWN, NOBODY, DOWN]


def test_no_answer_yet_is_none(log):
    log.reporter.answer(None, down())
    log.reporter.answer(None, None)
    assert log.taken() == [DOWN]


def test_this_node_is_announced_at_first_and_after_each_fault(log):
    log.reporter.works()
    log.reporter.works()
    assert log.announced == 1
    log.reporter.failed(down())
    log.reporter.works()
    assert log.announced == 2


def test_being_announced_counts_as_health_so_the_next_answer_is_new(log):
    log.reporter.answer(ANNS, down())
    log.reporter.announced()
    log.reporter.answer(ANNS, down())
    assert log.taken() == [ANNS, DOWN, ANNS, DOWN]


def test_observation_added_during_take_is_taken_too(log):
    log.reporter.say(ANNS)
    observations = log.reporter.take()
    assert next(observations) == ANNS
    log.reporter.failed(down())
    assert isinstance(next(observations), Failed)
    assert len(log.reporter) == 0


def test_a_wait_ends_when_it_is_woken_or_when_its_time_is_over(log):
    async def scenario():
        log.reporter.wake()
        await log.reporter.wait()
        await log.reporter.wait(0.001)
        await log.reporter.wait(-1.0)
        asyncio.get_running_loop().call_later(0.001, log.reporter.wake)
        await log.reporter.wait()

    asyncio.run(asyncio.wait_for(scenario(), 5.0))
