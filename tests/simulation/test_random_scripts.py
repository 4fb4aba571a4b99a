"""All laws hold under random scripts from any seed, and there are no false alarms.

A few seeds are tried each time, and many by ``tox -e simulation`` and ``tox -e simulation-long``.
"""

import os
from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cluster_kit.testing.simulation.replay import Setting
from cluster_kit.testing.simulation.scripts.random_script import random_script

EXAMPLES = int(os.environ.get("CLUSTER_KIT_SEEDS", "20"))
PARTS = max(1, EXAMPLES // 250)  # tests to run side by side
MESSAGE_EXAMPLES = max(10, EXAMPLES // 4)  # with messages, which take longer
MESSAGE_PARTS = max(1, MESSAGE_EXAMPLES // 125)
SCENARIOS = {
    "rolling restarts": ({"strategy": "gossip"}, 4, ("crash", "leave", "join")),
    "partitions": ({"strategy": "gossip", "topology": "k_regular"}, 6, ("partition", "ring_cut")),
    "cuts of one way": ({"strategy": "gossip", "topology": "ring"}, 4, ("cut",)),
    "no processor": ({"strategy": "gossip"}, 4, ("freeze", "starve")),
    "bad networks": ({"strategy": "gossip", "topology": "star"}, 4, ("packets", "slow_reader")),
    "clocks": (
        {"strategy": "gossip", "topology": "k_regular"},
        6,
        ("clock_jump", "crash", "power_off", "leave"),
    ),
    "churn": ({"strategy": "static", "topology": "k_regular"}, 4, ("crash", "power_off", "join")),
    "all at once": ({"strategy": ["gossip", "static"], "topology": "ring"}, 4, None),
}
MESSAGE_SCENARIOS = {
    "talk": (Setting(), 3, ()),
    "talk amid faults": (Setting(), 4, None),
    "talk of neighbours": (Setting(topology={"strategy": "static", "topology": "ring"}), 5, None),
    "talk with a secret": (
        Setting(secret=True),
        3,
        ("crash", "power_off", "freeze", "partition", "cut", "leave"),
    ),
    "talk amid loss": (Setting(loss=0.05), 3, ("crash", "freeze", "starve", "cut")),
}
FAULTS = 3


@pytest.mark.timeout(2 * EXAMPLES + 120)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_all_nodes_agree_in_the_end_and_no_law_is_broken(scenario, part):
    topology, nodes, kinds = SCENARIOS[scenario]

    @settings(max_examples=EXAMPLES // PARTS, deadline=None, database=None, phases=[Phase.generate])
    @given(seed=st.integers(0, 2**32))
    def check(seed):
        Setting(topology=topology, seed=seed).check(
            random_script(seed, nodes=nodes, faults=FAULTS, kinds=kinds)
        )

    check()


@pytest.mark.timeout(8 * MESSAGE_EXAMPLES + 120)
@pytest.mark.parametrize("part", range(MESSAGE_PARTS))
@pytest.mark.parametrize("talk", MESSAGE_SCENARIOS)
def test_no_law_of_messages_is_broken(talk, part):
    setting, nodes, kinds = MESSAGE_SCENARIOS[talk]

    @settings(
        max_examples=MESSAGE_EXAMPLES // MESSAGE_PARTS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
    )
    @given(seed=st.integers(0, 2**32))
    def check(seed):
        faults = 0 if kinds == () else FAULTS
        replace(setting, seed=seed).check(
            random_script(seed, nodes=nodes, faults=faults, kinds=kinds, messages=8)
        )

    check()
