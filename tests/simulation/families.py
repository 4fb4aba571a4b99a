"""Families of random scripts, each made to need certain safeguards."""

from random import Random

from cluster_kit.testing.simulation.scripts.script import Script
from cluster_kit.testing.simulation.scripts.steps import (
    ClockJump,
    Crash,
    Cut,
    Freeze,
    Join,
    Leave,
    Packets,
    Partition,
    PowerOff,
    Restart,
    Starve,
)

START_S = 2.0  # the cluster has formed by then


def _when(random: Random, span_s: float = 3.0) -> float:
    return round(START_S + span_s * random.random(), 3)


def nothing(nodes: int):
    """Let nothing happen to ``nodes`` nodes."""
    return lambda random: Script(nodes=nodes)


def crash(random: Random) -> Script:
    """Kill the last node, or turn its machine off."""
    kind = random.choice((Crash, PowerOff))
    return Script(nodes=5, steps=(kind(at_s=_when(random), nodes=(5,)),))


def power_off(random: Random) -> Script:
    """Turn the machine of a node off."""
    return Script(nodes=4, steps=(PowerOff(at_s=_when(random), nodes=(random.randint(1, 4),)),))


def long_freeze(random: Random) -> Script:
    """Freeze a node for longer than it takes to expire."""
    at_s = _when(random)
    freeze = Freeze(at_s=at_s, nodes=(random.randint(1, 4),), for_s=random.uniform(10.5, 20))
    return Script(nodes=4, steps=(freeze,))


def short_freeze(random: Random) -> Script:
    """Freeze a node for about as long as it takes to be found silent."""
    return Script(
        nodes=4, steps=(Freeze(at_s=_when(random), nodes=(1,), for_s=random.uniform(2.4, 3.6)),)
    )


def reborn(random: Random) -> Script:
    """Turn a node off and on again before the others notice."""
    at_s = _when(random)
    node = random.randint(1, 4)
    return Script(
        nodes=4, steps=(PowerOff(at_s=at_s, nodes=(node,)), Restart(at_s=at_s + 0.1, nodes=(node,)))
    )


def clock_set_back(random: Random) -> Script:
    """Let a node come back with its clock set back."""
    at_s, node = _when(random), random.randint(1, 6)
    steps = (Crash(at_s=at_s, nodes=(node,)), ClockJump(at_s=at_s, nodes=(node,), by_s=-60.0))
    return Script(nodes=6, steps=(*steps, Restart(at_s=at_s + 0.2, nodes=(node,))))


def halves(random: Random) -> Script:
    """Partition a cluster until its halves have forgotten each other."""
    return Script(
        nodes=8,
        steps=(
            Partition(at_s=_when(random), groups=((1, 2, 3, 4),), for_s=random.uniform(25, 30)),
        ),
    )


def orphans(random: Random) -> Script:
    """Partition two nodes, and turn off all whose addresses are configured."""
    at_s = _when(random)
    steps = (
        Partition(at_s=at_s, groups=((5,),), for_s=random.uniform(18, 30)),
        PowerOff(at_s=at_s + 1, nodes=(1, 2, 3)),
    )
    return Script(nodes=5, steps=steps)


def overtaken(random: Random) -> Script:
    """Let goodbyes overtake heartbeats."""
    at_s, node = _when(random), random.randint(1, 4)
    packets = Packets(at_s=at_s - 1.5, reorder=0.5, for_s=3.0)
    return Script(nodes=4, steps=(packets, Leave(at_s=at_s, nodes=(node,))))


def successors(random: Random) -> Script:
    """Let a node leave and come back at once, on a network that reorders packets."""
    at_s, node = _when(random), random.randint(1, 5)
    packets = Packets(at_s=at_s - 1.5, reorder=0.5, for_s=4.0)
    gone = random.choice((Leave, Crash))(at_s=at_s, nodes=(node,))
    return Script(
        nodes=5,
        steps=(
            packets,
            gone,
            Restart(at_s=round(at_s + random.uniform(0.002, 0.06), 3), nodes=(node,)),
        ),
    )


def goodbye(random: Random) -> Script:
    """Let a node leave."""
    return Script(nodes=6, steps=(Leave(at_s=_when(random), nodes=(random.randint(1, 6),)),))


def goodbye_amid_starvation(random: Random) -> Script:
    """Let a node leave while all nodes starve."""
    at_s = _when(random)
    starve = Starve(at_s=at_s - 1.5, nodes=(1, 2, 3, 4), for_s=4.0)
    return Script(nodes=4, steps=(starve, Leave(at_s=at_s, nodes=(random.randint(1, 4),))))


def unheard_newcomer(random: Random) -> Script:
    """Let a newcomer's first packets get lost."""
    at_s = _when(random)
    return Script(
        nodes=4, steps=(Join(at_s=at_s, nodes=(5,)), Cut(at_s=at_s, nodes=(5,), for_s=0.05))
    )


def late_farewell(random: Random) -> Script:
    """Let a node leave while another can't learn that, and goes on recommending it."""
    at_s = _when(random, 8)
    cut = Cut(at_s=at_s - 0.2, nodes=(4,), to=(5,), for_s=6.0)
    return Script(nodes=6, steps=(cut, Leave(at_s=at_s, nodes=(4,))))


def churn(random: Random) -> Script:
    """Let nodes come and go."""
    at_s, steps = START_S, []
    for _ in range(4):
        node = random.randint(1, 7)
        kind = random.choice((Crash, Leave, PowerOff))
        steps += [
            kind(at_s=at_s, nodes=(node,)),
            Restart(at_s=round(at_s + random.choice((0.1, 1.0, 6.0)), 3), nodes=(node,)),
        ]
        at_s = round(at_s + random.uniform(0.2, 4), 3)
    return Script(nodes=7, steps=tuple(steps))


def interrupted_handshakes(random: Random) -> Script:
    """Turn a node off during a handshake, on a slow network."""
    slow = Packets(at_s=0.0, delay_s=0.2, for_s=6.0)
    at_s, node = round(random.uniform(0.2, 2.0), 3), random.randint(1, 4)
    return Script(
        nodes=4,
        steps=(slow, PowerOff(at_s=at_s, nodes=(node,)), Restart(at_s=at_s + 0.5, nodes=(node,))),
    )


def restless(random: Random) -> Script:
    """Let a node crash again and again."""
    at_s, steps = START_S, []
    for _ in range(4):
        steps += [
            Crash(at_s=at_s, nodes=(1,)),
            Restart(at_s=round(at_s + random.choice((0.01, 0.05)), 3), nodes=(1,)),
        ]
        at_s = round(at_s + random.choice((0.02, 0.1, 0.3)), 3)
    steps = steps[: random.randint(3, 8)]
    return Script(nodes=3, steps=tuple(steps))


def crossing(random: Random) -> Script:
    """Let nodes dial each other at once, on a slow network."""
    return Script(nodes=random.randint(2, 5), steps=(Packets(at_s=0.0, delay_s=0.2),))


def two_apart(random: Random) -> Script:
    """Partition two nodes for a long time."""
    return Script(
        nodes=2,
        steps=(Partition(at_s=_when(random), groups=((1,),), for_s=random.uniform(120, 240)),),
    )


def black_holes(random: Random) -> Script:
    """Let a newcomer dial two silent machines before one that answers."""
    at_s = _when(random)
    return Script(
        nodes=4, steps=(PowerOff(at_s=at_s, nodes=(1, 2)), Join(at_s=at_s + 20, nodes=(5,)))
    )


def during_forgery(random: Random) -> Script:
    """Delay packets a little, until ``Forging`` has sent something."""
    return Script(
        nodes=random.randint(2, 5), steps=(Packets(at_s=_when(random, 6), delay_s=0.01, for_s=3.0),)
    )


def partition_after_forgery(random: Random) -> Script:
    """Partition one node until its links are down, after ``Forging`` has ended."""
    steps = (Partition(at_s=round(5 + random.random(), 3), groups=((1,),), for_s=4.5),)
    return Script(nodes=random.randint(2, 5), steps=steps)
