"""Scripts of what may happen to applications that exchange messages, as numbers."""

from dataclasses import dataclass
from random import Random

from message_world import ANSWERS_ONLY, FICKLE, SIZES, STEADY, WINDOWS, World

from cluster_kit.topics.peers import DOUBT_S

Script = list[tuple[int, int, int, int]]


def play(world: World, steps: Script) -> None:
    """Do one thing after another; each step is four numbers."""
    for what, who, whom, much in steps:
        names = list(world.apps)
        name = names[who % len(names)]
        peer = names[(who + 1 + whom % (len(names) - 1)) % len(names)]
        links = [number for number, link in world.links.items() if link.is_alive]
        topic = FICKLE if much % 5 > 2 else STEADY
        step = Step(world, name, peer, topic, SIZES[much % len(SIZES)], who, whom, much)
        if what <= 5:
            if what <= 1:
                world.connect(name, peer)
            elif links:
                on_link(step, what, links[whom % len(links)])
        else:
            DEEDS[what](step)


@dataclass(frozen=True)
class Step:
    """One thing to do: sender, receiver, and numbers for the rest."""

    world: World
    name: str
    peer: str
    topic: str
    size: int
    who: int
    whom: int
    much: int


def on_link(step: Step, what: int, number: int) -> None:
    if what > 2:
        step.world.carry(number, step.world.links[number].ends[step.who % 2], step.much % 10)
    elif step.much % 8 == 0:
        step.world.cut(number)


def restart(step: Step) -> None:
    if step.much % 12 == 0:
        step.world.restart(step.name, closes=step.whom % 2 == 0, renamed=step.whom % 3 == 0)


def replace_worker(step: Step) -> None:
    if step.much % 9 == 0:
        step.world.replace_worker(step.name)


def tick(step: Step) -> None:
    step.world.tick((0.5, 1.0, DOUBT_S if step.much % 5 == 0 else 0.2)[step.much % 3])


def listen_now_and_then(step: Step) -> None:
    interests = (None, ANSWERS_ONLY, *WINDOWS) if step.much % 2 else WINDOWS
    step.world.listen(step.name, FICKLE, interests[step.whom % len(interests)])


DEEDS = {
    **dict.fromkeys((6, 7, 8), lambda step: step.world.process(step.name, step.much % 12)),
    **dict.fromkeys((9, 10, 11), lambda step: step.world.publish(step.name, step.topic, step.size)),
    **dict.fromkeys(
        (12, 13), lambda step: step.world.send(step.name, step.peer, step.topic, step.size)
    ),
    14: lambda step: step.world.ask(step.name, step.peer, step.size),
    **dict.fromkeys((15, 16, 17), lambda step: step.world.read(step.name, step.much % 9)),
    18: lambda step: step.world.answer(step.name, step.much),
    19: tick,
    20: restart,
    21: lambda step: step.world.listen(step.name, STEADY, WINDOWS[step.much % len(WINDOWS)]),
    22: listen_now_and_then,
    23: lambda step: step.world.withdraw(step.name, step.much),
    24: replace_worker,
    25: lambda step: step.world.update_worker(step.name),
}


def random_steps(random: Random, steps: int) -> Script:
    """Return a script of up to so many steps, which prefers some deeds to others."""
    deeds = [0, 3, 6, *random.choices(range(26), k=random.randint(5, 26))]
    return [
        (random.choice(deeds), random.randrange(6), random.randrange(6), random.randrange(60))
        for _ in range(random.randint(steps // 10, steps))
    ]


def part_for_long(world: World) -> None:
    """Break all links for so long that nobody waits for anybody, and read everything."""
    for number in world.links:
        world.cut(number)
    world.until_quiet()
    world.tick(DOUBT_S + 1)
    world.until_quiet()


def end_fickle(world: World) -> None:
    """End one topic everywhere, and let everybody learn of it before anything else happens."""
    for name in world.apps:
        world.listen(name, FICKLE, None)
    for number, link in world.links.items():
        for name in link.ends:
            world.carry(number, name, len(link.wires[name]))
    for name, app in world.apps.items():
        world.process(name, len(app.inbox))


ENDINGS = (None, part_for_long, end_fickle)
