"""``ClusterChannelLayer``: a channel layer of Django Channels over the links of a cluster.

A channel that ``new_channel`` made belongs to its process, whose node its name identifies. Messages
to it go to that node. Messages to a group go to all nodes, each of which knows the groups of its
own channels. Both are one stream of messages, so they arrive in the order in which they were sent.
Any other channel belongs to the processes that read it.

Source: https://channels.readthedocs.io/en/latest/channel_layer_spec.html
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from channels.exceptions import ChannelFull, MessageTooLarge
from channels.layers import BaseChannelLayer
from django.core.exceptions import ImproperlyConfigured

from cluster_kit import (
    AsyncTopic,
    ClusterKitError,
    Message,
    Node,
    NotLinkedError,
    NotSentError,
    UnansweredError,
)
from cluster_kit_channels.mailbox import Mailbox, name_of
from cluster_kit_channels.plain import plain_message
from cluster_kit_channels.station import Station, found_at, made_of, mark_of

ASK_S = 5.0  # how long a node that hangs can delay a flush, or a message to a channel that it reads

_OWNED = re.compile(r"\.([0-9a-f]{16})\.[0-9a-f]{8}!")

log = logging.getLogger("cluster_kit_channels")


class ClusterChannelLayer(BaseChannelLayer):  # type: ignore[misc]  # channels has no types
    """A channel layer, for any number of threads and event loops.

    Args:
        cluster: A cluster_kit configuration, or the path of one: the layer runs a separate node in
            this process.
        supervisor: Instead of ``cluster``, the import path of the application's
            ``AsyncSupervisor``, or of a function that returns it, such as
            ``"shop.cluster.supervisor"``; the application starts and stops it.
        topic: Name of the topic; layers with the same name belong together.
        topology: The topology whose links carry the messages; by default the only one that can.
        expiry: Seconds after which an unread message is dropped.
        group_expiry: Seconds after which a channel leaves a group, unless it is added again.
        capacity: How many unread messages a channel holds.
        channel_capacity: The same for channels that match a pattern.
    """

    ChannelFull = ChannelFull
    MessageTooLarge = MessageTooLarge

    def __init__(
        self,
        *,
        cluster: Mapping[str, Any] | str | None = None,
        supervisor: str | None = None,
        topic: str = "channels",
        topology: str | None = None,
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[Any, int] | None = None,
    ) -> None:
        super().__init__(expiry=expiry, capacity=capacity)
        if (cluster is None) == (supervisor is None):
            fault = "CONFIG: expected either 'cluster' or 'supervisor'"
            raise ImproperlyConfigured(f"channel layer: {fault}")
        self.extensions = ["groups", "flush"]
        self.channel_capacity = self.compile_capacities(channel_capacity or {})
        self.group_expiry = group_expiry
        self._monotonic_s = time.monotonic  # tests turn the clock by hand
        self._mail = Mailbox(self.get_capacity, expiry)
        self._groups: dict[str, dict[str, float]] = {}  # when each channel was added
        self._readers: dict[str, AsyncTopic] = {}  # of channels without an owner
        self._flushed: dict[str, None] = {}
        self._changed = threading.Condition()  # guards these three
        self._run = secrets.token_hex(4)
        if cluster is not None:
            make = partial(made_of, cluster)
        else:
            make = partial(found_at, str(supervisor))
        self._station = Station(make, owns=cluster is not None, topic=topic, topology=topology)
        self._station.receive, self._station.answer = self._on_record, self._answer
        self._station.greet, self._station.look_again = self._greet, self._pass_on

    async def close(self) -> None:
        """Leave the cluster, if the node is the layer's own; its next use joins again."""
        for channel in list(self._readers):
            self._end_reading(channel)
        await self._station.close()

    # -- channels ----------------------------------------------------------------------------------

    async def new_channel(self, prefix: str = "specific") -> str:
        """Return the name of a new channel that belongs to this process."""
        await self._station.open()
        return f"{prefix}{self._mark}{secrets.token_hex(8)}"

    @property
    def _mark(self) -> str:
        return f".{mark_of(self._station.local)}.{self._run}!"

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send a message to one channel.

        Raises:
            ChannelFull: The channel holds as many unread messages as it may. A full channel of
                another process may drop the message instead.
            MessageTooLarge: The message is longer than the cluster's messages may be.
            TypeError: A part of the message has an unsupported type, or the name is invalid.
        """
        self.require_valid_channel_name(channel)
        await self._send(channel, plain_message(message))

    async def _send(self, channel: str, message: dict[str, Any]) -> None:
        await self._station.open()
        if name_of(channel).endswith(self._mark):
            has_room = self._keep(name_of(channel), [channel], message)
        elif "!" in channel:
            has_room = await self._send_to_owner(channel, ["send", channel, message])
        else:
            has_room = await self._send_to_any(channel, message)
        if not has_room:
            raise ChannelFull(channel)

    def _keep(self, name: str, channels: list[str], message: dict[str, Any]) -> bool:
        return self._mail.put(name, channels, message, self._monotonic_s())

    async def _send_to_owner(self, channel: str, record: list[Any], timeout_s: float = 0) -> bool:
        """Send to the node that owns ``channel``, if linked; return whether there was room."""
        owner = _OWNED.search(channel)
        for node in await self._station.topic.nodes():
            if owner is not None and mark_of(node) == owner[1]:
                try:
                    with _sized():
                        await self._station.topic.send(node, record, timeout_s=timeout_s)
                except NotLinkedError:  # it has just left
                    return True
                except NotSentError:
                    return False
        return True

    async def _send_to_any(self, channel: str, message: dict[str, Any]) -> bool:
        """Send ``message`` to one of the readers of ``channel``, or keep it until there is one."""
        topic = self._station.topic_of(channel)
        others = [] if self._mail.waits(channel) else list(await topic.nodes(answering=True))
        readers: list[Node | None] = [*others]
        if channel in self._readers or not others:
            readers.append(None)  # this process
        for reader in random.sample(readers, len(readers)):
            if reader is None:
                has_room = self._keep(channel, [channel], message)
            else:
                has_room = await self._hand_over(topic, reader, message)
            if has_room:
                return True
        return False

    async def _hand_over(self, topic: AsyncTopic, reader: Node, message: dict[str, Any]) -> bool:
        try:
            with _sized():
                return bool(await topic.ask(reader, message, timeout_s=ASK_S))
        except NotSentError:
            return False
        except UnansweredError as exc:  # it may have arrived, and must not arrive twice
            log.warning("%s", exc)
            return True

    async def receive(self, channel: str) -> dict[str, Any]:
        """Wait for the next message of a channel, and return it.

        ``name!`` means all channels of this process whose names begin like that.
        """
        self.require_valid_channel_name(channel)
        await self._station.open()
        name = name_of(channel)
        assert "!" not in channel or name.endswith(self._mark), (
            f"channel {channel!r} belongs to another process"
        )
        loop, ready = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop was closed: nothing awaits this
                loop.call_soon_threadsafe(ready.set)

        self._mail.enter(channel, wake)
        is_read = False
        try:
            if "!" not in channel:
                self._read(channel)
            while (message := self._mail.take(channel, self._monotonic_s())) is None:
                await ready.wait()
                ready.clear()
            is_read = True
            return message
        finally:
            if self._mail.leave(channel, wake) and not is_read:
                self._end_reading(channel)

    def _read(self, channel: str) -> None:
        """Announce that ``channel`` is read here, also between two calls of ``receive``."""
        with self._changed:
            if channel not in self._readers:
                topic = self._readers[channel] = self._station.topic_of(channel)
                topic.answer(lambda message: self._keep(channel, [channel], message.data))

    def _end_reading(self, channel: str) -> None:
        with self._changed:
            topic = self._readers.pop(channel, None)
            if topic is not None:
                with suppress(ClusterKitError):  # the application has stopped its supervisor
                    topic.stop_answering()

    async def _pass_on(self) -> None:
        """Send messages that are not read here to readers elsewhere, if there are any by now."""
        for channel in self._mail.names:
            topic = self._station.topic_of(channel)
            while channel not in self._readers and (nodes := await topic.nodes(answering=True)):
                message = self._mail.take(channel, self._monotonic_s())
                if message is None:
                    break
                if not await self._hand_over(topic, random.choice(nodes), message):
                    # behind the others: these channels promise no order
                    self._keep(channel, [channel], message)
                    break

    # -- groups ------------------------------------------------------------------------------------

    async def group_add(self, group: str, channel: str) -> None:
        """Add a channel to a group, or keep it there for another ``group_expiry``."""
        await self._change(group, channel, ["add", [[group, channel, 0.0]]])

    async def group_discard(self, group: str, channel: str) -> None:
        """Remove a channel from a group, if it is there."""
        await self._change(group, channel, ["discard", group, channel])

    async def _change(self, group: str, channel: str, record: list[Any]) -> None:
        """Inform the nodes that deliver to the channel: that of its own process, or all."""
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        await self._station.open()
        if "!" in channel and not name_of(channel).endswith(self._mark):
            if not await self._send_to_owner(channel, record, ASK_S):
                text = "group %s: the node of channel %s was not informed, as it had no room"
                log.warning(text, group, channel)
            return
        self._on_record(self._station.local, record)
        if "!" not in channel:
            await self._station.topic.publish(record)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send a message to all channels of a group; those that are full miss it.

        Raises:
            MessageTooLarge: The message is longer than the cluster's messages may be.
            TypeError: A part of the message has an unsupported type, or the name is invalid.
        """
        self.require_valid_group_name(group)
        message = plain_message(message)
        await self._station.open()
        with _sized():
            await self._station.topic.publish(["group", group, message])
        self._deliver(group, message)
        for channel in self._members(group):
            if "!" not in channel:
                with suppress(ChannelFull):
                    await self._send(channel, message)

    def _members(self, group: str) -> list[str]:
        with self._changed:
            members = self._groups.get(group, {})
            since_s = self._monotonic_s() - self.group_expiry
            for channel in [channel for channel, added_s in members.items() if added_s <= since_s]:
                del members[channel]
            return list(members)

    def _deliver(self, group: str, message: dict[str, Any]) -> None:
        """Keep ``message`` for the members of the group that belong to this process."""
        by_name: dict[str, list[str]] = {}
        for channel in self._members(group):
            if "!" in channel:
                by_name.setdefault(name_of(channel), []).append(channel)
        full = sum(not self._keep(name, channels, message) for name, channels in by_name.items())
        if full:
            log.info("group %s: %d of %d are over capacity", group, full, len(by_name))

    # -- flush -------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Drop all messages and groups, in all nodes."""
        await self._station.open()
        order = secrets.token_hex(8)
        self._on_record(self._station.local, ["flush", order])
        await self._station.topic.publish(["flush", order])  # behind what was sent before
        for node, answer in (await self._station.topic.ask_all(order, timeout_s=ASK_S)).items():
            if answer is not True:
                log.warning("flush: %s has not confirmed it: %s", node, answer)

    # -- what other nodes send ---------------------------------------------------------------------

    def _on_record(self, sender: Node, record: Any) -> None:
        match record:
            case ["send", str(channel), dict(message)]:
                if name_of(channel).endswith(self._mark) and not self._keep(
                    name_of(channel), [channel], message
                ):
                    log.info("channel %s is over capacity", channel)
            case ["group", str(group), dict(message)]:
                self._deliver(group, message)
            case ["add", list(members)]:
                with self._changed:
                    for group, channel, age_s in members:
                        self._groups.setdefault(group, {})[channel] = self._monotonic_s() - age_s
            case ["discard", str(group), str(channel)]:
                with self._changed:
                    self._groups.get(group, {}).pop(channel, None)
                    if not self._groups.get(group, True):
                        del self._groups[group]
            case ["flush", str(order)]:
                self._mail.clear()
                with self._changed:
                    self._groups.clear()
                    self._flushed = {**dict.fromkeys(list(self._flushed)[-99:]), order: None}
                    self._changed.notify_all()
            case _:
                log.warning("%s sent something that is not a channel layer message", sender)

    def _answer(self, message: Message) -> bool:
        """Confirm a flush once it is done."""
        with self._changed:
            return self._changed.wait_for(lambda: message.data in self._flushed, ASK_S)

    async def _greet(self, node: Node) -> None:
        """Send a newly linked node the channels in groups that belong to no process."""
        now_s = self._monotonic_s()
        with self._changed:
            members = [
                [group, channel, now_s - added_s]
                for group, channels in self._groups.items()
                for channel, added_s in channels.items()
                if "!" not in channel
            ]
        if members:
            with suppress(NotSentError):
                await self._station.topic.send(node, ["add", members])


@contextmanager
def _sized() -> Iterator[None]:
    """Replace the error for a message that is too long by that of the specification."""
    try:
        yield
    except ValueError as exc:
        raise MessageTooLarge(str(exc)) from exc
