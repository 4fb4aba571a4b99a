"""A row of the arbitration table may be changed: no legal verdict breaks a law of the links.

Which connection each of two nodes keeps depends on the rows. That a link is reported up once and
down once, and that each ``connect`` has one outcome, must not.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from link_world import ANN, BOB, World, known

from cluster_kit.connectors.tcp import arbitration
from cluster_kit.connectors.tcp.arbitration import CASES, Sign, Verdict
from cluster_kit.node import BootId
from cluster_kit.wire.link import LinkState, Role

NOBODY, SOMEBODY = {None}, {LinkState.ANSWERED, LinkState.UP}
LEGAL = {  # the newcomers and incumbents of each verdict, as its docstring says
    Verdict.ANSWER: ({Role.ACCEPTOR}, NOBODY),
    Verdict.CONFIRM: ({Role.DIALLER}, NOBODY),
    Verdict.REPLACE: (set(Role), SOMEBODY),
    Verdict.YIELD: ({Role.DIALLER}, SOMEBODY),
    Verdict.HOLD: (set(Role), SOMEBODY),
    Verdict.CROSSED: (set(Role), NOBODY | SOMEBODY),
    Verdict.CONFLICT: (set(Role), SOMEBODY),
}


def is_legal(row, verdict):
    """Whether all cases of a row may have that verdict."""
    roles, incumbents = LEGAL[verdict]
    asks_again = LinkState.UP in row.incumbent and Sign.HEARD in row.sign
    return (
        {role for role in Role if role in row.role} <= roles
        and {each for each in NOBODY | SOMEBODY if each in row.incumbent} <= incumbents
        and not (verdict is Verdict.HOLD and asks_again)
    )


CHANGES = [
    (number, verdict)
    for number, row in enumerate(CASES)
    for verdict in Verdict
    if verdict is not row.verdict and is_legal(row, verdict)
]


def changed(number, verdict):
    """Return the table with another verdict in one row."""
    return (*CASES[:number], CASES[number]._replace(verdict=verdict), *CASES[number + 1 :])


@pytest.mark.parametrize("row", CASES, ids=[str(number) for number in range(len(CASES))])
def test_verdict_of_each_row_is_legal(row):
    assert is_legal(row, row.verdict)


@given(data=st.data(), change=st.sampled_from(CHANGES))
@settings(max_examples=400, deadline=None)
def test_no_changed_row_breaks_a_law_of_the_links(data, change):
    """The world checks each law as it goes on: see ``World.apply``."""
    world = World(ANN, BOB, BOB.evolve(boot_id=BootId(3, 0)))

    def steps(most):
        for _ in range(data.draw(st.integers(0, most))):
            if choices := list(world.choices()):
                world.step(*data.draw(st.sampled_from(choices)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arbitration, "CASES", changed(*change))
        for _ in range(data.draw(st.integers(1, 8))):
            host, peer = data.draw(st.permutations(world.hosts))[:2]
            world.connect(host, data.draw(known(peer.node)))
            steps(8)
        if data.draw(st.booleans()):
            world.kill(data.draw(st.sampled_from(world.hosts)))
        world.settle(lambda choices: data.draw(st.sampled_from(choices)))
        for host in (host for host in world.hosts if host.alive):
            assert host.settled.keys() == host.attempts.keys(), "each connect has its outcome"
            world.apply(host, host.table.stop())
            assert not host.linked(), "each link that was up is down"
