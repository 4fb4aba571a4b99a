"""What both ends report if a link is refused."""

import asyncio
import logging

import pytest
from tcp_stage import DEADLINE_S

from cluster_kit.errors import ConnectError


async def refusal(one, other):
    """Return why ``one`` can't link to ``other``."""
    with pytest.raises(ConnectError) as raised:
        await one.connect(other)
    return raised.value


def told(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def until_told(caplog):
    """Return the first warning."""
    async with asyncio.timeout(DEADLINE_S):
        while not told(caplog):  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)
    return told(caplog)
