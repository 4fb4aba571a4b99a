"""What is left of a script that fails is what makes it fail."""

import pytest

from cluster_kit.testing.simulation.scripts.random_script import random_script
from cluster_kit.testing.simulation.scripts.script import Script
from cluster_kit.testing.simulation.scripts.shrinking import shrink
from cluster_kit.testing.simulation.scripts.steps import Crash, Freeze, Packets, Partition


def freezes_long(script):
    return any(isinstance(step, Freeze) and step.for_s > 3 for step in script.steps)


def crashes_while_parted(script):
    parted = [step for step in script.steps if isinstance(step, Partition)]
    crashes = [step for step in script.steps if isinstance(step, Crash)]
    return any(
        part.at_s <= crash.at_s <= part.at_s + part.for_s for part in parted for crash in crashes
    )


def failing(fails, most):
    return [
        script for seed in range(200) if fails(script := random_script(seed, nodes=6, faults=9))
    ][:most]


@pytest.mark.parametrize(
    "script", failing(freezes_long, 10), ids=lambda script: str(len(script.steps))
)
def test_one_step_is_left_of_a_script_that_one_step_fails(script):
    left = shrink(script, freezes_long)
    assert left.nodes == 1
    assert [type(step) for step in left.steps] == [Freeze]
    assert left.steps[0].nodes == (1,)
    assert left.steps[0].at_s == 0
    assert 3 < left.steps[0].for_s <= 6


@pytest.mark.parametrize(
    "script", failing(crashes_while_parted, 10), ids=lambda script: str(len(script.steps))
)
def test_two_steps_are_left_of_a_script_that_two_fail(script):
    left = shrink(script, crashes_while_parted)
    assert sorted(type(step).__name__ for step in left.steps) == ["Crash", "Partition"]
    assert crashes_while_parted(left)


def test_the_same_script_is_left_each_time():
    script = failing(crashes_while_parted, 1)[0]
    assert shrink(script, crashes_while_parted) == shrink(script, crashes_while_parted)


def test_simpler_faults_take_the_place_of_all_at_once():
    script = Script(
        nodes=3,
        steps=(Packets(at_s=5, loss=0.5, delay_s=0.1, jitter_s=0.1, reorder=0.2, for_s=10),),
    )
    left = shrink(script, lambda script: any(step.loss for step in script.steps))
    assert left.steps == (Packets(at_s=0, loss=0.5, for_s=1),)


def test_no_script_is_tried_twice_or_more_often_than_it_may():
    asked = []

    def fails(script):
        asked.append(script.as_yaml())
        return len(asked) % 3 == 0

    shrink(random_script(3, nodes=6, faults=9), fails, most_tries=50)
    assert len(asked) == len(set(asked)) <= 50


def test_a_script_that_fails_without_steps_loses_them_at_once():
    assert shrink(random_script(1, nodes=40, faults=9), lambda _: True) == Script(nodes=1)
