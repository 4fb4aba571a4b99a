"""A Socket.IO server with an event for each operation across servers; tests run it with uvicorn."""

import os
from enum import StrEnum
from pathlib import Path

import socketio

from cluster_kit import AsyncSupervisor
from cluster_kit_socketio import ClusterManager


class Colour(StrEnum):
    RED = "red"


cluster = AsyncSupervisor.from_file(os.environ["CLUSTER"])
server = socketio.AsyncServer(async_mode="asgi", client_manager=ClusterManager(cluster))
app = socketio.ASGIApp(
    server,
    static_files={"/": str(Path(__file__).with_name("page.html"))},
    on_startup=cluster.start,
    on_shutdown=cluster.stop,
)


@server.event
async def linked(sid, nodes):
    """Answer when this server listens, and sees that so many others do."""
    topic = cluster.topic("socketio")
    return len(await topic.nodes()) >= nodes


@server.event
async def say(sid, text, room=None):
    await server.emit("said", text, room=room)


@server.event
async def say_twice(sid, first, second):
    await server.emit("said", (first, second), skip_sid=sid)


@server.event
async def paint(sid):
    await server.emit("said", {Colour.RED: [Colour.RED, b"\xff\x00"]})


@server.event
async def enter(sid, other, room):
    await server.enter_room(other, room)


@server.event
async def leave(sid, other, room):
    await server.leave_room(other, room)


@server.event
async def close(sid, room):
    await server.close_room(room)


@server.event
async def quiz(sid, other, question):
    await server.emit("quiz", question, to=other, callback=lambda *answer: answered(sid, answer))


async def answered(sid, answer):
    await server.emit("answered", list(answer), to=sid)


@server.event
async def expel(sid, other):
    await server.disconnect(other)


@server.event
async def fail(sid):
    try:
        await server.emit("said", {"at": [{1, 2}]})
    except TypeError as exc:
        return str(exc)
