"""Simulated clusters with a secret keep all laws, and rotate the secret without losing a node."""

import logging

import pytest

from cluster_kit.testing.simulation import (
    Crash,
    Freeze,
    Law,
    Partition,
    Rekey,
    Restart,
    Script,
    Setting,
    random_script,
)

MESH = {"strategy": "gossip"}
SPARSE = {"strategy": "gossip", "topology": "k_regular"}
OLD, NEW = 1, 2


def rotation(nodes, *, begin_s=4.0, apart_s=0.3):
    """Return the steps of a rotation: accept the new secret, use it, drop the old one."""
    steps = []
    for number, secrets in enumerate(((OLD, NEW), (NEW, OLD), (NEW,))):
        at_s = begin_s + number * (nodes * apart_s + 5)
        steps += [
            Rekey(at_s=at_s + node * apart_s, nodes=(node,), secrets=secrets)
            for node in range(1, nodes + 1)
        ]
    return steps


@pytest.mark.parametrize("topology", [MESH, SPARSE], ids=["full_mesh", "k_regular"])
@pytest.mark.parametrize("seed", range(3))
def test_rotation_loses_no_link(topology, seed):
    script = Script(nodes=10, steps=rotation(10))
    Setting(topology=topology, seed=seed, secret=True).check(script)


def test_node_that_is_frozen_during_the_middle_step_returns():
    end_s = 4 + 2 * (5 * 0.3 + 5)
    steps = [step for step in rotation(5) if step.at_s < end_s and step.nodes != (5,)]
    steps.append(Rekey(at_s=4.0, nodes=(5,), secrets=(OLD, NEW)))
    steps.append(Freeze(at_s=9.0, nodes=(5,), for_s=20.0))
    Setting(topology=MESH, secret=True).check(Script(nodes=5, steps=steps))


@pytest.mark.once
@pytest.mark.timeout(300)
def test_fifty_nodes_rotate_a_secret_while_datagrams_are_lost_and_one_is_frozen():
    """The last node is frozen while the others begin to use the new secret."""
    steps = [
        step
        for step in rotation(50, apart_s=0.1)
        if step.nodes != (50,) or step.secrets != (NEW, OLD)
    ]
    steps += [
        Freeze(at_s=13.0, nodes=(50,), for_s=8.0),
        Rekey(at_s=22.5, nodes=(50,), secrets=(NEW, OLD)),
    ]
    Setting(topology=MESH, loss=0.1, secret=True).check(Script(nodes=50, steps=steps))


@pytest.fixture
def warned():
    """Return the warnings about secrets that were dropped too early."""
    warnings = []

    def record_warning(record):
        if "dropped a secret" in record.getMessage():
            warnings.append(record.getMessage().partition(" still use: ")[2].partition(": ")[0])
        return True

    logger = logging.getLogger("cluster_kit.worker")
    logger.addFilter(record_warning)
    yield warnings
    logger.removeFilter(record_warning)


def rekeyed(at_s, nodes, *secrets):
    return Rekey(at_s=at_s, nodes=nodes, secrets=secrets)


def test_correct_rotation_gives_no_warning(warned):
    Setting(topology=MESH, secret=True, seconds=60).check(Script(nodes=5, steps=rotation(5)))
    assert warned == []


def test_secret_that_is_dropped_seconds_before_its_last_user_changes_gives_no_warning(warned):
    others, last = (1, 2, 3), (4,)
    steps = [
        rekeyed(8.0, others + last, OLD, NEW),
        rekeyed(16.0, others, NEW, OLD),
        rekeyed(24.0, others, NEW),
        rekeyed(26.0, last, NEW, OLD),
    ]
    Setting(topology=MESH, secret=True, seconds=60).check(Script(nodes=4, steps=steps))
    assert warned == []


def test_secret_that_is_dropped_too_early_gives_a_warning_that_names_its_users(warned):
    others, behind = (1, 2), (3, 4)
    steps = [
        rekeyed(8.0, others + behind, OLD, NEW),
        rekeyed(16.0, others, NEW, OLD),
        rekeyed(24.0, others, NEW),
    ]
    Setting(topology=MESH, secret=True, seconds=60).run(Script(nodes=4, steps=steps))
    assert warned == ["n0003@10.0.0.4, n0004@10.0.0.5"] * 2


def test_partition_and_crash_amid_a_rotation_heal():
    steps = [
        *rotation(6),
        Partition(at_s=8.0, groups=((1, 2, 3),), for_s=10.0),
        Crash(at_s=15.0, nodes=(2,)),
        Restart(at_s=18.0, nodes=(2,)),
    ]
    Setting(topology=MESH, secret=True).check(Script(nodes=6, steps=steps))


def test_nodes_with_different_secrets_never_agree():
    script = Script(nodes=4, steps=[Rekey(at_s=0.0, nodes=(3, 4), secrets=(NEW,))])
    outcome = Setting(topology=MESH, secret=True, seconds=30).run(script)
    assert set(outcome.counts) == {Law.AGREEMENT}


@pytest.mark.parametrize("seed", range(20))
def test_laws_hold_under_random_faults(seed):
    Setting(topology=[MESH, SPARSE][seed % 2], seed=seed, secret=True).check(
        random_script(seed, nodes=6, faults=6)
    )
