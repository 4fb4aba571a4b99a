"""Whatever bytes a name server sends, a look-up returns a reply that makes sense."""

import asyncio

import dns.message
import dns.nameserver
import dns.query
import dns.rrset
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.abc import Answer
from cluster_kit.node import Node
from cluster_kit.strategies.dns import server
from cluster_kit.strategies.dns.replies import (
    DnsReply,
    RecordType,
    ReplyStatus,
    by_family,
    nodes_of_services,
    targets_of,
)

NAME = "web.shop.test."
RECORDS = {
    RecordType.A: ["127.0.0.2", "127.0.0.3"],
    RecordType.AAAA: ["::2"],
    RecordType.SRV: ["0 5 4370 web-0.shop.test.", "1 5 4371 web-1.shop.test."],
}
HEADER_BYTES = 12

changes = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=20)


class Mutilating(dns.nameserver.Nameserver):
    """Answers with bytes changed, after the header too, or cut off."""

    def __init__(self, kind, changes, length):
        self._kind, self._changes, self._length = kind, changes, length

    def __str__(self):
        return "Do53:127.0.0.1@53"

    def is_always_max_size(self):
        return False

    def answer_nameserver(self):
        return "127.0.0.1"

    def answer_port(self):
        return 53

    async def async_query(self, request, *_, **__):
        response = dns.message.make_response(request, recursion_available=True)
        response.answer.append(
            dns.rrset.from_text(NAME, 30, "IN", self._kind, *RECORDS[self._kind])
        )
        response.additional.append(
            dns.rrset.from_text("web-0.shop.test.", 30, "IN", "A", "127.0.0.2")
        )
        wire = bytearray(response.to_wire())
        for place, value in self._changes:
            if place < len(wire):
                wire[place] = value
        reply = dns.message.from_wire(bytes(wire[: self._length]), raise_on_truncation=True)
        if not request.is_response(reply):
            raise dns.query.BadResponse  # as the socket's reader does
        return reply


def ask(kind, changes, length):
    resolver = server.ServerResolver([("127.0.0.1", 53)])
    resolver._resolver.nameservers = [Mutilating(kind, changes, length)]
    return asyncio.run(resolver.ask(NAME, kind))


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(RecordType), changes=changes, length=st.integers(HEADER_BYTES, 400))
def test_any_bytes_give_a_reply_that_makes_sense(kind, changes, length):
    reply = ask(kind, changes, length)
    assert (reply.status is ReplyStatus.FOUND) == bool(reply.addresses or reply.services)
    assert reply.reason or reply.status is ReplyStatus.FOUND
    if kind is RecordType.SRV:
        located = dict.fromkeys(
            targets_of(reply), DnsReply(status=ReplyStatus.FOUND, addresses=("127.0.0.2",))
        )
        assert isinstance(nodes_of_services(NAME, reply, located, basename="web"), Answer)
    else:
        assert by_family(NAME, {kind: reply}, lambda address: Node(address=f"[{address}]:1"))


def test_intact_reply_is_understood():
    assert ask(RecordType.A, [], 400).addresses == ("127.0.0.2", "127.0.0.3")
