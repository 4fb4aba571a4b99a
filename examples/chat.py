"""A chat that reaches the browsers of all nodes: an ASGI app on each, only the cluster between.

What a browser says, its node publishes to all others on the topic ``chat``::

    pip install starlette uvicorn
    python examples/chat.py a 8001
    python examples/chat.py b 8002

Open http://127.0.0.1:8001 and http://127.0.0.1:8002, and talk. Stop one node, start a third: the
others need no notice.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from html import escape

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from cluster_kit import AsyncSupervisor, Gap, Message

PAGE = """<!doctype html><meta charset="utf-8"><title>{name}</title>
<h1>{name}</h1><ul></ul><form><input autofocus><button>say</button></form>
<script>
const [list, form, input] = ["ul", "form", "input"].map(each => document.querySelector(each));
new EventSource("/messages").onmessage = event => {{
  const item = document.createElement("li");
  item.textContent = JSON.parse(event.data);  // as text: what others say is never part of the page
  list.append(item);
}};
form.onsubmit = event => {{
  event.preventDefault();
  fetch("/say", {{method: "POST", body: input.value}});
  input.value = "";
}};
</script>"""
LONGEST = 1000


class Chat:
    """One node's browsers, and its way to the other nodes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.leaving = False
        self._browsers: set[asyncio.Queue[str]] = set()
        config = {
            "node": f"{name}@127.0.0.1",
            "cluster": "chat-example",
            "topologies": {"lan": {"strategy": "gossip"}},
        }
        self._cluster = AsyncSupervisor(config)
        self._topic = self._cluster.topic("chat")

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Be in the cluster for as long as the app serves."""
        async with self._cluster:
            self._topic.subscribe(self._hear)
            yield

    async def page(self, request: Request) -> Response:
        """What a browser shows."""
        return HTMLResponse(PAGE.format(name=escape(self.name)))

    async def say(self, request: Request) -> Response:
        """Publish what a browser of ours says to our other browsers and to the other nodes."""
        message = f"{self.name}: {await text_of(request)}"
        self._show(message)
        await self._topic.publish(message)
        return Response(status_code=204)

    def _hear(self, item: Message | Gap) -> None:
        """Another node publishes something, or something that it did is lost."""
        match item:
            case Message(data=str(message)):
                self._show(message)
            case Gap(sender=sender):
                self._show(f"(some of what was said at {sender} is missing here)")

    def _show(self, message: str) -> None:
        for queue in self._browsers:
            # a browser that doesn't read misses something; nothing waits for it
            with suppress(asyncio.QueueFull):
                queue.put_nowait(message)

    async def messages(self, request: Request) -> Response:
        """What is said from now on, as server-sent events."""
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def _stream(self) -> AsyncIterator[str]:
        queue: asyncio.Queue[str] = asyncio.Queue(100)
        self._browsers.add(queue)
        try:
            yield ": welcome\n\n"
            while not self.leaving:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        message = await queue.get()
                    yield f"data: {json.dumps(message)}\n\n"
        finally:
            self._browsers.discard(queue)


async def text_of(request: Request) -> str:
    return (await request.body()).decode(errors="replace")[:LONGEST]


class Server(uvicorn.Server):
    """Ends the streams as soon as it is stopping, as it waits for them."""

    def __init__(self, config: uvicorn.Config, chat: Chat) -> None:
        super().__init__(config)
        self._chat = chat

    def handle_exit(self, sig: int, frame: object) -> None:
        """Called for SIGINT and SIGTERM."""
        self._chat.leaving = True
        super().handle_exit(sig, frame)


def main(name: str, port: int) -> None:
    chat = Chat(name)
    routes = [
        Route("/", chat.page),
        Route("/messages", chat.messages),
        Route("/say", chat.say, methods=["POST"]),
    ]
    app = Starlette(routes=routes, lifespan=chat.lifespan)
    print(f"{name}: http://127.0.0.1:{port}", flush=True)
    Server(uvicorn.Config(app, port=port, log_level="warning"), chat).run()


with suppress(KeyboardInterrupt):
    main(sys.argv[1], int(sys.argv[2]))
