"""Five nodes exchange messages while links are cut, workers killed and applications restarted.

Senders and receivers write down what they say and hear; afterwards it is judged: nothing twice,
nothing out of order, nothing for the sender itself, and whatever was handed over and did not come
is in a gap. ``tox -e attacks`` says a million messages.
"""

import asyncio
import random
import signal
import threading
import time
from collections import defaultdict

import pytest
from talker import HANDED_OVER, HEARD, LOST, NOBODY_KNOWS, RECORD, REFUSED
from talking import DEADLINE_S, Talk
from waiting import until
from watched import FULL, free_port

pytestmark = [pytest.mark.once, pytest.mark.timeout(3600 if FULL else 120)]

NAMES = ("ann", "bob", "eve", "joe", "zoe")
MESSAGES = 1_000_000 if FULL else 15_000
EACH_S = 0.0005 if FULL else 0.004  # between two messages of one sender, at least
SILENT_S = 1.5  # until a link is given up
LONG_S = 2.5  # more than that
BREATH_S = 1.0 if FULL else 0.4  # between two faults


class Routes(threading.Thread):
    """The routes to all nodes, each through a socket of this process that can be cut."""

    def __init__(self, names):
        super().__init__()
        self.behind = {name: free_port() for name in names}
        self.ports = {}
        self._ways = []
        self._open = asyncio.Event()
        self._open.set()
        self._are_up = threading.Event()

    def __enter__(self):
        self.start()
        assert self._are_up.wait(DEADLINE_S)
        return self

    def __exit__(self, *exc_info):
        self._loop.call_soon_threadsafe(self._end.set)
        self.join()

    def cut(self):
        """Cut some ways, whatever is on them."""
        self._loop.call_soon_threadsafe(
            lambda: [self._cut(way) for way in list(self._ways) if random.random() < 0.5]
        )

    def _cut(self, way):
        for writer in way:
            writer.transport.abort()

    def hold_up(self, seconds):
        """Let nothing through for a while."""
        self._loop.call_soon_threadsafe(self._open.clear)
        time.sleep(seconds)
        self._loop.call_soon_threadsafe(self._open.set)

    def run(self):
        asyncio.run(self._serve())

    async def _serve(self):
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        servers = [await self._serve_one(name) for name in self.behind]
        self._are_up.set()
        await self._end.wait()
        for server in servers:
            server.close()
        self._open.set()
        for way in list(self._ways):
            self._cut(way)
        for server in servers:
            await server.wait_closed()

    async def _serve_one(self, name):
        async def take(reader, writer):
            try:
                behind = await asyncio.open_connection("127.0.0.1", self.behind[name])
            except OSError:
                writer.transport.abort()
                return
            self._ways.append(way := (writer, behind[1]))
            try:
                await asyncio.gather(self._copy(reader, behind[1]), self._copy(behind[0], writer))
            finally:
                self._ways.remove(way)
                self._cut(way)

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        self.ports[name] = server.sockets[0].getsockname()[1]
        return server

    async def _copy(self, reader, writer):
        try:
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()


class Conversation:
    """Five nodes that talk, and what they wrote down."""

    def __init__(self, talk, routes, folder):
        self.names = [f"{name}@127.0.0.1" for name in NAMES]
        self.topics = [
            "all",
            *(f"to {name}" for name in NAMES),
            *(f"for {name} alone" for name in NAMES),
        ]
        self.folder = folder
        self._talk = talk
        self._routes = routes
        self._runs = defaultdict(int)

    def make(self, name):
        """Run a node that receives; it is not started."""
        where = {
            "heartbeat_s": 0.5,
            "silent_s": SILENT_S,
            "port": self._routes.behind[name],
            "advertise": f"127.0.0.1:{self._routes.ports[name]}",
        }
        talker = self._talk.make(name, **where)
        self._runs[name] += 1
        topics = [topic if topic == "all" or f" {name}" in topic else None for topic in self.topics]
        talker.do("record", topics=topics, names=self.names, path=self._file("heard", name))
        return talker

    def speak(self, name, count):
        own = [
            [topic, self._receiver(topic)] if f" {name}" not in topic else None
            for topic in self.topics
        ]
        self._talk.talkers[name].do(
            "speak", topics=own, path=self._file("said", name), count=count, each_s=EACH_S
        )

    def _receiver(self, topic):
        """Return how many listen to a topic, or receive it by name."""
        if topic.endswith("alone"):
            return f"{topic.split()[1]}@127.0.0.1"
        return len(NAMES) - 1 if topic == "all" else 1

    def _file(self, what, name):
        return str(self.folder / f"{what}-{name}-{self._runs[name]}")

    def restart(self, name):
        """Kill an application, and run another one under its name, which says the rest."""
        talker = self._talk.talkers[name]
        talker.end()
        self.make(name).begin("start", nodes=1)
        self._talk.talkers[name].worker = self._talk.talkers[name].done()
        said = sum(len(self.records("said", name, run)) for run in range(1, self._runs[name]))
        self.speak(name, max(1, MESSAGES // len(NAMES) - said))

    # -- the judgement -----------------------------------------------------------------------------

    def records(self, what, name, run):
        file = self.folder / f"{what}-{name}-{run}"
        return list(RECORD.iter_unpack(file.read_bytes())) if file.exists() else []

    def said(self):
        """Return what came of each number, by the speaker's run and topic."""
        said = defaultdict(dict)
        for name, runs in self._runs.items():
            for run in range(1, runs + 1):
                for outcome, topic, _, token, number in self.records("said", name, run):
                    said[token, topic][number] = outcome
        return said

    def has_all_last(self):
        """Whether all living nodes have received the last word of each other."""
        last = {}
        for name in NAMES:
            for _, topic, _, token, number in self.records("said", name, self._runs[name]):
                last[token, topic] = (number, name)
        for name in NAMES:
            heard = {
                record[3:]
                for record in self.records("heard", name, self._runs[name])
                if record[0] == HEARD
            }
            mine = [
                (token, number)
                for (token, topic), (number, by) in last.items()
                if by != name and self._is_for(topic, name)
            ]
            if not heard.issuperset(mine):
                return False
        return True

    def _is_for(self, topic, name):
        return topic == 0 or f" {name}" in self.topics[topic]

    def judge(self):
        """Check everything received; return how many messages came and how many gaps count."""
        said, heard, counted = self.said(), 0, 0
        for name, runs in self._runs.items():
            for run in range(1, runs + 1):
                streams = defaultdict(list)
                for kind, topic, sender, token, number in self.records("heard", name, run):
                    assert self.names[sender] != f"{name}@127.0.0.1", "it hears itself"
                    streams[topic, sender].append((kind, token, number))
                for (topic, sender), items in streams.items():
                    stream = Stream(
                        f"{name} {run}, '{self.topics[topic]}' of {self.names[sender]}",
                        topic,
                        said,
                        run == 1,
                    )
                    for item in items:
                        stream.take(*item)
                    heard, counted = heard + stream.heard, counted + stream.counted
        return heard, counted


class Stream:
    """What one run of a receiver got on one topic from one sender.

    Args:
        said: By which run of the sender and which number.
        from_start: Whether the receiver is there from the first message on.
    """

    def __init__(self, what, topic, said, from_start):
        self.heard = self.counted = 0
        self._what = what
        self._topic = topic
        self._said = said
        self._from_start = from_start
        self._token, self._last = None, 0
        self._over = set()
        self._gaps = []

    def take(self, kind, token, number):
        if kind == LOST:
            self._gaps.append(None if number == NOBODY_KNOWS else number)
            return
        assert kind == HEARD
        self.heard += 1
        if token != self._token:
            assert token not in self._over, f"{self._what}: a run that is over speaks again"
            self._begin(token, number)
        else:
            assert number > self._last, f"{self._what}: {number} comes after {self._last}"
            self._check_gap(token, self._last, number)
        self._token, self._last = token, number
        self._gaps = []

    def _begin(self, token, number):
        """Check where the sender's last run has ended, and its new one begins."""
        missing = []
        if self._token is not None:
            self._over.add(self._token)
            missing += self._handed_over(self._token, self._last)
        if self._from_start or self._token is not None:
            missing += self._handed_over(token, 0, number)
        assert not missing or self._gaps, (
            f"{self._what}: nothing tells that {missing[:5]} are missing, of the last run or this"
        )

    def _check_gap(self, token, last, number):
        handed_over = self._handed_over(token, last, number)
        if None in self._gaps:
            return
        lost, most = sum(self._gaps), number - last - 1
        assert len(handed_over) <= lost <= most, (
            f"{self._what}: gaps of {self._gaps} between {last} and {number}: "
            f"{len(handed_over)} of these were handed over and did not come"
        )
        self.counted += lost

    def _handed_over(self, token, last, number=None):
        """Return what was handed over behind ``last``, and before ``number``."""
        said = self._said[token, self._topic]
        if number is None:
            number = max(said, default=0) + 1
        return [each for each in range(last + 1, number) if said.get(each) == HANDED_OVER]


def faults(conversation, talk, routes):
    """Inflict every kind of fault, at least once each and at random, until all have spoken."""
    chance = random.Random()

    def anybody():
        return chance.choice(list(talk.talkers.values()))

    def freeze(seconds, **whom):
        with anybody().frozen(**whom):
            time.sleep(seconds)

    kinds = {
        "links are cut": routes.cut,
        "links are held up": lambda: routes.hold_up(0.5),
        "links are held up for long": lambda: routes.hold_up(LONG_S),
        "a worker is killed": lambda: anybody().signal_worker(signal.SIGKILL),
        "an application is frozen": lambda: freeze(0.5),
        "a node is frozen": lambda: freeze(LONG_S, worker=True),
        "an application is killed": lambda: conversation.restart(chance.choice(NAMES)),
    }
    done = defaultdict(int)
    while len(done) < len(kinds) or any(talker.do("speaks") for talker in talk.talkers.values()):
        left = [kind for kind in kinds if not done[kind]] or list(kinds)
        kind = chance.choice(left)
        kinds[kind]()
        done[kind] += 1
        time.sleep(BREATH_S)
    return dict(done)


def test_nothing_twice_nothing_out_of_order_and_every_loss_is_reported(tmp_path):
    with Talk() as talk, Routes(NAMES) as routes:
        conversation = Conversation(talk, routes, tmp_path)
        talk.start(*(conversation.make(name) for name in NAMES))
        for name in NAMES:
            conversation.speak(name, MESSAGES // len(NAMES))
        done = faults(conversation, talk, routes)
        for talker in talk.talkers.values():
            talker.begin("end_speech")
        for talker in talk.talkers.values():
            talker.done()
        until(conversation.has_all_last, "everybody has heard the last of everybody", DEADLINE_S)
        heard, counted = conversation.judge()
        outcomes = [
            outcome for numbers in conversation.said().values() for outcome in numbers.values()
        ]
        print(
            f"\n{len(outcomes)} said, of which {outcomes.count(REFUSED)} to nobody; {heard} heard, "
            f"{counted} in gaps: {done}"
        )
        assert heard > MESSAGES / 2
        assert counted
