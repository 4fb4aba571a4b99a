"""The application's greetings in a handshake: which end sends one, when, and how long it may be."""

import pytest
from tcp_tables import ANN, CAT, DIAL, IN, IN2, Table, answer, dial, frames_in, hello

from cluster_kit.abc import MAX_GREETING_BYTES
from cluster_kit.connectors.tcp.actions import Up
from cluster_kit.connectors.tcp.connection import MESSAGES
from cluster_kit.errors import RemoteProtocolError
from cluster_kit.wire.frames import GREETING_BYTES, MAX_GREETING_FRAMES, Confirm, Greeting, Welcome


def greeting_table(*greetings):
    """Return a table of a node that sends each peer the next of these greetings."""
    return Table(features=(MESSAGES,), greeting=iter(greetings).__next__)


def up(actions):
    (link,) = [action for action in actions if isinstance(action, Up)]
    return link.greeting, link.sent


def test_acceptor_greets_before_its_answer_with_the_greeting_of_that_moment():
    table = greeting_table(b"now", b"later")
    greeted, answered = frames_in(table.receive(IN, hello(ANN, features=[MESSAGES])))
    assert greeted == Greeting(b"now")
    assert isinstance(answered, Welcome)
    assert table.receive(IN, Greeting(b"I am ")) == table.receive(IN, Greeting(b"ann")) == []
    assert up(table.receive(IN, Confirm())) == (b"I am ann", b"now")
    assert frames_in(table.receive(IN2, hello(CAT, features=[MESSAGES])))[0] == Greeting(b"later")


def test_dialler_greets_before_it_confirms():
    table = greeting_table(b"now")
    dial(table, ANN)
    assert table.receive(DIAL, Greeting(b"I am ann")) == []
    actions = table.receive(DIAL, answer(ANN, features=[MESSAGES]))
    assert frames_in(actions) == [Greeting(b"now"), Confirm()]
    assert up(actions) == (b"I am ann", b"now")


def test_long_greeting_is_sent_in_pieces():
    greeting = bytes(range(200)) * 50
    greeted = frames_in(greeting_table(greeting).receive(IN, hello(ANN, features=[MESSAGES])))[:-1]
    assert [len(piece.data) for piece in greeted] == [GREETING_BYTES, GREETING_BYTES, 2000]
    assert b"".join(piece.data for piece in greeted) == greeting


def test_empty_greeting_takes_no_frame():
    table = greeting_table(b"")
    (answered,) = frames_in(table.receive(IN, hello(ANN, features=[MESSAGES])))
    assert isinstance(answered, Welcome)
    assert up(table.receive(IN, Confirm())) == (b"", b"")


@pytest.mark.parametrize(("ours", "theirs"), [((), [MESSAGES]), ((MESSAGES,), []), ((), [])])
def test_nodes_without_messages_exchange_no_greetings(ours, theirs):
    table = Table(features=ours, greeting=lambda: b"now")
    (answered,) = frames_in(table.receive(IN, hello(ANN, features=theirs)))
    assert isinstance(answered, Welcome)
    table.receive(IN, Greeting(b"all the same"))
    assert up(table.receive(IN, Confirm())) == (None, b"")


def test_greeting_of_too_many_bytes_breaks_the_protocol():
    table = greeting_table(b"")
    table.receive(IN, hello(ANN, features=[MESSAGES]))
    for start in range(0, MAX_GREETING_BYTES, GREETING_BYTES):
        table.receive(IN, Greeting(bytes(min(GREETING_BYTES, MAX_GREETING_BYTES - start))))
    with pytest.raises(RemoteProtocolError, match="greeting of more than"):
        table.receive(IN, Greeting(b"x"))


def test_greeting_in_too_many_pieces_breaks_the_protocol():
    table = greeting_table(b"")
    table.receive(IN, hello(ANN, features=[MESSAGES]))
    for _ in range(MAX_GREETING_FRAMES):
        table.receive(IN, Greeting(b"x"))
    with pytest.raises(RemoteProtocolError, match="greeting of more than"):
        table.receive(IN, Greeting(b"x"))
