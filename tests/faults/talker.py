"""An application for tests to kill, freeze and flood, whose topics do as its standard input says.

Standard input has one command a line, ``[NAME, ARGUMENTS]`` as JSON; standard output one result a
line. What it hears on the topics of ``record``, and what it says by ``speak``, it writes to files,
which are whole whenever it is killed.
"""

import hashlib
import json
import os
import random
import struct
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from cluster_kit import (
    ClusterKitError,
    Gap,
    NodeDown,
    NodeUp,
    NotSentError,
    Supervisor,
    TopologyRestarted,
)

# what it is, the topic, the sender, which run of that, and a number
RECORD = struct.Struct("<BBBQq")
HANDED_OVER, PERHAPS, REFUSED, HEARD, LOST = range(5)
NOBODY_KNOWS = -1


class Application:
    """What can be commanded."""

    def __init__(self, config):
        self.supervisor = Supervisor(config)
        self._subscriptions = {}
        self._let_go = threading.Event()
        self._speaker = None
        self._lost = self._asked = 0
        self._delays = []
        self._speaks = True
        self._faults_are_over = threading.Event()
        self._run = random.getrandbits(63)

    def start(self, nodes, timeout_s=60):
        self.supervisor.subscribe(self._count)
        self.supervisor.start()
        self.supervisor.wait_for(nodes, timeout_s=timeout_s)
        return self.pid()

    def pid(self):
        return self.supervisor.status()["lan"].pid

    def address(self):
        return self.supervisor.status()["lan"].address

    def events(self):
        """Return how often a link or a worker was lost so far."""
        return self._lost

    def _count(self, event):
        self._lost += isinstance(event, NodeDown | TopologyRestarted)

    def round_trips(self):
        """Return the seconds that heartbeats to peers have taken last."""
        return [link.rtt_s or 0 for link in self.supervisor.status()["lan"].links]

    def nodes(self, topic=None):
        nodes = self.supervisor.nodes() if topic is None else self.supervisor.topic(topic).nodes()
        return [node.name for node in nodes]

    def stop(self):
        self.supervisor.stop()

    # -- hearing -----------------------------------------------------------------------------------

    def subscribe(self, topic, **bounds):
        self._subscriptions[topic] = self.supervisor.topic(topic).subscribe(**bounds)

    def read(self, topic, count, of=None, timeout_s=30):
        """Return so many items of one sender."""
        items = []
        while len(items) < count:
            item = self._subscriptions[topic].get(timeout_s)
            if of is None or item.sender.name == of:
                items.append(_plain(item))
        return items

    def read_numbers(self, topic, count):
        """Read so many numbered messages and say which they were, if they are in order."""
        numbers = [self._subscriptions[topic].get(60).data[0] for _ in range(count)]
        assert numbers == sorted(set(numbers))
        return {"first": numbers[0], "last": numbers[-1], "heard": len(numbers)}

    def read_digest(self, topic):
        data = self._subscriptions[topic].get(60).data
        return {"size": len(data), "digest": hashlib.sha256(data).hexdigest()}

    def delays(self, count):
        """Return how long messages that hold their time have taken; see ``time_delays``."""
        while len(self._delays) < count:
            time.sleep(0.01)
        return self._delays

    def time_delays(self, topic):
        """Begin to measure them."""
        subscription = self.supervisor.topic(topic).subscribe()
        threading.Thread(target=self._time_delays, args=(subscription,), daemon=True).start()

    def _time_delays(self, subscription):
        for item in subscription:
            if not isinstance(item, Gap) and isinstance(item.data, float):
                self._delays.append(time.monotonic() - item.data)

    def empty(self, topic):
        """Read what is queued."""
        while self._subscriptions[topic].poll() is not None:
            pass

    def queued(self, topic):
        return self._subscriptions[topic].queued

    def record(self, topics, names, path):
        """Record what comes from senders of these names, in a thread per topic."""
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number, topic in enumerate(topics):
            if topic is None:
                continue
            subscription = self.supervisor.topic(topic).subscribe()
            threading.Thread(
                target=self._record, args=(number, subscription, names, file), daemon=True
            ).start()

    def _record(self, topic, subscription, names, file):
        for item in subscription:
            sender = names.index(item.sender.name)
            if isinstance(item, Gap):
                record = RECORD.pack(
                    LOST, topic, sender, 0, NOBODY_KNOWS if item.lost is None else item.lost
                )
            else:
                record = RECORD.pack(HEARD, topic, sender, *item.data)
            os.write(file, record)

    # -- saying ------------------------------------------------------------------------------------

    def publish(self, topic, data):
        return self.supervisor.topic(topic).publish(data)

    def speak_small(self, topic):
        """Begin to publish small messages, which hold their time, each few milliseconds."""
        self._speaker = threading.Thread(
            target=self._speak_small, args=(self.supervisor.topic(topic),), daemon=True
        )
        self._speaker.start()

    def _speak_small(self, topic):
        self._small = 0
        while not self._faults_are_over.wait(0.005):
            self._small += topic.publish(time.monotonic())

    def end_small(self):
        """Return how many that were."""
        self._faults_are_over.set()
        self._speaker.join()
        return self._small

    def send_large(self, to, topic, size):
        """Send a large message, and return what it is recognised by."""
        data = os.urandom(size)
        self.supervisor.topic(topic).send(to, data, timeout_s=60)
        return {"size": size, "digest": hashlib.sha256(data).hexdigest()}

    def send_bytes(self, to, topic, size):
        return _result(lambda: self.supervisor.topic(topic).send(to, bytes(size)))

    def publish_many(self, topic, count, each_s, size=100):
        """Publish numbered messages, at least ``each_s`` apart; return how many and how long."""
        speaker, padding = self.supervisor.topic(topic), "x" * size
        began_s, handed_over = time.monotonic(), 0
        for number in range(count):
            handed_over += speaker.publish([number, padding])
            ahead_s = began_s + number * each_s - time.monotonic()
            if ahead_s > 0.01:
                time.sleep(ahead_s)
        return [handed_over, time.monotonic() - began_s]

    def greet(self, topic):
        """Publish to each node from now on, at the moment when it comes up."""
        greet = self.supervisor.topic(topic).publish
        self.supervisor.subscribe(
            lambda event: isinstance(event, NodeUp) and greet(f"on the link to {event.node.name}")
        )

    def send(self, to, topic, data, timeout_s=5):
        return _result(lambda: self.supervisor.topic(topic).send(to, data, timeout_s=timeout_s))

    def speak(self, topics, path, count, each_s):
        """Begin to send numbered messages on topics: each with its name, and its receivers."""
        self._speaker = threading.Thread(
            target=self._speak, args=(topics, path, count, each_s), daemon=True
        )
        self._speaker.start()

    def _speak(self, topics, path, count, each_s):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        speakers = [
            (number, self.supervisor.topic(pair[0]), pair[1])
            for number, pair in enumerate(topics)
            if pair is not None
        ]
        numbers, began_s = [0] * len(topics), time.monotonic()

        def say(number, topic, to):
            numbers[number] += 1
            outcome = self._say(topic, to, [self._run, numbers[number]])
            os.write(file, RECORD.pack(outcome, number, 0, self._run, numbers[number]))
            return outcome

        for turn in range(count):
            say(*random.choice(speakers))
            ahead_s = began_s + turn * each_s - time.monotonic()
            if ahead_s > 0.01:
                time.sleep(ahead_s)
        self._speaks = False
        self._faults_are_over.wait()
        for each in speakers:
            while say(*each) != HANDED_OVER:
                time.sleep(0.1)

    def _say(self, topic, to, data):
        if isinstance(to, int):
            count = topic.publish(data)
            return HANDED_OVER if count == to else PERHAPS if count else REFUSED
        try:
            topic.send(to, data, timeout_s=0.1)
        except NotSentError:
            return REFUSED
        return HANDED_OVER

    def end_speech(self):
        """Have each topic's last message sent after the last fault, and wait for that."""
        self._faults_are_over.set()
        self._speaker.join()

    def speaks(self):
        return self._speaks

    # -- questions ---------------------------------------------------------------------------------

    def answer(self, topic, how):
        self.supervisor.topic(topic).answer(getattr(self, f"_{how}"))

    def _echo(self, message):
        return message.data

    def _raise(self, message):
        raise ValueError("x" * 3000)

    def _wait(self, message):
        self._asked += 1
        self._let_go.wait(60)
        return message.data

    def asked(self):
        """Return how many questions wait, or have waited."""
        return self._asked

    def let_go(self):
        self._let_go.set()

    def ask(self, to, topic, data, timeout_s=5):
        return _result(lambda: self.supervisor.topic(topic).ask(to, data, timeout_s=timeout_s))

    def ask_many(self, to, topic, count, timeout_s):
        """Ask all at once; return how often each came of it."""
        with ThreadPoolExecutor(count) as threads:
            ends = list(
                threads.map(lambda number: self.ask(to, topic, number, timeout_s), range(count))
            )
        return Counter(end.get("error", "value") for end in ends)


def _plain(item):
    return ["gap", item.lost] if isinstance(item, Gap) else ["message", item.data]


def _result(call):
    began_s = time.monotonic()
    try:
        return {"value": call(), "s": time.monotonic() - began_s}
    except (ClusterKitError, ValueError) as exc:
        return {"error": type(exc).__name__, "text": str(exc), "s": time.monotonic() - began_s}


def main():
    application = Application(json.loads(sys.argv[1]))
    for line in sys.stdin:
        command, arguments = json.loads(line)
        result = getattr(application, command)(**arguments)
        os.write(1, json.dumps(result).encode() + b"\n")


if __name__ == "__main__":
    main()
