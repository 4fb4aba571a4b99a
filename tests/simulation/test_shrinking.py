"""Shrinking reduces a script to what makes it fail."""

import pytest

from cluster_kit.testing.simulation.scripts.random_script import random_script
from cluster_kit.testing.simulation.scripts.script import Script
from cluster_kit.testing.simulation.scripts.shrinking import shrink
from cluster_kit.testing.simulation.scripts.steps import Crash, Freeze, Packets, Partition


def freezes_long(script):
    return any(isinstance(step, Freeze) and step.for_s > 3 for step in script.steps)


def crashes_in_partition(script):
    parts = [step for step in script.steps if isinstance(step, Partition)]
    crashes = [step.at_s for step in script.steps if isinstance(step, Crash)]
    return any(part.at_s <= at_s <= part.at_s + part.for_s for part in parts for at_s in crashes)


def failing(fails, most):
    scripts = (random_script(seed, nodes=6, faults=9) for seed in range(200))
    return [script for script in scripts if fails(script)][:most]


@pytest.mark.parametrize(
    "script", failing(freezes_long, 10), ids=lambda script: str(len(script.steps))
)
def test_one_step_is_left_if_one_step_causes_the_failure(script):
    left = shrink(script, freezes_long)
    assert left.nodes == 1
    assert [type(step) for step in left.steps] == [Freeze]
    assert left.steps[0].nodes == (1,)
    assert left.steps[0].at_s == 0
    assert 3 < left.steps[0].for_s <= 6


@pytest.mark.parametrize(
    "script", failing(crashes_in_partition, 10), ids=lambda script: str(len(script.steps))
)
def test_two_steps_are_left_if_two_cause_the_failure(script):
    left = shrink(script, crashes_in_partition)
    assert sorted(type(step).__name__ for step in left.steps) == ["Crash", "Partition"]
    assert crashes_in_partition(left)


def test_shrinking_is_deterministic():
    script = failing(crashes_in_partition, 1)[0]
    assert shrink(script, crashes_in_partition) == shrink(script, crashes_in_partition)


def test_options_that_do_not_matter_are_dropped():
    script = Script(
        nodes=3,
        steps=(Packets(at_s=5, loss=0.5, delay_s=0.1, jitter_s=0.1, reorder=0.2, for_s=10),),
    )
    left = shrink(script, lambda script: any(step.loss for step in script.steps))
    assert left.steps == (Packets(at_s=0, loss=0.5, for_s=1),)


def test_no_script_is_tried_twice_and_tries_are_bounded():
    asked = []

    def fails(script):
        asked.append(script.as_yaml())
        return len(asked) % 3 == 0

    shrink(random_script(3, nodes=6, faults=9), fails, most_tries=50)
    assert len(asked) == len(set(asked)) <= 50


def test_a_script_that_fails_without_steps_loses_all_of_them():
    assert shrink(random_script(1, nodes=40, faults=9), lambda _: True) == Script(nodes=1)
