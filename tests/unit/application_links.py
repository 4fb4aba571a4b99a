"""Functions of an application that opens links itself: what each was called with, and what it does
then.
"""

import asyncio
import threading

from cluster_kit import IGNORED, ConnectError, ConnectReason, Node

calls = []
listed = []
refuses_to_close = set()
released = threading.Event()
listing_threads = set()

ANSWERS = {"no": False, "ignored": IGNORED, "text": "ignored", "true": True, "odd": 1.5}


def connect(node):
    calls.append(("connect", str(node)))
    basename = node.name.partition("@")[0]
    if basename == "raises":
        raise OSError("no such line")
    if basename == "stops":
        raise StopIteration
    if basename == "exits":
        raise SystemExit(3)
    if basename == "refused":
        raise ConnectError("busy", node=node.key, reason=ConnectReason.REFUSED)
    if basename == "hangs":
        released.wait(20)
    return ANSWERS.get(basename)


async def connect_async(node):
    await asyncio.sleep(0)
    return connect(node)


async def connect_never(node):
    try:
        await asyncio.Event().wait()
    finally:
        calls.append(("cancelled", str(node)))


def with_arguments(first, second, node):
    calls.append((first, second, str(node)))


def disconnect(node):
    calls.append(("disconnect", str(node)))
    return node.name not in refuses_to_close


def list_nodes():
    calls.append(("list",))
    if "raise" in listed:
        raise OSError("no list today")
    return list(listed)


async def list_oddly():
    calls.append(("list",))
    raise (SystemExit, asyncio.CancelledError, GeneratorExit)[len(calls) % 3]


def list_one_by_one():
    listing_threads.add(threading.current_thread())
    yield from listed


def disconnect_late(node):
    calls.append(("disconnect", str(node)))
    released.wait(20)


def list_as_text():
    return "web@127.0.0.1"


NO_FUNCTION = 3
NODE = Node(name="made@127.0.0.1")
