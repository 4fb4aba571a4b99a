"""Which of several connections to one peer counts: a table of cases. Pure.

The problem
===========

Two nodes need one link, and neither is in charge. Each dials when it pleases, so there can be
several connections between them at a time:

- both dial at once;
- one dials again, because it knows the other by a second address;
- a process has come back under its name, and its old link still looks healthy;
- two live processes were given the same name.

The two ends see these events in different orders and cannot consult each other first. Each decides
alone, and both must keep the same connection.

The states of a pair
====================

For each name at most one connection counts, the *incumbent*. Any other connection is a *newcomer*
from the moment its peer introduces itself: by the hello if we accepted it, by the answer if we
dialled it. It is judged at that moment, and gets a verdict at once or is *held*. Only one newcomer
is held at a time.

===================  =====================================  ========================================
incumbent            what it is                             how it ends
===================  =====================================  ========================================
``None``             no connection; we may be dialling      a newcomer is answered or confirmed
``ANSWERED``         accepted and answered, unconfirmed     confirmed: ``UP``; otherwise: ``None``
``UP``               a link                                 lost, or a goodbye: ``None``
===================  =====================================  ========================================

A held newcomer is judged again when there is news of the incumbent: it gave a sign of life, it came
up, or it was lost; then there is no incumbent.

What a verdict depends on
=========================

``role``
    Whether we dialled the newcomer or accepted it. An acceptor speaks first: it answers or refuses.
    A dialler has the last word: it confirms or hangs up.
``incumbent``
    ``None``, ``ANSWERED`` or ``UP``.
``process``
    Whether both lead to the same run of the peer, by its boot id. Which of two runs is older plays
    no part: clocks are set back, and an old boot id is easily made up.
``sign``
    What we have learnt about the incumbent since the newcomer arrived: nothing, that it is alive,
    or that it has just come up.
``our_dial``
    How far our own dial to that name has got, which shows whether dials cross: ``None`` without
    one, ``SILENT`` while its stream isn't open, ``GREETED`` once our hello is out.
``lower``
    Whose name is the lower one. Both ends know both names, and can't disagree about this, so it
    breaks every tie.

Why both ends keep the same connection
======================================

*Dials that cross.* Ann and bob dial each other, and both hellos are out. The dial of the lower name
wins, here ann's. She sees that her own dial is ``GREETED``, and refuses bob's as crossed. Bob sees
that his dial is ``GREETED`` too, but that the lower name is theirs: he answers ann, and drops his
own dial. Neither needs to know what the other does. If ann's hello were not out yet, no dials would
cross: she would drop her own dial and answer bob's, although her name is lower.

A dial to an address whose owner is unknown can't be recognized as crossing. Then both connections
are answered, and the diallers decide when the answers arrive: the dial of the lower name is
confirmed, the other one dropped.

*An incumbent that may be dead.* The peer restarted, or its machine lost power, and we were never
notified. Nothing about the newcomer can prove that. So the newcomer is held without a reply while
the incumbent is asked for a sign of life. If the incumbent is lost, the newcomer is judged like a
first connection, and the old link is reported as replaced. If the incumbent replies, it stays.

*An incumbent that is alive stays.* If the newcomer leads to the same process, one of the two is
superfluous, and the older one has proved that it works. If it leads to another process, two live
processes share a name, which only their operator can mend. Until then the working link has the
better claim, so an attacker gains nothing by making up a name or a boot id.

*No newcomer waits for long.* Only the latest one is held; an earlier one is refused as crossed, and
may try again. A probe is answered, or has failed, within two seconds.

What is not decided here
========================

Whether we may be linked to that peer at all is judged earlier, by ``handshake``: a newcomer from
another cluster, or one that lies about its name, never gets here. ``LinkSteps.decide`` carries out
the verdicts. Five decisions about a pair are made elsewhere, as they judge no newcomer:

==========================  ========================================================================
``LinkTable.connect``       A peer that is linked or answered isn't dialled: the ``connect`` waits.
``LinkSteps.defer``         A ``connect`` whose dial has made way gets the incumbent, or fails.
``LinkSteps._hold``         An earlier newcomer that is still held is refused as crossed.
``LinkSteps.lose``          A ``connect`` that waits for an answered connection fails as crossed
                            when that is lost, if the peer may have dropped it for a dial of ours
                            to an address whose owner we don't know.
``LinkSteps._down_reason``  A link that breaks while another process is held was replaced.
==========================  ========================================================================

Changing a rule
===============

A rule is one row of ``CASES``. Each case fits exactly one row, so the order of rows has no meaning;
``ANY`` marks a column that doesn't matter.

A row may get any verdict that is legal for its role and incumbent; ``Verdict`` says which those
are. Whatever the rows say then, ``steps`` sees to it that each link is reported up once and down
once, and that each ``connect`` has one outcome. That both ends keep the same connection depends on
the rows. Tests check both, and compare the table with that of ``docs/protocol.md``.
"""

from __future__ import annotations

from collections.abc import Container
from enum import Enum, auto
from typing import Any, NamedTuple

from cluster_kit.wire.link import LinkState, Role


class PeerRun(Enum):
    """Which run of the peer the newcomer leads to."""

    SAME = auto()
    """That of the incumbent."""
    OTHER = auto()


class Sign(Enum):
    """What is known of the incumbent since the newcomer arrived."""

    NONE = auto()
    HEARD = auto()
    """It was probed, and gave a sign of life."""
    CONFIRMED = auto()
    """It has just come up."""


class Name(Enum):
    """Whose name is the lower one."""

    OURS = auto()
    THEIRS = auto()


class Case(NamedTuple):
    """What a verdict depends on; the module explains each side."""

    role: Role
    incumbent: LinkState | None
    process: PeerRun | None
    sign: Sign
    our_dial: LinkState | None
    lower: Name


class Verdict(Enum):
    """What becomes of the newcomer. Before each colon: where that is a legal verdict."""

    ANSWER = auto()
    """Accepted, no incumbent: it is answered, and our own dials to that name end."""
    CONFIRM = auto()
    """Dialled, no incumbent: it is confirmed, and the link is up."""
    REPLACE = auto()
    """Any role, an incumbent: that ends, and the newcomer is answered or confirmed."""
    YIELD = auto()
    """Dialled, an incumbent: it ends, and its ``connect`` gets the incumbent, or fails."""
    HOLD = auto()
    """Any role, an incumbent not ``HEARD``: it waits, and the incumbent is probed if it is up."""
    CROSSED = auto()
    """Any role and incumbent: it is refused, as another connection of the pair counts."""
    CONFLICT = auto()
    """Any role, an incumbent: it is refused, as its name belongs to another live process."""


class _Any(Container[Any]):
    def __contains__(self, value: object) -> bool:
        return True


class Row(NamedTuple):
    """The cases that have one verdict: for each side, the values that it may have."""

    role: Container[Role]
    incumbent: Container[LinkState | None]
    process: Container[PeerRun | None]
    sign: Container[Sign]
    our_dial: Container[LinkState | None]
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
NOBODY, ANSWERED, UP = (None,), (LinkState.ANSWERED,), (LinkState.UP,)
SAME, OTHER = (PeerRun.SAME,), (PeerRun.OTHER,)
UNKNOWN, HEARD, CONFIRMED = (Sign.NONE,), (Sign.HEARD,), (Sign.CONFIRMED,)
ALIVE = (Sign.HEARD, Sign.CONFIRMED)
NO_HELLO, HELLO_OUT = (None, LinkState.SILENT), (LinkState.GREETED,)
OURS, THEIRS = (Name.OURS,), (Name.THEIRS,)

CASES = (
    # role, incumbent, process, sign, our dial, lower name: verdict
    #
    # the first connection, and dials that cross
    Row(ACCEPTED, NOBODY, ANY, ANY, NO_HELLO, ANY, Verdict.ANSWER),
    Row(ACCEPTED, NOBODY, ANY, ANY, HELLO_OUT, THEIRS, Verdict.ANSWER),
    Row(ACCEPTED, NOBODY, ANY, ANY, HELLO_OUT, OURS, Verdict.CROSSED),
    Row(DIALLED, NOBODY, ANY, ANY, ANY, ANY, Verdict.CONFIRM),
    Row(DIALLED, ANSWERED, ANY, ANY, ANY, OURS, Verdict.REPLACE),
    Row(DIALLED, ANSWERED, ANY, ANY, ANY, THEIRS, Verdict.YIELD),
    # a second connection, while nothing is known of the first
    Row(ACCEPTED, ANSWERED, ANY, ANY, ANY, ANY, Verdict.HOLD),
    Row(ACCEPTED, UP, ANY, UNKNOWN, ANY, ANY, Verdict.HOLD),
    Row(DIALLED, UP, OTHER, UNKNOWN, ANY, ANY, Verdict.HOLD),
    Row(DIALLED, UP, SAME, ANY, ANY, ANY, Verdict.YIELD),
    # a second connection that was held, and the first is alive
    Row(ACCEPTED, UP, SAME, HEARD, ANY, ANY, Verdict.CROSSED),
    Row(ACCEPTED, UP, OTHER, HEARD, ANY, ANY, Verdict.CONFLICT),
    Row(ACCEPTED, UP, ANY, CONFIRMED, ANY, ANY, Verdict.CROSSED),
    Row(DIALLED, UP, OTHER, ALIVE, ANY, ANY, Verdict.CONFLICT),
)


def judge(case: Case) -> Verdict:
    """Return what becomes of the newcomer."""
    return next(row.verdict for row in CASES if row.fits(case))
