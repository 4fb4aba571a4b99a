"""A process without descriptors for new connections keeps its links, and accepts once it can."""

import asyncio
import resource
import socket
from contextlib import ExitStack, suppress

import psutil
from tcp_stage import Local, Remote
from waiting import run

from cluster_kit.node import split_address

LIMIT = 40
FLOOD = 200
QUICK = {"heartbeat_s": 0.25, "silent_s": 5.0}


async def flood(stack, node):
    """Open connections that say nothing, and return them."""
    loop = asyncio.get_running_loop()
    socks = [stack.enter_context(socket.socket()) for _ in range(FLOOD)]
    for sock in socks:
        sock.setblocking(False)
        await loop.sock_connect(sock, split_address(node.address))
    return socks


async def shut_out(sock):
    with suppress(ConnectionResetError):
        assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""


def test_process_without_descriptors_keeps_its_links_and_stays_calm_until_it_has_some():
    async def scenario():
        async with Remote.start("bob", **QUICK) as bob, Local("ann", **QUICK) as ann:
            assert await bob.connect(ann) is None
            resource.prlimit(bob.process.pid, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
            spent = psutil.Process(bob.process.pid).cpu_times()
            with ExitStack() as stack:
                socks = await flood(stack, bob.node)
                assert "ulimit -n" in (await bob.next("log"))["text"]
                since_s = asyncio.get_running_loop().time()
                await shut_out(socks[0])  # at the end of the time for a handshake
                for _ in range(4):
                    await bob.next("rtt")
                passed_s = asyncio.get_running_loop().time() - since_s
            now = psutil.Process(bob.process.pid).cpu_times()
            assert now.user + now.system - spent.user - spent.system < passed_s / 3
            async with Local("cat", **QUICK) as cat:
                await cat.link(bob)
            assert bob.reported("log") == []
            assert ann.history(bob) == ["up"]

    run(scenario)
