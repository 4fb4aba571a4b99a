"""Servers in separate processes, and clients of them."""

import asyncio
import re
import secrets
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import socketio

README = Path(__file__).parents[1] / "README.md"


def block(language, number=0):
    """Return a block of the README."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)[
        number
    ]


@pytest.fixture
def cluster_file(tmp_path):
    """The README's configuration, for a cluster of this test alone."""
    path = tmp_path / "cluster.yaml"
    path.write_text(block("yaml").replace("cluster: shop", f"cluster: shop-{secrets.token_hex(4)}"))
    return path


@pytest.fixture
def start(tmp_path, cluster_file, monkeypatch):
    """Start ``module:app`` of a directory with uvicorn; return its port."""
    for variable in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("CLUSTER", str(cluster_file))
    servers = []

    def start(directory, module="server"):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))
        log = (tmp_path / f"{port}.log").open("w+")
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "--port",
            str(port),
            "--app-dir",
            str(directory),
            f"{module}:app",
        ]
        servers.append((subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log), log))
        deadline_s = time.monotonic() + 30
        while not answers(port):
            assert servers[-1][0].poll() is None, Path(log.name).read_text()
            assert time.monotonic() < deadline_s, Path(log.name).read_text()
        return port

    yield start
    for server, _ in servers:
        server.terminate()
    for server, log in servers:
        server.wait(20)
        log.seek(0)
        text = log.read()
        log.close()
        assert not re.search(
            r"^Traceback|ERROR|exited unexpectedly|never awaited", text, re.MULTILINE
        ), text


def answers(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Client:
    """A client of the server on ``port`` that remembers what it received."""

    def __init__(self, port):
        self._url = f"http://127.0.0.1:{port}"
        self.io = socketio.AsyncClient()
        self.io.on("*", self._hear)
        self.io.on("quiz", lambda question: (f"{question}? 42", b"\x00\xff"))
        self.io.on("disconnect", self._end)
        self._heard = asyncio.Queue()
        self.ended = asyncio.Event()

    def _hear(self, event, *data):
        self._heard.put_nowait((event, *data))

    def _end(self, *_):
        self.ended.set()

    async def __aenter__(self):
        await self.io.connect(self._url, transports=["websocket"])
        return self

    async def __aexit__(self, *_):
        await self.io.disconnect()

    @property
    def sid(self):
        return self.io.get_sid()

    async def say(self, event, *data):
        """Emit, and wait until the server is through with it."""
        return await self.io.call(event, data)

    async def hears(self, within_s=10):
        async with asyncio.timeout(within_s):
            return await self._heard.get()

    async def hears_first(self, sentinel, within_s=10):
        """Return all that it received before ``sentinel``."""
        heard = []
        while (event := await self.hears(within_s)) != sentinel:
            heard.append(event)
        return heard


async def until_linked(*clients):
    """Wait until the servers of all of them receive from each other."""
    async with asyncio.timeout(20):
        for client in clients:
            while not await client.say("linked", len(clients) - 1):
                with suppress(TimeoutError):  # which is a pause, not a condition
                    await asyncio.wait_for(client.ended.wait(), 0.05)


async def until_heard(say, event, *clients):
    """Repeat the message until all have received it: a link that is just up may miss one."""
    missing = set(clients)
    async with asyncio.timeout(30):
        while missing:
            await say()
            for client in list(missing):
                with suppress(TimeoutError):
                    await client.hears_first(event, within_s=0.5)
                    missing.discard(client)
