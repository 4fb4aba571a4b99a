"""Questions between applications joined in memory, and their four ends; answers from threads and
event loops.
"""

import asyncio
import threading
import time

import pytest
from joined_boards import Application
from waiting import until

from cluster_kit.errors import (
    ClusterKitError,
    NotLinkedError,
    NotSentError,
    RemoteError,
    UnansweredError,
)
from cluster_kit.supervisor.topics.answering import MOST_THREADS
from cluster_kit.supervisor.topics.items import Message
from cluster_kit.topics.data import encode
from cluster_kit.topics.questions import MAX_OPEN


def test_answer_is_the_return_value_of_the_function(ann, bob):
    asked = []

    @bob.topic("stock").answer
    def stock(message):
        asked.append((message, threading.current_thread()))
        return [message.data["sku"], None, 1.5, b"x"]

    assert stock.__name__ == "stock"
    ann.link(bob)
    assert ann.topic("stock").ask("bob@h", {"sku": 7}) == [7, None, 1.5, b"x"]
    assert ann.topic("stock").ask(bob.node, {"sku": 8}) == [8, None, 1.5, b"x"]
    assert asked[0][0] == Message(sender=ann.node, data={"sku": 7}, topic="stock")
    assert asked[0][1].daemon
    assert asked[0][1] is not threading.main_thread()


def test_coroutine_function_answers(ann, bob):
    @bob.topic("stock").answer
    async def stock(message):
        await asyncio.sleep(0)
        return message.data + 1

    ann.link(bob)
    assert [ann.topic("stock").ask("bob@h", number) for number in range(10)] == list(range(1, 11))


@pytest.mark.parametrize("is_async", [False, True])
def test_exception_of_the_function_is_raised_at_the_asker(ann, bob, is_async):
    def stock(message):
        raise LookupError(f"no shelf {message.data}")

    async def stock_async(message):
        stock(message)

    bob.topic("stock").answer(stock_async if is_async else stock)
    ann.link(bob)
    with pytest.raises(RemoteError, match=r"^.*LookupError: no shelf 7") as caught:
        ann.topic("stock").ask("bob@h", 7)
    assert caught.value.node == "bob@h"


def test_unsendable_answer_is_raised_at_the_asker(ann, bob):
    bob.topic("stock").answer(lambda _: {"shelf": {1, 2}})
    bob.topic("all").answer(lambda _: "x" * 2000)
    for each in (ann, bob):
        each.board.limit(1000)
    ann.link(bob)
    with pytest.raises(RemoteError, match=r"TypeError: answer: data\['shelf'\]"):
        ann.topic("stock").ask("bob@h", 7)
    with pytest.raises(RemoteError, match=r"ValueError: .*1000"):
        ann.topic("all").ask("bob@h", 7)


def test_ask_raises_and_ask_all_is_empty_without_an_answering_node(ann, bob):
    bob.topic("stock").subscribe()
    ann.link(bob)
    with pytest.raises(NotSentError):
        ann.topic("stock").ask("bob@h", 7)
    with pytest.raises(NotLinkedError):
        ann.topic("stock").ask("eve@h", 7)
    assert ann.topic("stock").ask_all(7) == {}


def test_timed_out_question_may_still_be_acted_on(ann, bob):
    let_go, asked = threading.Event(), []

    @bob.topic("stock").answer
    def stock(message):
        asked.append(message.data)
        let_go.wait(30)

    ann.link(bob)
    with pytest.raises(
        UnansweredError, match=r"ask: no answer from bob@h in topic 'stock' within 0.05 s"
    ) as caught:
        ann.topic("stock").ask("bob@h", 7, timeout_s=0.05)
    assert caught.value.node == "bob@h"
    until(lambda: asked == [7], "it was asked")
    let_go.set()


def test_broken_link_ends_the_wait_for_an_answer(ann, bob):
    let_go, asked = threading.Event(), threading.Event()

    @bob.topic("stock").answer
    def stock(message):
        asked.set()
        let_go.wait(30)

    here, _ = ann.link(bob)
    raised = []

    def ask():
        try:
            ann.topic("stock").ask("bob@h", 7, timeout_s=60)
        except UnansweredError as exc:
            raised.append(exc)

    asker = threading.Thread(target=ask)
    asker.start()
    assert asked.wait(10)
    ann.cut(here)
    asker.join(10)
    assert not asker.is_alive()
    assert len(raised) == 1
    let_go.set()


def test_stopping_supervisor_ends_the_wait_for_an_answer(ann, bob):
    let_go, asked = threading.Event(), threading.Event()

    @bob.topic("stock").answer
    def stock(message):
        asked.set()
        let_go.wait(30)

    ann.link(bob)
    raised = []

    def ask():
        try:
            ann.topic("stock").ask("bob@h", 7, timeout_s=60)
        except UnansweredError as exc:
            raised.append(str(exc))

    asker = threading.Thread(target=ask)
    asker.start()
    assert asked.wait(10)
    ann.boards.close()
    asker.join(10)
    assert raised == [
        "topic: the supervisor has stopped and carries no more messages: make a new one"
    ]
    let_go.set()


def test_ask_all_returns_an_answer_or_an_error_for_each_node(ann, bob):
    carl, dora = Application("carl").start(), Application("dora").start()
    let_go = threading.Event()
    bob.topic("stock").answer(lambda message: message.data)
    carl.topic("stock").answer(lambda _: let_go.wait(30))
    dora.topic("stock").answer(lambda _: 1 / 0)
    for each in (bob, carl, dora):
        ann.link(each)
    answers = ann.topic("stock").ask_all(7, timeout_s=0.3)
    assert list(answers) == [bob.node, carl.node, dora.node]
    assert answers[bob.node] == 7
    assert type(answers[carl.node]) is UnansweredError
    assert type(answers[dora.node]) is RemoteError
    let_go.set()
    for each in (carl, dora):
        each.stop()


def test_only_one_function_answers_a_topic(ann, bob):
    stock = bob.topic("stock")
    stock.answer(lambda _: 1)
    with pytest.raises(
        ClusterKitError,
        match=r"<lambda> answers topic 'stock' already: call stop_answering\(\) first",
    ):
        bob.topic("stock").answer(lambda _: 2)
    with pytest.raises(TypeError, match=r"^answer: 7: expected a function"):
        stock.answer(7)
    ann.link(bob)
    assert ann.topic("stock").ask("bob@h", None) == 1
    stock.stop_answering()
    stock.stop_answering()
    bob.topic("stock").answer(lambda _: 2)
    assert ann.topic("stock").ask("bob@h", None) == 2


def test_number_of_answering_threads_is_bounded(ann, bob):
    let_go, threads = threading.Event(), set()

    @bob.topic("stock").answer
    def stock(message):
        threads.add(threading.current_thread())
        let_go.wait(30)
        return message.data

    ann.link(bob)
    answers = []
    askers = [
        threading.Thread(
            target=lambda number=number: answers.append(
                ann.topic("stock").ask("bob@h", number, timeout_s=30)
            )
        )
        for number in range(2 * MOST_THREADS)
    ]
    for asker in askers:
        asker.start()
    until(lambda: len(threads) == MOST_THREADS, "all threads are busy")
    bob.settle()
    let_go.set()
    for asker in askers:
        asker.join(30)
    assert sorted(answers) == list(range(2 * MOST_THREADS))
    assert len(threads) == MOST_THREADS


def test_queued_question_past_its_timeout_is_never_acted_on(ann, bob):
    let_go, asked = threading.Event(), []

    @bob.topic("stock").answer
    def stock(message):
        asked.append(message.data)
        let_go.wait(30)

    ann.link(bob)
    for number in range(MOST_THREADS + 3):
        with pytest.raises(UnansweredError):
            ann.topic("stock").ask("bob@h", number, timeout_s=0.01)
    until(lambda: len(asked) == MOST_THREADS, "all threads are busy")
    ann.settle()
    bob.settle()
    over_s = time.monotonic() + 0.02
    until(lambda: time.monotonic() > over_s, "the time of the last question is over")
    let_go.set()
    bob.boards.close()
    bob.boards.join()
    assert len(asked) == MOST_THREADS


def test_answering_threads_end_with_the_supervisor(ann, bob):
    @bob.topic("stock").answer
    def stock(message):
        return message.data

    ann.link(bob)
    assert ann.topic("stock").ask("bob@h", 1) == 1
    [thread] = [each for each in threading.enumerate() if each.name == "cluster-kit-answers"]
    bob.boards.close()
    bob.boards.join()
    assert not thread.is_alive()


def test_question_of_an_answering_function_ends_with_the_supervisor(ann, bob):
    let_go, reached = threading.Event(), threading.Event()

    @ann.topic("price").answer
    def price(message):
        reached.set()
        let_go.wait(30)

    @bob.topic("stock").answer
    def stock(message):
        return bob.topic("price").ask("ann@h", message.data, timeout_s=60)

    ann.link(bob)
    ann.board.submit("bob@h", "stock", encode(1), 60.0, lambda _: None)
    assert reached.wait(10)
    threads = [each for each in threading.enumerate() if each.name == "cluster-kit-answers"]
    bob.boards.close()
    bob.boards.join()
    until(lambda: sum(each.is_alive() for each in threads) == 1, "bob's thread has ended")
    let_go.set()


@pytest.mark.parametrize("is_async", [False, True])
def test_unanswered_questions_of_lost_links_still_count_as_open(ann, bob, is_async):
    let_go, asked = threading.Event(), []

    def wait(message):
        asked.append(message)
        let_go.wait(10)

    async def wait_async(message):
        asked.append(message)
        await asyncio.to_thread(let_go.wait, 10)

    bob.topic("stock").answer(wait_async if is_async else wait)
    for _ in range(4):
        here, _ = ann.link(bob)
        for number in range(MAX_OPEN):
            ann.board.submit("bob@h", "stock", encode(number), 60.0, lambda _: None)
        ann.settle()
        bob.settle()
        ann.cut(here)
    ann.link(bob)
    with pytest.raises(NotSentError, match="busy: too many questions are open"):
        ann.topic("stock").ask("bob@h", 7, timeout_s=10)
    let_go.set()
    until(lambda: len(asked) == 2 * MAX_OPEN, "those that were taken are answered")
    assert until(lambda: answered(ann), "there is room again")


def answered(ann):
    try:
        return ann.topic("stock").ask("bob@h", 7, timeout_s=10) is None
    except NotSentError:
        return False
