"""The README's server and configuration, verbatim but for the cluster's name."""

import asyncio

from conftest import Client, block, until_heard

from cluster_kit import AsyncSupervisor
from cluster_kit_socketio import ClusterManager


def test_servers_of_the_readme_share_their_clients(start, tmp_path, monkeypatch):
    (tmp_path / "server.py").write_text(block("python"))
    ports = start(tmp_path), start(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", "0")
    without_clients = {"AsyncSupervisor": AsyncSupervisor, "ClusterManager": ClusterManager}
    exec(block("python", 1), without_clients)

    async def scenario():
        async with Client(ports[0]) as ann, Client(ports[1]) as bob:
            await until_heard(
                lambda: ann.io.emit("say", "good morning"), ("said", "good morning"), bob
            )
            await until_heard(
                lambda: without_clients["announce"]("news"), ("said", "news"), ann, bob
            )

    asyncio.run(scenario())
