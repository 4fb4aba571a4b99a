"""A link table that is fed frames, and the nodes and frames of its tests."""

from cluster_kit.connectors.tcp import actions as do
from cluster_kit.connectors.tcp.actions import AttemptFailed, Dial
from cluster_kit.connectors.tcp.table import LinkTable
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.wire.frames import (
    HEADER_BYTES,
    Confirm,
    Hello,
    Identity,
    Refusal,
    Welcome,
    decode,
    encode,
)

FENCE = Fence("shop", "web")
# The table is that of bob: ann's name is lower than ours, cat's is higher
BOB = Node(name="bob@h", address="bob:1", boot_id=BootId(50, 0))
ANN = Node(name="ann@h", address="ann:1", boot_id=BootId(40, 0))
CAT = Node(name="cat@h", address="cat:1", boot_id=BootId(60, 0))
DIAL, IN, IN2 = 1, 100, 101  # numbers of connections


class Table(LinkTable):
    """A link table of bob that is fed frames as if they had arrived on the wire."""

    def __init__(self, **options):
        super().__init__(BOB, FENCE, **options)
        self.wires = {}

    def established(self, conn):
        self.wires[conn] = self.protocol_of(conn)
        return super().established(conn)

    def receive(self, conn, frame):
        if conn not in self.wires:
            self.wires[conn] = self.accept(conn)
        frames = self.wires[conn].receive(encode(frame))
        return [action for each in frames for action in LinkTable.receive(self, conn, each)]


def Write(conn, frame):  # noqa: N802 - stands for the action
    return do.Write(conn, encode(frame))


def frame_of(action):
    """Return the frame that a ``Write`` sends."""
    return decode(action.data[HEADER_BYTES:])


def identity(node, *, wanted=True, leaving=False, fence=FENCE, features=()):
    return Identity.of(node, fence, leaving=leaving, wanted=wanted, features=features)


def hello(node, **fields):
    return Hello(magic="cluster_kit", version=1, identity=identity(node, **fields))


def answer(node, **fields):
    return Welcome(identity=identity(node, **fields))


def refusal(reason, node=None, rival=None):
    return Refusal(reason=reason, identity=identity(node) if node else None, rival=rival)


def younger(node):
    return node.evolve(boot_id=BootId(node.boot_id.started_ms + 1, 0))


def older(node):
    return node.evolve(boot_id=BootId(node.boot_id.started_ms - 1, 0))


def dial(table, node, attempt=DIAL):
    """Dial and greet."""
    assert table.connect(attempt, node) == [Dial(attempt, node)]
    (greeting,) = table.established(attempt)
    assert isinstance(frame_of(greeting), Hello)


def link_by_dial(table, node, attempt=DIAL):
    dial(table, node, attempt)
    return table.receive(attempt, answer(node))


def link_by_accepting(table, node, conn=IN):
    table.receive(conn, hello(node))
    return table.receive(conn, Confirm())


def frames_in(actions):
    """Return the frames that are sent, in order."""
    return [frame_of(action) for action in actions if isinstance(action, do.Write)]


def only_frame(actions):
    (frame,) = frames_in(actions)
    return frame


def failure(actions):
    (failed,) = [action for action in actions if isinstance(action, AttemptFailed)]
    return failed.error


def refusal_of_bob(reason, rival=None):
    return Refusal(reason=reason, identity=identity(BOB, wanted=False), rival=rival)
