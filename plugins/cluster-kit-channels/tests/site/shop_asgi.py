"""A chat: messages reach the clients of a room, or one that is named."""

import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "shop_settings"
django.setup()

from asgiref.sync import sync_to_async  # noqa: E402
from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from channels.layers import get_channel_layer  # noqa: E402
from channels.routing import ProtocolTypeRouter  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402


class Chat(AsyncJsonWebsocketConsumer):
    groups = ("chat",)

    async def connect(self):
        await super().connect()
        await self.send_json({"you": self.channel_name})

    async def receive_json(self, content):
        to, text = content
        if to == "all":
            await self.channel_layer.group_send("chat", {"type": "said", "text": text})
        elif to == "thread":
            await sync_to_async(say_from_a_thread)(text)
        else:
            await self.channel_layer.send(to, {"type": "said", "text": text})

    async def said(self, event):
        await self.send_json({"said": event["text"]})


def say_from_a_thread(text):
    from asgiref.sync import async_to_sync

    async_to_sync(get_channel_layer().group_send)("chat", {"type": "said", "text": text})


application = ProtocolTypeRouter({"http": get_asgi_application(), "websocket": Chat.as_asgi()})
