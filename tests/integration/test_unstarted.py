"""A supervisor's answers before its start and after its stop: never an empty cluster."""

import asyncio

import pytest

from cluster_kit import (
    AsyncSupervisor,
    ClusterKitError,
    CommandError,
    NodeDown,
    NodeUp,
    Snapshot,
    Supervisor,
)
from cluster_kit.supervisor.status import State

CONFIG = {
    "node": "ann@127.0.0.1",
    "topologies": {
        "lan": {
            "strategy": {"name": "static", "nodes": ["bob@127.0.0.1:4370"]},
            "connector": "none",
        }
    },
}
QUESTIONS = {
    "nodes": lambda face: face.nodes(),
    "known": lambda face: face.nodes("lan", "known"),
    "wait_for": lambda face: face.wait_for(1, timeout_s=60),
    "call": lambda face: face.call("lan", "nothing"),
}
BEFORE = {"status": lambda face: face.status(), "join": lambda face: face.join(60)}


@pytest.mark.parametrize("question", {**QUESTIONS, **BEFORE}.values(), ids={**QUESTIONS, **BEFORE})
def test_before_start_every_question_is_refused(question):
    with pytest.raises(
        ClusterKitError,
        match=r"^supervisor: not started: use `with Supervisor\(\.\.\.\)`, or call start\(\)",
    ):
        question(Supervisor(CONFIG))

    async def scenario():
        with pytest.raises(ClusterKitError, match=r"^supervisor: not started"):
            await question(AsyncSupervisor(CONFIG))

    asyncio.run(scenario())


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_questions_about_nodes_are_refused_after_stop(question):
    with Supervisor(CONFIG) as supervisor:
        supervisor.wait_for(2, timeout_s=30)
    with pytest.raises(ClusterKitError, match="stopped"):
        question(supervisor)

    async def scenario():
        async with AsyncSupervisor(CONFIG) as supervisor:
            await supervisor.wait_for(2, timeout_s=30)
        with pytest.raises(ClusterKitError, match="stopped"):
            await question(supervisor)

    asyncio.run(scenario())


def test_after_stop_it_reports_how_it_ended():
    with Supervisor(CONFIG) as supervisor:
        pass
    assert supervisor.status()["lan"].state is State.STOPPED
    assert supervisor.join(0) is True
    assert [type(event) for event in supervisor.subscribe()] == [Snapshot]


def test_subscription_before_start_misses_nothing():
    supervisor = Supervisor(CONFIG)
    events = supervisor.subscribe()
    with supervisor:
        supervisor.wait_for(2, timeout_s=30)
    types = [type(event) for event in events]
    assert types[0] is Snapshot
    assert NodeUp in types


def test_callback_may_ask_up_to_the_last_event():
    answers = []

    def listen(event):
        if isinstance(event, NodeUp | NodeDown):
            answers.append((type(event), len(supervisor.nodes())))

    supervisor = Supervisor(CONFIG)
    supervisor.subscribe(listen)
    with supervisor:
        supervisor.wait_for(2, timeout_s=30)
    assert [kind for kind, _ in answers] == [NodeUp, NodeDown]
    assert answers[-1] == (NodeDown, 0)


def test_stop_amid_a_wait_ends_it():
    async def scenario():
        async with AsyncSupervisor(CONFIG) as supervisor:
            waiting = asyncio.create_task(supervisor.wait_for(3))
            await supervisor.wait_for(2, timeout_s=30)
        with pytest.raises(ClusterKitError, match="stopped"):
            await waiting

    asyncio.run(scenario())


def test_call_after_stop_says_so():
    with Supervisor(CONFIG) as supervisor:
        pass
    with pytest.raises(CommandError, match="the supervisor has stopped"):
        supervisor.call("lan", "nothing")
