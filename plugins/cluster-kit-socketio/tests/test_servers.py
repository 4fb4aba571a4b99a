"""Two servers in separate processes, a client at each."""

import asyncio
from pathlib import Path

import pytest
from conftest import Client, until_linked

HERE = Path(__file__).parent


@pytest.fixture
def across(start):
    """Run a scenario with a client at each of two servers."""
    ports = start(HERE), start(HERE)

    def across(scenario):
        async def run():
            async with Client(ports[0]) as ann, Client(ports[1]) as bob:
                await until_linked(ann, bob)
                await scenario(ann, bob)

        asyncio.run(run())

    return across


def test_emit_reaches_the_clients_of_both(across):
    async def scenario(ann, bob):
        await ann.say("say", "good morning")
        assert await ann.hears() == await bob.hears() == ("said", "good morning")
        await bob.say("say_twice", {"a": [1, None, 2.5]}, b"\x00\xff")
        await bob.say("say", "end")
        assert await ann.hears() == ("said", {"a": [1, None, 2.5]}, b"\x00\xff")
        assert await bob.hears_first(("said", "end")) == []

    across(scenario)


def test_emitted_events_arrive_in_order(across):
    async def scenario(ann, bob):
        for number in range(500):
            await ann.io.emit("say", number)
        assert [await bob.hears() for _ in range(500)] == [
            ("said", number) for number in range(500)
        ]

    across(scenario)


def test_room_has_clients_of_both(across):
    async def scenario(ann, bob):
        await ann.say("enter", bob.sid, "kitchen")  # where it is not connected
        await ann.say("say", "dinner", "kitchen")
        assert await bob.hears() == ("said", "dinner")
        await ann.say("say", "to bob alone", bob.sid)
        assert await bob.hears() == ("said", "to bob alone")

        await ann.say("leave", bob.sid, "kitchen")
        await ann.say("say", "dessert", "kitchen")
        await ann.say("enter", bob.sid, "cellar")
        await ann.say("close", "cellar")
        await ann.say("say", "wine", "cellar")
        await ann.say("say", "end")
        assert await bob.hears_first(("said", "end")) == []
        assert await ann.hears_first(("said", "end")) == []

    across(scenario)


def test_callback_is_called_where_it_was_given(across):
    async def scenario(ann, bob):
        await ann.say("quiz", bob.sid, "life")
        assert await ann.hears() == ("answered", ["life? 42", b"\x00\xff"])

    across(scenario)


def test_client_of_the_other_server_is_disconnected(across):
    async def scenario(ann, bob):
        await ann.say("expel", bob.sid)
        async with asyncio.timeout(10):
            await bob.ended.wait()
        await ann.say("say", "still here")
        assert await ann.hears() == ("said", "still here")

    across(scenario)


def test_values_arrive_as_json_would_write_them(across):
    async def scenario(ann, bob):
        await ann.say("paint")
        assert await bob.hears() == await ann.hears() == ("said", {"red": ["red", b"\xff\x00"]})

    across(scenario)


def test_unserializable_value_is_an_error_that_names_its_type(across):
    async def scenario(ann, bob):
        error = await ann.say("fail")
        assert "set" in error

    across(scenario)
