"""Layers of a cluster of this test alone."""

import asyncio
import logging
import secrets

import pytest

from cluster_kit_channels import ClusterChannelLayer

WITHIN_S = 10


@pytest.fixture
def cluster():
    """Return the configuration of a node."""
    fence = secrets.token_hex(4)

    def cluster(name):
        return {
            "cluster": fence,
            "node": f"{name}@127.0.0.1",
            "topologies": {"lan": {"strategy": "gossip"}},
        }

    return cluster


@pytest.fixture
def layer(cluster):
    """Make a layer with a separate node."""
    made = []

    def layer(name="ann", **options):
        made.append(ClusterChannelLayer(cluster=cluster(name), **options))
        return made[-1]

    yield layer
    for each in made:
        asyncio.run(each.close())


@pytest.fixture(autouse=True)
def _no_exception_is_logged(caplog):
    yield
    assert not [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]


async def read(layer, channel):
    async with asyncio.timeout(WITHIN_S):
        return await layer.receive(channel)


async def read_all(layer, channel):
    """Send a last message on a channel of this process; return the numbers of all up to it."""
    await layer.send(channel, {"n": "end"})
    numbers = []
    while (message := await read(layer, channel))["n"] != "end":
        numbers.append(message["n"])
    return numbers


async def is_empty(layer, channel):
    try:
        async with asyncio.timeout(0.3):
            return not await layer.receive(channel)
    except TimeoutError:
        return True


async def until(condition):
    """Wait until an awaited condition holds that no event announces."""
    async with asyncio.timeout(2 * WITHIN_S):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
