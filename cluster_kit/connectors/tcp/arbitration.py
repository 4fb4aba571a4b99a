"""Which of several connections to one peer counts: a table of cases. Pure.

The problem
===========

Two nodes want one link between them, and nobody is in charge. Each opens a connection when it pleases, so there can be several
to one peer at a time: both ends dial at once; one end dials again because it knows the other by a second address; a process
comes back under its name while its old link still seems to be up; or two live processes were given one name. The two ends see
these things in different orders and can't talk about them first. Each decides alone, and both must keep the same connection.

Who decides, and when
=====================

For each name there is at most one connection that counts, the *incumbent*: a link, or a connection that we answered and whose
confirmation isn't in yet. A *newcomer* is any other connection at the moment when its peer has introduced itself: the hello of
one that we accepted, or the answer on one that we dialled. Then, and only then, it is judged, by the rows of ``CASES``. It is
judged again when something was learnt about the incumbent before which it was held: the incumbent gave a sign of life, came
up, or was lost, in which case there is no incumbent any more.

A case has six sides:

- ``role``: whether we dialled the newcomer or accepted it. The acceptor's verdict can be an answer or a refusal, which the other
  end learns at once. The dialler's is a confirmation or a hang-up.
- ``incumbent``: ``None``, ``ANSWERED`` or ``UP``.
- ``process``: whether both lead to the same run of the peer, told by the boot id. Which boot is *older* is not a side: clocks
  are set back, and an old boot id is easily made up.
- ``sign``: what is known of the incumbent since the newcomer came: nothing, that it is alive, or that it has just come up.
- ``our_dial``: how far our own dial to that name has come, if there is one: ``None``, ``SILENT`` (the stream isn't open yet) or
  ``GREETED`` (our hello is out). This is how dials that cross are noticed.
- ``lower``: whose name is the lower one, ours or theirs. Both ends know both names, and it is the one thing about which they
  can't disagree, so it breaks every tie.

Why the two ends agree
======================

*Dials that cross.* Say ann and bob dial each other, and both hellos are out. Ann has the lower name. She finds her own dial
``GREETED`` and refuses that of bob as crossed. Bob finds his dial ``GREETED`` as well, but theirs is the lower name: he answers,
and lets his own dial go. Neither has to know what the other does. Where bob's hello isn't out yet nobody can refuse it, so it
doesn't matter whose name is lower: he answers. Where a dial is known by its address only, it is recognised when its answer
comes in; by then the other connection may have been answered, too, and again the dial of the lower name goes on and the other
one ends.

*A dead incumbent.* The peer restarted, or its machine lost power, and we haven't noticed. No property of the newcomer proves
that. So the newcomer is held without a word, the incumbent is asked for a sign of life, and whichever comes first decides: if
it is lost, there is no incumbent, and the newcomer is judged as any first connection; if it is heard, it stays.

*A live incumbent stays*, always. A newcomer of the same process is superfluous: the peer has a link to us, or will see that it
has. A newcomer of another process means that two processes live under one name, a conflict that only their operator can end.
The link that works is the better claim: whoever forges a name or a boot id gains nothing by it.

*Nobody waits for long.* Only the latest newcomer is held; the one before is refused as crossed and tries again. A probe is
answered or over within two seconds.

Reading the table
=================

Each case that can occur meets exactly one row; a test goes through all of them. An empty tuple of values would never match,
``ANY`` always does. What a verdict does is in ``cluster_kit.connectors.tcp.table``.
"""

from __future__ import annotations

from collections.abc import Container
from enum import Enum, auto
from typing import Any, NamedTuple

from cluster_kit.wire.link import Role, State


class Process(Enum):
    """Which run of the peer the newcomer leads to."""

    SAME = auto()
    """That of the incumbent."""
    OTHER = auto()


class Sign(Enum):
    """What is known of the incumbent since the newcomer came."""

    NONE = auto()
    HEARD = auto()
    """It was asked, and gave a sign of life."""
    CONFIRMED = auto()
    """It has just come up."""


class Name(Enum):
    """Whose name is the lower one."""

    OURS = auto()
    THEIRS = auto()


class Case(NamedTuple):
    """What a verdict depends on; the sides are explained above."""

    role: Role
    incumbent: State | None
    process: Process | None
    sign: Sign
    our_dial: State | None
    lower: Name


class Verdict(Enum):
    """What becomes of the newcomer."""

    ANSWER = auto()
    """It is answered; our own dials to that name end, and who waits for them waits for it."""
    CONFIRM = auto()
    """It is confirmed, and the link is up."""
    REPLACE = auto()
    """It is confirmed, and takes the place of the incumbent, which ends."""
    YIELD = auto()
    """It ends, and who waits for it waits for the incumbent."""
    HOLD = auto()
    """It waits, and the incumbent is asked for a sign of life where it is a link."""
    CROSSED = auto()
    """It is refused: another connection of the same pair counts."""
    CONFLICT = auto()
    """It is refused: its name belongs to another live process."""


class _Any(Container[Any]):
    def __contains__(self, value: object) -> bool:
        return True


class Row(NamedTuple):
    """The cases that have one verdict: for each side, the values that it may have."""

    role: Container[Role]
    incumbent: Container[State | None]
    process: Container[Process | None]
    sign: Container[Sign]
    our_dial: Container[State | None]
    lower: Container[Name]
    verdict: Verdict

    def fits(self, case: Case) -> bool:
        """Whether ``case`` is one of them."""
        return (
            case.role in self.role
            and case.incumbent in self.incumbent
            and case.process in self.process
            and case.sign in self.sign
            and case.our_dial in self.our_dial
            and case.lower in self.lower
        )


ANY = _Any()
ACCEPTED, DIALLED = (Role.ACCEPTOR,), (Role.DIALLER,)
NOBODY, ANSWERED, UP = (None,), (State.ANSWERED,), (State.UP,)
SAME, OTHER = (Process.SAME,), (Process.OTHER,)
UNKNOWN, HEARD, CONFIRMED = (Sign.NONE,), (Sign.HEARD,), (Sign.CONFIRMED,)
UNSAID, SAID = (None, State.SILENT), (State.GREETED,)
OURS, THEIRS = (Name.OURS,), (Name.THEIRS,)

CASES = (
    # the first connection, and dials that cross
    Row(ACCEPTED, NOBODY, ANY, ANY, UNSAID, ANY, Verdict.ANSWER),
    Row(ACCEPTED, NOBODY, ANY, ANY, SAID, THEIRS, Verdict.ANSWER),
    Row(ACCEPTED, NOBODY, ANY, ANY, SAID, OURS, Verdict.CROSSED),
    Row(DIALLED, NOBODY, ANY, ANY, ANY, ANY, Verdict.CONFIRM),
    Row(DIALLED, ANSWERED, ANY, ANY, ANY, OURS, Verdict.REPLACE),
    Row(DIALLED, ANSWERED, ANY, ANY, ANY, THEIRS, Verdict.YIELD),
    # a second one, while nothing is known of the first
    Row(ACCEPTED, ANSWERED, ANY, ANY, ANY, ANY, Verdict.HOLD),
    Row(ACCEPTED, UP, ANY, UNKNOWN, ANY, ANY, Verdict.HOLD),
    Row(DIALLED, UP, OTHER, UNKNOWN, ANY, ANY, Verdict.HOLD),
    Row(DIALLED, UP, SAME, UNKNOWN, ANY, ANY, Verdict.YIELD),
    # a second one that was held, and the first is alive
    Row(ACCEPTED, UP, SAME, HEARD, ANY, ANY, Verdict.CROSSED),
    Row(ACCEPTED, UP, OTHER, HEARD, ANY, ANY, Verdict.CONFLICT),
    Row(DIALLED, UP, OTHER, HEARD, ANY, ANY, Verdict.CONFLICT),
    Row(ACCEPTED, UP, ANY, CONFIRMED, ANY, ANY, Verdict.CROSSED),
)


def judge(case: Case) -> Verdict:
    """Return what becomes of the newcomer."""
    return next(row.verdict for row in CASES if row.fits(case))
