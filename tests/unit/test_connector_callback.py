"""The connector whose links are held by functions of the application."""

import asyncio
import logging
import threading

import application_links as app
import pytest

from cluster_kit.config.callback import Callback
from cluster_kit.connectors.callback import CallbackConnector
from cluster_kit.connectors.callback.calls import Calls
from cluster_kit.connectors.callback.links import CallbackLinks
from cluster_kit.errors import ClusterKitError, ConnectError, ConnectReason
from cluster_kit.events import Reason
from cluster_kit.node import Node
from cluster_kit.testing.fakes import RecordingLinks

ANN, BOB, CAT = (Node(name=f"{name}@127.0.0.1") for name in ("ann", "bob", "cat"))
DEADLINE_S = 20.0


def function(name, *args):
    return Callback(f"application_links:{name}", args)


@pytest.fixture(autouse=True)
def fresh():
    app.calls.clear()
    app.listed.clear()
    app.refuses_to_close.clear()
    app.released.clear()
    yield
    app.released.set()


class Impatient(CallbackConnector):
    """Waits for a function for a moment only."""

    async def start(self, local, links):
        self._running = CallbackLinks(self, local, links, call_s=0.05)
        return local


def play(scenario, kind=CallbackConnector, **options):
    async def run():
        links = RecordingLinks()
        connector = kind(**{"open": function("connect"), "interval_s": 0.01, **options})
        assert await connector.start(ANN, links) == ANN
        try:
            async with asyncio.timeout(DEADLINE_S):
                await scenario(connector, links)
        finally:
            await connector.stop()
        return [
            (report.kind, report.node.name.partition("@")[0], report.reason)
            for report in links.reports
        ]

    return asyncio.run(run())


async def until(met):
    while not met():  # noqa: ASYNC110 - what is waited for happens in other threads; the deadline is the scenario's
        await asyncio.sleep(0.001)


def node(basename):
    return Node(name=f"{basename}@127.0.0.1")


class TestConnect:
    @pytest.mark.parametrize("basename", ["web", "true"])
    @pytest.mark.parametrize("name", ["connect", "connect_async"])
    def test_none_and_true_are_linked(self, name, basename):
        async def scenario(connector, links):
            assert await connector.connect(node(basename)) == node(basename)
            assert links.ups_and_downs(node(basename).key) == ["up"]

        assert play(scenario, open=function(name)) == [
            ("up", basename, None),
            ("down", basename, Reason.SHUTDOWN),
        ]

    @pytest.mark.parametrize(
        ("basename", "reason", "retryable"),
        [
            ("no", ConnectReason.FAILED, True),
            ("ignored", ConnectReason.IGNORED, False),
            ("text", ConnectReason.IGNORED, False),
            ("odd", ConnectReason.PROTOCOL, False),
            ("refused", ConnectReason.REFUSED, True),
        ],
    )
    @pytest.mark.parametrize("name", ["connect", "connect_async"])
    def test_anything_else_is_not(self, name, basename, reason, retryable):
        async def scenario(connector, links):
            with pytest.raises(ConnectError) as caught:
                await connector.connect(node(basename))
            assert (caught.value.reason, caught.value.retryable) == (reason, retryable)
            assert caught.value.node == node(basename).key

        assert play(scenario, open=function(name)) == []

    @pytest.mark.parametrize(
        ("basename", "told"),
        [("raises", "OSError: no such line"), ("stops", "Stop"), ("exits", "SystemExit: 3")],
    )
    def test_exception_of_the_function_becomes_a_cluster_kit_error(self, basename, told):
        async def scenario(connector, links):
            with pytest.raises(
                ClusterKitError, match=f"callback: application_links:connect raised .*{told}"
            ):
                await connector.connect(node(basename))

        assert play(scenario) == []

    def test_arguments_come_before_the_node(self):
        async def scenario(connector, links):
            await connector.connect(BOB)

        play(scenario, open=function("with_arguments", "a", 2))
        assert app.calls[0] == ("a", 2, str(BOB))

    def test_a_linked_node_is_not_connected_again(self):
        async def scenario(connector, links):
            await connector.connect(BOB)
            await connector.connect(BOB)

        play(scenario)
        assert app.calls.count(("connect", str(BOB))) == 1

    def test_a_changed_node_is_updated_and_not_connected_again(self):
        async def scenario(connector, links):
            await connector.connect(BOB)
            assert await connector.connect(BOB.evolve(metadata={"zone": "a"})) == BOB.evolve(
                metadata={"zone": "a"}
            )

        assert [kind for kind, *_ in play(scenario)] == ["up", "updated", "down"]
        assert app.calls.count(("connect", str(BOB))) == 1

    def test_another_run_of_a_node_is_closed_and_connected_anew(self):
        async def scenario(connector, links):
            await connector.connect(BOB.evolve(address="10.0.0.5:1"))
            await connector.connect(BOB.evolve(address="10.0.0.6:1"))

        reports = play(scenario, close=function("disconnect"))
        assert [(kind, reason) for kind, _, reason in reports] == [
            ("up", None),
            ("down", Reason.REPLACED),
            ("up", None),
            ("down", Reason.SHUTDOWN),
        ]
        assert [name for name, _ in app.calls] == ["connect", "disconnect", "connect", "disconnect"]

    def test_another_run_waits_until_the_link_to_the_one_before_is_closed(self):
        async def scenario(connector, links):
            app.refuses_to_close.add(BOB.name)
            await connector.connect(BOB.evolve(address="10.0.0.5:1"))
            with pytest.raises(
                ConnectError, match=r"earlier run of 'bob@127\.0\.0\.1' is not closed yet"
            ) as caught:
                await connector.connect(BOB.evolve(address="10.0.0.6:1"))
            assert caught.value.retryable
            app.refuses_to_close.clear()
            await connector.connect(BOB.evolve(address="10.0.0.6:1"))
            assert links.ups_and_downs(BOB.key) == ["up", "down", "up"]

        play(scenario, close=function("disconnect"))

    def test_plain_function_that_hangs_delays_no_other_and_runs_once(self):
        slow = node("hangs")

        async def scenario(connector, links):
            first = asyncio.create_task(connector.connect(slow))
            await until(lambda: ("connect", str(slow)) in app.calls)
            await connector.connect(BOB)
            first.cancel()
            await asyncio.wait([first])
            again = asyncio.create_task(connector.connect(slow))
            await asyncio.sleep(0)
            app.released.set()
            assert await again == slow
            assert app.calls.count(("connect", str(slow))) == 1

        reports = play(scenario)
        assert [report for report in reports if report[0] == "up"] == [
            ("up", "bob", None),
            ("up", "hangs", None),
        ]

    def test_an_async_function_is_cancelled_with_its_task(self):
        async def scenario(connector, links):
            first = asyncio.create_task(connector.connect(BOB))
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.wait([first])
            assert app.calls == [("cancelled", str(BOB))]

        assert play(scenario, open=function("connect_never")) == []

    def test_a_late_answer_is_forgotten_after_a_while(self):
        slow = node("hangs")

        async def scenario():
            calls = Calls(late_s=0.0)
            first = asyncio.create_task(calls.call(slow.key, function("connect"), slow))
            await until(lambda: ("connect", str(slow)) in app.calls)
            first.cancel()
            await asyncio.wait([first])
            app.released.set()
            await until(
                lambda: (
                    not [
                        thread
                        for thread in threading.enumerate()
                        if thread.name.startswith("callback ")
                    ]
                )
            )
            await calls.call(slow.key, function("connect"), slow)
            assert app.calls.count(("connect", str(slow))) == 2

        asyncio.run(scenario())

    def test_there_are_so_many_threads_and_no_more(self, monkeypatch):
        monkeypatch.setattr("cluster_kit.connectors.callback.calls.MAX_THREADS", 1)

        async def scenario(connector, links):
            first = asyncio.create_task(connector.connect(node("hangs")))
            await until(lambda: app.calls)
            with pytest.raises(ClusterKitError, match="1 other calls have no answer yet"):
                await connector.connect(BOB)
            app.released.set()
            await first
            await connector.connect(BOB)

        play(scenario)


class TestDisconnect:
    def test_disconnect_is_called_once_and_the_link_is_down(self):
        async def scenario(connector, links):
            await connector.connect(BOB)
            await connector.disconnect(BOB)
            await connector.disconnect(BOB)

        assert play(scenario, close=function("disconnect"))[1:] == [
            ("down", "bob", Reason.UNWANTED)
        ]
        assert app.calls == [("connect", str(BOB)), ("disconnect", str(BOB))]

    def test_without_one_the_link_is_down_all_the_same(self):
        async def scenario(connector, links):
            await connector.connect(BOB)
            await connector.disconnect(BOB)

        assert play(scenario)[1:] == [("down", "bob", Reason.UNWANTED)]

    def test_disconnect_that_refuses_is_called_again(self, caplog):
        async def scenario(connector, links):
            app.refuses_to_close.add(BOB.name)
            await connector.connect(BOB)
            await connector.disconnect(BOB)
            assert links.ups_and_downs(BOB.key) == ["up"]
            app.refuses_to_close.clear()
            await links.expect("down", BOB.key)

        assert play(scenario, close=function("disconnect"))[1:] == [
            ("down", "bob", Reason.UNWANTED)
        ]
        assert "stays linked: callback: application_links:disconnect returned False" in caplog.text

    def test_a_node_that_is_wanted_again_is_not_closed(self):
        async def scenario(connector, links):
            app.refuses_to_close.add(BOB.name)
            await connector.connect(BOB)
            await connector.disconnect(BOB)
            await connector.connect(BOB)
            app.refuses_to_close.clear()
            app.listed[:] = [BOB]
            before = app.calls.count(("disconnect", str(BOB)))
            seen = app.calls.count(("list",))
            await until(lambda: app.calls.count(("list",)) >= seen + 3)
            assert app.calls.count(("disconnect", str(BOB))) == before
            assert links.ups_and_downs(BOB.key) == ["up"]

        app.listed[:] = [BOB]
        play(scenario, close=function("disconnect"), peers=function("list_nodes"))

    def test_disconnect_that_ends_late_counts_when_the_node_is_wanted_again(self):
        async def scenario(connector, links):
            await connector.connect(BOB)
            await connector.disconnect(BOB)
            assert links.ups_and_downs(BOB.key) == ["up"]
            again = asyncio.create_task(connector.connect(BOB))
            await asyncio.sleep(0)
            app.released.set()
            await again
            assert links.ups_and_downs(BOB.key) == ["up", "down", "up"]

        play(scenario, Impatient, close=function("disconnect_late"), interval_s=60.0)
        assert [call[0] for call in app.calls] == ["connect", "disconnect", "connect", "disconnect"]

    def test_stop_closes_each_link(self):
        async def scenario(connector, links):
            await connector.connect(BOB)
            await connector.connect(CAT)

        reports = play(scenario, close=function("disconnect"))
        assert sorted(reports[2:]) == [
            ("down", "bob", Reason.SHUTDOWN),
            ("down", "cat", Reason.SHUTDOWN),
        ]
        assert sorted(app.calls[2:]) == [("disconnect", str(BOB)), ("disconnect", str(CAT))]

    def test_stop_waits_for_none_that_hangs(self):
        async def scenario(connector, links):
            await connector.connect(node("web"))

        before = threading.active_count()
        assert play(scenario, Impatient, close=function("connect")) == [
            ("up", "web", None),
            ("down", "web", Reason.SHUTDOWN),
        ]
        assert threading.active_count() <= before + 1


class TestList:
    def test_listed_nodes_are_up_and_missing_ones_down(self):
        async def scenario(connector, links):
            app.listed[:] = [BOB.name, CAT, ANN.name]
            await links.expect("up", BOB.key)
            await links.expect("up", CAT.key)
            app.listed[:] = [CAT]
            assert (await links.expect("down", BOB.key)).reason is Reason.CLOSED
            assert links.ups_and_downs(CAT.key) == ["up"]
            assert links.ups_and_downs(ANN.key) == []

        play(scenario, peers=function("list_nodes"))

    def test_listed_change_of_a_linked_node_is_reported(self):
        async def scenario(connector, links):
            app.listed[:] = [BOB]
            await links.expect("up", BOB.key)
            app.listed[:] = [BOB.evolve(metadata={"zone": "a"})]
            assert (await links.expect("updated", BOB.key)).node.metadata == {"zone": "a"}

        play(scenario, peers=function("list_nodes"))

    @pytest.mark.parametrize("nonsense", ["raise", "no node", 3])
    def test_failed_list_changes_nothing(self, nonsense, caplog):
        caplog.set_level(logging.DEBUG, "cluster_kit.connectors.callback")

        async def scenario(connector, links):
            app.listed[:] = [BOB]
            await links.expect("up", BOB.key)
            app.listed[:] = [nonsense]
            await until(lambda: "links are unchanged" in caplog.text)
            assert links.ups_and_downs(BOB.key) == ["up"]

        play(scenario, peers=function("list_nodes"))

    def test_an_async_one_that_raises_what_ends_programs_is_asked_again(self):
        async def scenario(connector, links):
            await until(lambda: len(app.calls) >= 6)
            assert await connector.connect(BOB) == BOB

        play(scenario, peers=function("list_oddly"))

    def test_a_generator_runs_in_a_thread(self):
        async def scenario(connector, links):
            app.listed[:] = [BOB]
            await links.expect("up", BOB.key)

        play(scenario, peers=function("list_one_by_one"))
        assert threading.main_thread() not in app.listing_threads

    def test_text_is_no_list(self, caplog):
        async def scenario(connector, links):
            await until(lambda: "returned a str: expected names or nodes" in caplog.text)

        assert play(scenario, peers=function("list_as_text")) == []


def test_nothing_can_be_linked_before_the_start():
    connector = CallbackConnector(open=function("connect"))
    with pytest.raises(ConnectError, match="start it first"):
        asyncio.run(connector.connect(BOB))
    asyncio.run(connector.disconnect(BOB))
    asyncio.run(connector.stop())
