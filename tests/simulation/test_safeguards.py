"""Every safeguard is needed: with it switched off, a simulation of a few steps fails.

A few of them are tried each time, and all by ``tox -e safeguards``.
"""

import os

import pytest
from hunting import hunt
from safeguards import SAFEGUARDS

SEEDS = range(200)
MOST_STEPS = 5
EVERY = 1 if os.environ.get("CLUSTER_KIT_ALL_SAFEGUARDS") else 7


def test_there_are_many_distinct_safeguards():
    assert len({safeguard.name for safeguard in SAFEGUARDS}) == len(SAFEGUARDS) >= 20


@pytest.mark.timeout(600)
@pytest.mark.parametrize("safeguard", SAFEGUARDS[::EVERY], ids=lambda safeguard: safeguard.name)
def test_without_it_a_simulation_fails(safeguard):
    found = hunt(safeguard, SEEDS)
    assert found is not None, f"{safeguard.finds}: not in {len(SEEDS)} seeds"
    print(f"seed {found.seed}: {safeguard.finds}\n{found.script.as_yaml()}")
    assert len(found.script.steps) <= MOST_STEPS
