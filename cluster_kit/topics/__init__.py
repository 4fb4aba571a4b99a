"""Messages between the applications of linked nodes: the protocol that they speak over the links
which their workers hold.

This page is for whoever wants to understand or change it. ``cluster_kit.wire.topics`` has the
records that are said, ``messenger`` the calls of an application, ``hearing`` what each record does,
``link`` what one link has to say, and in which order.

**What is promised.** A message comes at most once, and messages of one sender on one topic in
order. Nothing is repeated, and nobody acknowledges for the sake of repeating. What was lost is
told, at its place: so many, or "nobody knows how many".

**A stream** is what one application says on one topic to one other application. Its state at the
sender is the last number that was used, and what of it is outstanding, that is, not read as far as
the sender knows (``outgoing``). Its state at the receiver is up to where everything has arrived or
is known to be lost (``incoming``). What moves it:

====================================  =========================================================
the receiver listens                  it makes up a number for the stream, and tells it together
                                      with how much room there is: ``Interested``
a message is handed over              it uses the next number, and goes as ``Said``; if it is
                                      long, in slices of that (``Part``)
there is no room, and nobody waits    it uses the next number as well; ``Missed`` tells of it once
                                      there is room again
``Said`` comes, and is the next       it is delivered
``Said`` comes, and skips numbers     these are lost, which is told; then it is delivered
``Said`` comes, and is not later      it is ignored
``Missed`` comes                      what has not arrived up to there is lost, which is told
the application has read, or been     ``Taken`` says so, at the latest when a quarter of the room
told of a loss                        is to be given back
the receiver listens no more          the stream is over; to listen again is another stream, which
                                      begins with 1
====================================  =========================================================

**Numbers are per pair of applications**, not per link and not per sender. Not per link, since links
break, and workers are replaced, while both applications live on: the numbers go on, and after a
break the sender says ``Missed`` for each stream, so that the receiver can tell exactly how many
were lost, most often none. Not per sender, since not everybody gets the same: who has no room
misses what others get, and a send is for one alone. An application is known by its run, random
bytes that it makes up when it starts; another run of the same node is another peer, of whom nothing
is remembered.

**Doubt.** While a link is down, a receiver can't know what was on its way. It waits, for the same
run to return and say so. If another run takes its name, or nobody returns for ``DOUBT_S``, it tells
that any number may be lost, on each topic that it listens to. A sender that has said ``Closing``
leaves no doubt. Only so many peers are remembered (``peers``); who was forgotten is told by another
``epoch`` in ``Opening`` that the numbers start anew.

**There are three kinds of room**, since three things are to be bounded:

- the *window* of a stream, which the receiver gives: what may be handed over and not read. It
  bounds the memory of a slow reader, and makes it lose its own messages alone;
- the *queue* of a link (``lanes``): what may be handed over and not sent. It bounds the memory of a
  sender whose link is slow, whatever windows the receiver gives, for it may listen to a thousand
  topics;
- the *transit* of a link: what may be sent and not arrived in the other application. It bounds what
  stands in pipes and sockets, so that a new message waits behind a megabyte at most, and a worker
  in between knows that several megabytes come from nobody honest.

Messages wait for room if their sender waits (``send``), in turn; they have no number until then.
What is said besides messages (``control``) is short, needs no room, and goes first: whatever gives
room must never wait for it.

**Questions** have no place in a stream: each ends by itself, by an answer, by what was raised, by a
refusal, or by a link that breaks, after which nobody knows. A question none of which has gone out
was certainly not asked.

**Peers may lie.** What one can make an application keep is bounded: topics, half-received messages,
open questions, waiting answers, unread messages. Where a peer says what no honest one could,
``RemoteProtocolError`` ends the talk on that link. What is merely not understood is skipped, for
peers of later versions.
"""
