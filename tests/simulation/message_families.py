"""Families of random scripts with messages, each made to need certain safeguards."""

from random import Random

from families import START_S

from cluster_kit.testing.simulation.scripts.message_steps import TOPIC
from cluster_kit.testing.simulation.scripts.script import Script
from cluster_kit.testing.simulation.scripts.steps import (
    Ask,
    Cut,
    Join,
    KillWorker,
    Leave,
    Listen,
    Packets,
    Partition,
    PowerOff,
    Publish,
    Restart,
    Send,
    Stall,
    Step,
    Unlisten,
)


def _when(random: Random) -> float:
    return round(START_S + random.random(), 3)


def _talk(random: Random, at_s: float, **options) -> Publish:
    return Publish(at_s=at_s, times=random.randint(20, 60), every_s=0.05, **options)


def _script(nodes: int, *steps: Step) -> Script:
    return Script(nodes=nodes, steps=steps)


def talk(random: Random) -> Script:
    """Let all nodes publish."""
    return _script(3, _talk(random, _when(random)))


def talk_until_cut(random: Random) -> Script:
    """Let all nodes publish, and stop before a broken link is back."""
    at_s = _when(random)
    return _script(
        3,
        _talk(random, at_s),
        Partition(at_s=at_s + 0.5, groups=((1,),), for_s=random.uniform(5, 7)),
    )


def talk_until_worker_dies(random: Random) -> Script:
    """Kill the worker of a cut-off node, and stop publishing before the link is back."""
    at_s, node = _when(random), random.randint(1, 3)
    cut = Cut(at_s=at_s + 0.3, nodes=(node,), for_s=random.uniform(1, 3))
    return _script(3, _talk(random, at_s), cut, KillWorker(at_s=at_s + 0.8, nodes=(node,)))


def last_words(random: Random) -> Script:
    """Turn off a node that is cut off and goes on publishing."""
    at_s, node = _when(random), random.randint(1, 3)
    cut = Cut(at_s=at_s + 0.3, nodes=(node,), for_s=2.0)
    return _script(3, _talk(random, at_s), cut, PowerOff(at_s=at_s + 0.8, nodes=(node,)))


def replaced(random: Random) -> Script:
    """Turn off such a node, and restart it under its name."""
    at_s, node = _when(random), random.randint(1, 3)
    cut = Cut(at_s=at_s + 0.3, nodes=(node,), for_s=2.0)
    off, on = PowerOff(at_s=at_s + 0.8, nodes=(node,)), Restart(at_s=at_s + 1.0, nodes=(node,))
    return _script(3, _talk(random, at_s), cut, off, on)


def stalled(random: Random) -> Script:
    """Let a node read nothing until its window is full."""
    at_s, node = _when(random), random.randint(1, 3)
    publish = Publish(at_s=at_s, times=random.randint(120, 200), every_s=0.005)
    return _script(3, publish, Stall(at_s=at_s, nodes=(node,), for_s=3.0))


def wait_for_room(random: Random) -> Script:
    """Send more at once than there is room for."""
    at_s = _when(random)
    return _script(
        2,
        Send(at_s=at_s, nodes=(1,), times=250, every_s=0.0),
        Stall(at_s=at_s, nodes=(2,), for_s=1.0),
    )


def bulky(random: Random) -> Script:
    """Publish a lot on a slow network."""
    at_s = _when(random)
    publish = Publish(
        at_s=at_s + 0.5, nodes=(1,), times=random.randint(10, 30), every_s=0.0, bytes=30_000
    )
    return _script(2, Packets(at_s=at_s, delay_s=0.2), publish)


def long_ones(random: Random) -> Script:
    """Publish messages in parts on two topics at once."""
    at_s, size = _when(random), random.randint(100_000, 200_000)
    long_ones = [
        Publish(at_s=at_s, nodes=(1,), topic=topic, times=5, every_s=0.0, bytes=size)
        for topic in (TOPIC, "extra")
    ]
    return _script(2, Listen(at_s=at_s - 0.5, nodes=(2,), topic="extra"), *long_ones)


def goodbye(random: Random) -> Script:
    """Let a node leave while all publish."""
    at_s = _when(random)
    return _script(3, _talk(random, at_s), Leave(at_s=at_s + random.random(), nodes=(1,)))


def impatient(random: Random) -> Script:
    """Give up questions that are about to be answered."""
    return _script(
        3, Ask(at_s=_when(random), times=random.randint(5, 30), every_s=0.03, timeout_s=0.2)
    )


def asked_amid_cuts(random: Random) -> Script:
    """Kill a worker while questions are open."""
    at_s = _when(random)
    ask = Ask(at_s=at_s, times=random.randint(10, 30), every_s=0.05)
    return _script(
        3, ask, KillWorker(at_s=round(at_s + random.random(), 3), nodes=(random.randint(1, 3),))
    )


def interests(random: Random) -> Script:
    """Let nodes listen to another topic, and one of them stop."""
    at_s = _when(random)
    listen = Listen(at_s=at_s, nodes=(1, 2), topic="extra")
    return _script(
        3,
        listen,
        Publish(at_s=at_s + 1, topic="extra", times=10),
        Unlisten(at_s=at_s + 2, nodes=(2,), topic="extra"),
    )


def listen_amid_handshakes(random: Random) -> Script:
    """Let a node listen to another topic during its handshakes, on a slow network."""
    at_s = _when(random)
    listen = Listen(at_s=round(at_s + random.uniform(0.0, 0.8), 3), nodes=(3,), topic="extra")
    return _script(2, Packets(at_s=at_s - 1, delay_s=0.1), Join(at_s=at_s, nodes=(3,)), listen)


def interests_of_newcomer(random: Random) -> Script:
    """Let a node listen to another topic before it meets a newcomer."""
    at_s = _when(random)
    return _script(
        2,
        Listen(at_s=at_s, nodes=(1,), topic="extra"),
        Join(at_s=round(at_s + random.random() + 0.1, 3), nodes=(3,)),
    )
