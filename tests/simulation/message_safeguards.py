"""The safeguards of messages: how to switch each one off, and what must then fail."""

import message_families as families
from hunting import Family, Safeguard

from cluster_kit.abc import MAX_PAYLOAD_BYTES
from cluster_kit.errors import NotSentError
from cluster_kit.testing.simulation.invariants.findings import Law
from cluster_kit.topics import outcomes
from cluster_kit.topics.lanes import Lane
from cluster_kit.topics.peers import TopicPeers
from cluster_kit.wire import topics as wire
from cluster_kit.worker.forwarding import Forwarding

SMALL_TRANSIT = {
    "topics.lanes:MAX_TRANSIT_BYTES": 3 * MAX_PAYLOAD_BYTES,
    "topics.control:RECEIVED_STEP_BYTES": 10_000,
}


def nothing(*_, **__):
    return None


def always(value):
    return lambda *_, **__: value


_ENCODE = wire.encode


def repeat_messages(records):
    """Send every message of a payload twice, if there is room."""
    twice = [
        each
        for record in records
        for each in ([record] * 2 if isinstance(record, wire.Data) else [record])
    ]
    return _ENCODE(twice if len(_ENCODE(records)) * 2 < MAX_PAYLOAD_BYTES else records)


def take_whatever_comes(self, link, said):
    stream = self._opened_peer(link).incoming.stream(said.stream)
    if stream is not None:
        if said.number > stream.last + 1:
            self._record_loss(link, stream, said.number - 1)
        stream.record_arrival(said.number, len(said.data))
        self._local.outcomes.append(
            outcomes.Arrived(stream, link.node, stream.topic, said.number, said.data)
        )


def put_in_front(self, lane, record, size):
    self.queued += size
    lane.items.appendleft((record, size))
    if not lane.is_queued:
        lane.is_queued = True
        self._turns.append(lane)


def greet_with_what_was_at_first(self, greeting):
    self._greetings += 1


_CUT = Lane.next_fragment


def cut_all_alike(self, room, slots):
    part = _CUT(self, room, slots)
    return part and wire.Fragment(0, part.last, part.data)


_UP = Forwarding.up


def forget_what_was_told(self, node, greeting, told):
    _UP(self, node, greeting, self.greeting)


_PART = TopicPeers.link_down


def part_without_doubt(self, peer, now_s):
    _PART(self, peer, None)


def forget_who_is_away(self, peer, now_s):
    _PART(self, peer, now_s)
    del self._away[peer], self._known[peer.node.name, peer.run]
    self._doubts.pop(peer, None)


def leave_the_greeting_for_later(self, connection):
    if connection.carries_messages(self.us):
        connection.sent_greeting = b""


MESSAGE_SAFEGUARDS = [
    # at most once, in order
    Safeguard(
        name="a repeated message is recognised by its number",
        off={"topics.dispatcher:Dispatcher._on_data": take_whatever_comes},
        family=Family(make=families.talk, scaled={"wire.topics:encode": repeat_messages}),
        finds=Law.MESSAGES,
    ),
    Safeguard(
        name="messages are sent in order",
        off={"topics.lanes:Lanes.put": put_in_front},
        family=Family(make=families.wait_for_room),
        finds=Law.REACH,
    ),
    # loss is reported
    Safeguard(
        name="missing numbers are a gap",
        off={"topics.incoming:IncomingStreams.lost_before": always(0)},
        family=Family(make=families.stalled),
        finds=Law.GAPS,
    ),
    Safeguard(
        name="a restored link begins with what was missed",
        off={"topics.control:Control.announce_missed": nothing},
        family=Family(make=families.talk_until_cut),
        finds=Law.GAPS,
    ),
    Safeguard(
        name="numbering continues when a worker is replaced",
        off={"topics.peers:TopicPeers.link_down": forget_who_is_away},
        family=Family(make=families.talk_until_worker_dies),
        finds=Law.GAPS,
    ),
    Safeguard(
        name="a message in doubt is reported lost in the end",
        off={"topics.peers:DOUBT_S": 1e9},
        family=Family(make=families.last_words),
        finds=Law.GAPS,
    ),
    Safeguard(
        name="the last messages of an earlier run are in doubt",
        off={
            "topics.peers:TopicPeers.link_down": part_without_doubt,
            "topics.peers:TopicPeers.resolve_doubt": nothing,
        },
        family=Family(make=families.replaced),
        finds=Law.GAPS,
    ),
    Safeguard(
        name="skipped messages are reported once there is room",
        off={"topics.link:TopicLink._announce_skipped": nothing},
        family=Family(make=families.stalled),
        finds=Law.GAPS,
    ),
    Safeguard(
        name="a goodbye leaves no doubt",
        off={"topics.dispatcher:Dispatcher._on_closing": nothing},
        family=Family(make=families.goodbye),
        finds=Law.GAPS,
    ),
    # up means reachable
    Safeguard(
        name="greetings are exchanged before a link is up",
        off={"connectors.tcp.steps:LinkSteps._greet": leave_the_greeting_for_later},
        family=Family(make=families.talk),
        finds=Law.REACH,
    ),
    Safeguard(
        name="a new interest is announced",
        off={"topics.control:Control.announce_interest": nothing},
        family=Family(make=families.interests),
        finds=Law.REACH,
    ),
    Safeguard(
        name="an interest that is new since the handshake is announced",
        off={"topics.control:Control.announce_interests": nothing},
        family=Family(make=families.listen_amid_handshakes),
        finds=Law.REACH,
    ),
    Safeguard(
        name="peers get the current greeting",
        off={
            "worker.forwarding:Forwarding.greet": greet_with_what_was_at_first,
            "worker.forwarding:Forwarding.up": forget_what_was_told,
        },
        family=Family(make=families.interests_of_newcomer),
        finds=Law.REACH,
    ),
    Safeguard(
        name="parts of several messages are kept apart",
        off={"topics.lanes:Lane.next_fragment": cut_all_alike},
        family=Family(make=families.long_ones),
        finds=Law.REACH,
    ),
    # room
    Safeguard(
        name="senders stay within the window",
        off={"topics.outgoing:OutgoingStream.has_room": always(True)},
        family=Family(make=families.stalled),
        finds=Law.ROOM,
    ),
    Safeguard(
        name="transit is bounded",
        off={"topics.lanes:Lanes.can_send": property(lambda self: bool(self._turns))},
        family=Family(make=families.bulky, scaled=SMALL_TRANSIT),
        finds=Law.ROOM,
    ),
    Safeguard(
        name="arrivals are acknowledged",
        off={"topics.lanes:Lanes.note_received": nothing},
        family=Family(make=families.bulky, scaled=SMALL_TRANSIT),
        finds=Law.GAPS,
    ),
    Safeguard(
        name="reading gives credit",
        off={"topics.link:TopicLink.add_credit": nothing},
        family=Family(make=families.wait_for_room),
        finds=Law.QUESTIONS,
    ),
    Safeguard(
        name="forwarded parcels make room for more",
        off={"worker.forwarding:Forwarding._take_forwarded": always(0)},
        family=Family(make=families.talk),
        finds=Law.GAPS,
    ),
    # questions
    Safeguard(
        name="a question that was asked may have run when its link breaks",
        off={"topics.link:UnansweredError": NotSentError},
        family=Family(make=families.asked_amid_cuts),
        finds=Law.QUESTIONS,
    ),
    Safeguard(
        name="a question that was sent can't be withdrawn",
        off={"topics.lanes:Lanes.take_back": always(True)},
        family=Family(make=families.impatient),
        finds=Law.QUESTIONS,
    ),
]
