"""The message protocol: what the applications of two linked nodes say to each other.

It is sans-I/O: payloads and calls go in, payloads and outcomes come out. The records are defined in
``cluster_kit.wire.topics``; the same protocol, byte by byte, is in ``docs/protocol.md``.

**Promise.** A message arrives at most once, and in order per sender and topic. Nothing is
retransmitted. Every loss is reported at its place in the stream: how many messages are missing, or
``None`` if that can't be known.

**Files.**

================  =================================================================================
``messenger``     ``Messenger``, the API: what the application calls
``link``          what one link has to send, and what its peer has advertised
``control``       the records of a link that need no room: opening, interests, credit
``lanes``         the send queue of a link: fair queueing, fragments, transit
``dispatcher``    what each record that arrives does
``incoming``      the topics listened to, and the receiving end of their streams
``outgoing``      the sending end of a stream
``questions``     the open questions of a link
``peers``         what is remembered of a peer while there is no link to it
``local``         the state that all links of this application share
``outcomes``      what a ``Messenger`` reports
``data``          the encoding of the application's data
================  =================================================================================

**The path of a message.** A ``Message`` travels as a ``Data`` record; records are packed into
payloads; a payload is a ``Parcel`` in a pipe (``pipe/channel.py``), and on the link a ``Payload``
frame (``wire/frames.py``). In the sender's application, in the thread that publishes:

1. ``supervisor/topics/topic.py``: ``Topic.publish`` encodes the data, and
   ``Switchboard.publish`` takes the lock.
2. ``Messenger.publish`` calls ``TopicLink.publish`` for each peer that listens. That gives the
   message its number (``OutgoingStream.next_number``) and queues a ``Data`` (``Lanes.put``).
3. ``Switchboard._pump`` packs what is queued into payloads (``TopicLink.next_payload``) and writes
   them to the worker's pipe (``supervisor/line.py``: ``WorkerLine.send_parcel``), as long as the
   worker has few of that link in flight.

In the two workers, unread: ``worker/forwarding.py``: ``Forwarding.send``, the connector, the other
worker's ``Forwarding.message``, its pipe. In the receiver's application, on the supervising thread:

4. ``supervisor/worker_supervisor.py``: ``WorkerSupervisor._handle`` hands the parcel to
   ``Switchboard.note``.
5. ``Messenger.receive`` and ``Dispatcher.dispatch`` decode the payload; ``Dispatcher._on_data``
   checks the number, and reports ``Arrived``, after ``Missing`` if numbers were skipped.
6. ``Router.deliver`` queues it in each subscription (``TopicSubscription.offer``), and
   ``Switchboard.flush`` wakes the readers.

In the reader's thread, ``TopicSubscription.poll`` decodes the data. Its ``_mark_read`` reports
progress to ``Messenger.mark_read``, after which a ``Credit`` goes to the sender.

**Streams.** A stream is what one application sends to one other on one topic, numbered from 1. Its
sending end knows the last number used and which messages are outstanding, that is, not yet read as
far as it knows. Its receiving end knows up to which number everything has arrived or is lost.

======================================  ===========================================================
event                                   effect
======================================  ===========================================================
the receiver starts listening           it picks a stream number, and advertises it with the window
                                        as ``Interested``
a message is queued                     it gets the next number and goes as ``Data``, or as several
                                        ``Fragment`` if it is too long for a payload
a message is published without room     it uses up a number and is dropped; ``Missed`` reports that
                                        once there is room, unless a later message shows it first
``Data`` with the next number arrives   it is delivered
``Data`` with a later number arrives    the skipped numbers are reported as lost, then it is
                                        delivered
``Data`` with an old number arrives     it is ignored
``Missed`` arrives                      all numbers up to its own that have not arrived are
                                        reported as lost
the application reads                   ``Credit`` goes out, at the latest when a quarter of the
                                        window is read
the receiver stops listening            the stream ends; to listen again starts a new one
======================================  ===========================================================

**What survives a reconnect.** Numbers belong to a pair of applications, not to a link: links break
and workers are replaced while both applications live on. So numbering continues on the next link,
where the sender first says ``Missed`` with the last number of each stream. The receiver then knows
exactly how many messages the broken link has lost, most often none. Nor do numbers belong to the
sender alone, since its peers don't all get the same messages. A greeting that is out of date may
lack a stream. So the sender puts the last ``MAX_TOPICS`` of these aside, says ``Missed`` for them
too, and resumes a stream that the peer advertises after all.

An application is identified by its run id, random bytes that it makes when it starts. Another run
of the same node is another peer. A sender remembers a limited number of peers without a link
(``peers``). If it has forgotten one, its numbers restart, under another *epoch*, which ``Opening``
carries: a receiver that sees an unknown epoch knows that the old numbers say nothing about the new.

**Gaps that nobody can count.** While a link is down, the receiver doesn't know what was on its way.
It is *in doubt*, and waits for the same run to come back and say so. If another run takes over the
name, or nobody comes back within ``DOUBT_S``, it reports a loss of unknown size on each topic that
it listens to. ``Opening``, with the epoch, ends the doubt. A sender that says ``Closing`` is not
waited for: what is in doubt then, from an earlier link, is reported as lost at once.

**Three kinds of room** bound three things:

- the *window* of a stream, granted by the receiver: messages and bytes that may be outstanding. It
  bounds the memory of a slow reader, which loses its own messages and nobody else's;
- the *queue* of a link (``lanes``): bytes that may wait for the link. It bounds the memory of a
  sender on a slow link, however wide the windows of a thousand topics are together;
- the *transit* of a link: bytes that may be sent and not yet arrived in the peer's application. It
  bounds what stands in pipes and sockets ahead of a new message, and lets a worker in between
  recognize a flood.

A ``send`` that finds no room is parked, without a number, until there is some. Control records are
short and need no room. They always go first: a record that gives room must never wait for room.

**Questions** are not part of a stream. Each has one end: an answer, an exception, a refusal, or a
broken link, after which nobody knows whether it was acted on. If not even a part of a question has
been sent, it was certainly not asked.

**Peers may be hostile.** Everything that a peer can make an application keep is bounded: topics,
partial messages, open questions, queued answers, unread messages. A record that no honest peer
sends is a ``RemoteProtocolError``, which ends all messages on that link. Unknown records are
skipped, for the sake of later versions.
"""
