"""Connectors that break one rule of greetings or messages each, and must fail at ``breaks`` only.

Collected by ``test_offending_connectors`` only, in processes of its own.
"""

import asyncio

from memory_connector import Memory, breaks_in

breaks = breaks_in(globals())


@breaks(
    "test_a_link_without_messages_has_no_greeting", "test_each_handshake_sends_the_current_greeting"
)
class TakesAnEmptyGreetingForNone(Memory):
    def greeting(self):
        return super().greeting() or None


@breaks("test_both_ends_greet_before_the_link_is_up", "test_the_longest_greeting_gets_through")
class GreetsInText(Memory):
    def greeting(self):
        return super().greeting().decode(errors="ignore").encode()


@breaks(
    "test_both_ends_greet_before_the_link_is_up",
    "test_the_longest_greeting_gets_through",
    "test_each_handshake_sends_the_current_greeting",
)
class DoesNotKnowWhatItHasSaid(Memory):
    def report_up(self, peer):
        self.links.up(peer.local, greeting=peer.greeting())


@breaks("test_the_longest_greeting_gets_through")
class GreetsBriefly(Memory):
    def greeting(self):
        return super().greeting()[:4096]


@breaks("test_each_handshake_sends_the_current_greeting")
class GreetsAsItDidFirst(Memory):
    first = None

    def greeting(self):
        self.first = self.first or super().greeting()
        return self.first


@breaks("test_messages_arrive_whole_and_in_order")
class CutsLongMessages(Memory):
    def hear(self, peer, payload):
        super().hear(peer, payload[:50_000])


@breaks("test_messages_arrive_whole_and_in_order")
class JoinsMessages(Memory):
    rest = b""

    def hear(self, peer, payload):
        if len(payload) == 1:
            self.rest = payload
        else:
            super().hear(peer, self.rest + payload)
            self.rest = b""


@breaks("test_messages_arrive_whole_and_in_order")
class BringsALongMessageTwice(Memory):
    def hear(self, peer, payload):
        super().hear(peer, payload)
        if len(payload) > 50_000 and payload[:1] == bytes([49]):
            super().hear(peer, payload)


@breaks("test_messages_arrive_whole_and_in_order")
class ShortOnesOvertake(Memory):
    def hear(self, peer, payload):
        if len(payload) > 50_000:
            asyncio.get_running_loop().call_soon(self.links.message, peer.local, payload)
        else:
            super().hear(peer, payload)


@breaks("test_messages_come_between_up_and_down")
class BringsMessagesWhenTheLinkIsDown(Memory):
    def hear(self, peer, payload):
        asyncio.get_running_loop().call_soon(self.links.message, peer.local, payload)


@breaks("test_send_without_a_link_is_a_connect_error")
class SendsToAnybody(Memory):
    async def send(self, node, payload):
        if node.key in self.linked:
            await super().send(node, payload)


@breaks("test_send_without_a_link_is_a_connect_error")
class SendsToAnotherRun(Memory):
    def is_meant(self, node, peer):
        return True
