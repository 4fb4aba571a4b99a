"""A store with expiring keys as a TCP server: one JSON request and answer per connection."""

import asyncio
import json
import threading
import time

from cluster_kit.testing.leaks import close_server


class KeyServer:
    """Serves in a thread; ``stop`` and ``start`` restart it on its port, without its data."""

    def __init__(self):
        self.keys = {}
        self.port = 0
        self.server = None
        self.writers = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="key server", daemon=True)

    def __enter__(self):
        self.thread.start()
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def start(self):
        self.keys.clear()
        self.port = self._call(self._serve())

    def stop(self):
        if self.server is not None:
            self._call(self._close())

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    async def _serve(self):
        self.server = await asyncio.start_server(self._answer, "127.0.0.1", self.port)
        return self.server.sockets[0].getsockname()[1]

    async def _close(self):
        await close_server(self.server)
        for writer in self.writers:
            writer.transport.abort()
        await self.server.wait_closed()
        self.server = None

    async def _answer(self, reader, writer):
        self.writers.add(writer)
        # it came while the server stopped, from one who may never ask
        if self.server is None or not self.server.is_serving():
            writer.transport.abort()
        try:
            question = json.loads(await reader.readline())
            answer = self._put(**question) if "key" in question else self._values(**question)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError):  # a client that went away
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    def _put(self, key, value, ttl_s):
        if value is None:
            self.keys.pop(key, None)
        else:
            self.keys[key] = (value, time.monotonic() + ttl_s)

    def _values(self, prefix):
        now_s = time.monotonic()
        return [
            value
            for key, (value, end_s) in sorted(self.keys.items())
            if key.startswith(prefix) and end_s > now_s
        ]


async def ask(port, **question):
    """Send a request, and return the answer; ``OSError`` if there is none within a second."""
    async with asyncio.timeout(1.0):
        return await _ask(port, question)


async def _ask(port, question):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(json.dumps(question).encode() + b"\n")
        await writer.drain()
        line = await reader.readline()
    finally:
        writer.close()
    if not line:
        raise ConnectionResetError("the server hung up")
    return json.loads(line)
