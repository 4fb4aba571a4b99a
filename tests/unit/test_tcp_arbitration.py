"""The table of cases: each case meets one row, and gets the verdict that it should."""

from itertools import product

import pytest

from cluster_kit.connectors.tcp.arbitration import CASES, Case, Name, PeerRun, Sign, Verdict, judge
from cluster_kit.wire.link import LinkState, Role

DIALLER, ACCEPTOR = Role
SAME, OTHER = PeerRun
NONE, HEARD, CONFIRMED = Sign
OURS, THEIRS = Name
ANSWERED, UP = LinkState.ANSWERED, LinkState.UP
SILENT, GREETED = LinkState.SILENT, LinkState.GREETED

# there is a process to compare with exactly where there is an incumbent
INCUMBENTS = ((None, None), *product((ANSWERED, UP), PeerRun))
CASES_THAT_OCCUR = [
    Case(role, *incumbent, *others)
    for role, incumbent, *others in product(Role, INCUMBENTS, Sign, (None, SILENT, GREETED), Name)
]


@pytest.mark.parametrize(
    "case",
    CASES_THAT_OCCUR,
    ids=lambda case: "-".join(getattr(side, "name", "none") for side in case).lower(),
)
def test_each_case_meets_one_row(case):
    assert len([row for row in CASES if row.fits(case)]) == 1


@pytest.mark.parametrize("row", CASES, ids=[str(number) for number in range(len(CASES))])
def test_each_row_is_met(row):
    assert [case for case in CASES_THAT_OCCUR if row.fits(case)]


@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        # the first connection, and dials that cross
        (Case(ACCEPTOR, None, None, NONE, None, OURS), Verdict.ANSWER),
        (Case(ACCEPTOR, None, None, NONE, SILENT, OURS), Verdict.ANSWER),
        (Case(ACCEPTOR, None, None, NONE, GREETED, THEIRS), Verdict.ANSWER),
        (Case(ACCEPTOR, None, None, NONE, GREETED, OURS), Verdict.CROSSED),
        (Case(DIALLER, None, None, NONE, None, OURS), Verdict.CONFIRM),
        (Case(DIALLER, ANSWERED, SAME, NONE, None, OURS), Verdict.REPLACE),
        (Case(DIALLER, ANSWERED, SAME, NONE, None, THEIRS), Verdict.YIELD),
        # a second one
        (Case(ACCEPTOR, ANSWERED, SAME, NONE, None, OURS), Verdict.HOLD),
        (Case(ACCEPTOR, UP, SAME, NONE, None, OURS), Verdict.HOLD),
        (Case(DIALLER, UP, OTHER, NONE, None, OURS), Verdict.HOLD),
        (Case(DIALLER, UP, SAME, NONE, None, OURS), Verdict.YIELD),
        # one that was held
        (Case(ACCEPTOR, UP, SAME, HEARD, None, OURS), Verdict.CROSSED),
        (Case(ACCEPTOR, UP, OTHER, HEARD, None, OURS), Verdict.CONFLICT),
        (Case(DIALLER, UP, OTHER, HEARD, None, OURS), Verdict.CONFLICT),
        (Case(ACCEPTOR, UP, OTHER, CONFIRMED, None, OURS), Verdict.CROSSED),
    ],
)
def test_verdict(case, verdict):
    assert judge(case) is verdict


def test_of_two_dials_that_cross_one_goes_on_and_one_ends():
    """Both ends judge the other's dial while their own hello is out."""
    verdicts = [judge(Case(ACCEPTOR, None, None, NONE, GREETED, lower)) for lower in (OURS, THEIRS)]
    assert verdicts == [Verdict.CROSSED, Verdict.ANSWER]


def test_of_two_dials_that_were_both_answered_one_goes_on_and_one_ends():
    """Both ends judge the answer on their own dial while they wait for the confirmation of the
    other's.
    """
    verdicts = [judge(Case(DIALLER, ANSWERED, SAME, NONE, None, lower)) for lower in (OURS, THEIRS)]
    assert verdicts == [Verdict.REPLACE, Verdict.YIELD]
