"""Two servers in separate processes, uvicorn and Daphne, with a websocket at each."""

import asyncio
import json
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

SITE = Path(__file__).parent / "site"
UVICORN = (sys.executable, "-m", "uvicorn", "shop_asgi:application", "--port")
DAPHNE = (sys.executable, "-m", "daphne", "shop_asgi:application", "-p")


class Server:
    """A process that serves the site."""

    def __init__(self, command, log):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._log = log
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [*command, str(self.port)], cwd=SITE, stdout=out, stderr=out
            )
        deadline_s = time.monotonic() + 40
        while not self._answers():
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()

    def _answers(self):
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
        log = self._log.read_text()
        assert not re.search(r"^Traceback|ERROR|never awaited", log, re.MULTILINE), log


@pytest.fixture
def start(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP", f"shop-{secrets.token_hex(4)}")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    servers = []

    def start(command):
        servers.append(Server(command, tmp_path / f"{len(servers)}.log"))
        return servers[-1]

    yield start
    for server in servers:
        server.end()


class Client:
    """A websocket to a server, which sends its channel's name first."""

    def __init__(self, server):
        self._connecting = connect(f"ws://127.0.0.1:{server.port}/", proxy=None)

    async def __aenter__(self):
        self._socket = await self._connecting.__aenter__()
        self.channel = (await self.hears(within_s=30))["you"]
        return self

    async def __aexit__(self, *arguments):
        await self._connecting.__aexit__(*arguments)

    async def say(self, to, text):
        await self._socket.send(json.dumps([to, text]))

    async def hears(self, within_s=10):
        async with asyncio.timeout(within_s):
            return json.loads(await self._socket.recv())

    async def hears_first(self, text):
        """Return what it received before ``text``."""
        heard = []
        while (said := (await self.hears())["said"]) != text:
            heard.append(said)
        return heard


async def until_linked(ann, bob):
    """Repeat something until the other receives it, and both are done with it."""
    async with asyncio.timeout(30):
        for speaker, listener in ((ann, bob), (bob, ann)):
            while True:
                await speaker.say(listener.channel, "linked?")
                with suppress(TimeoutError):
                    await listener.hears(within_s=0.5)
                    break
    for client in (ann, bob):
        await client.say(client.channel, "linked")
        await client.hears_first("linked")


@pytest.mark.parametrize("commands", [(UVICORN, DAPHNE)], ids=["uvicorn and daphne"])
def test_messages_sent_at_one_server_reach_the_other(start, commands):
    one, other = (start(command) for command in commands)

    async def scenario():
        async with Client(one) as ann, Client(other) as bob:
            await until_linked(ann, bob)
            for speaker in (ann, bob):
                for number in range(100):
                    await speaker.say("all", number)
                await speaker.say("all", "end")
                assert (
                    await ann.hears_first("end") == await bob.hears_first("end") == list(range(100))
                )
            await bob.say(ann.channel, "to ann alone")
            assert await ann.hears_first("to ann alone") == []
            await ann.say("thread", "from a thread")
            for each in (ann, bob):
                assert await each.hears_first("from a thread") == []

            other.process.kill()
            await ann.say(bob.channel, "nobody hears this")
            await ann.say("all", "still here")
            assert await ann.hears_first("still here") == []
            replacement = start(commands[1])
            async with Client(replacement) as dan:
                await until_linked(ann, dan)
                await dan.say("all", "welcome")
                assert await ann.hears_first("welcome") == await dan.hears_first("welcome") == []

    asyncio.run(scenario())
