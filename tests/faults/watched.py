"""Real nodes with a secret, each on its own loopback address, watched for effects of an attack.

``CLUSTER_KIT_FULL_ATTACKS=1``, as ``tox -e attacks`` has it, makes attacks in full, which takes
many minutes; without it there are a few thousand datagrams and a few hundred connections.
"""

import os
import random
import secrets
import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import psutil
from waiting import until

from cluster_kit import NodeDown, NodeFound, NodeLost, NodeUp, Snapshot, Supervisor
from cluster_kit.events import TopologyReady

FULL = bool(os.environ.get("CLUSTER_KIT_FULL_ATTACKS"))
GROUP = "230.1.1.251"  # the default of gossip
FORMATION_S = 60.0
MAX_GROWTH = 1.10  # of a worker's memory
MAX_LOG_BYTES = 200_000 if FULL else 20_000
_STAMP_BYTES = 60  # of time, level and logger before each message


def free_port():
    """Return a port free for both UDP and TCP, outside the kernel's range for clients."""
    while True:
        port = random.randrange(20_000, 32_000)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
            socket.socket() as listener,
        ):
            try:
                datagrams.bind(("127.0.0.1", port))
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Watched:
    """A cluster; a context manager.

    Attributes:
        events: Each with the node that told it, from the last ``begin`` on; without snapshots.
        port: Of its gossip.
    """

    def __init__(self, caplog):
        self.cluster = f"test-{secrets.token_hex(6)}"
        self.secret = secrets.token_hex(32)
        self.port = free_port()
        self.nodes = {}
        self.events = []
        self._caplog = caplog
        self._stack = ExitStack()

    def __enter__(self):
        self._caplog.set_level("INFO", "cluster_kit")
        return self

    def __exit__(self, *exc_info):
        self._stack.close()

    def name(self, number):
        return f"n{number}@127.0.0.{number}"

    def config(self, number, strategy=None, *, port=0, group=None, **keys):
        strategy = strategy or {"name": "gossip", "port": self.port}
        entry = {
            "strategy": strategy,
            "connector": {"name": "tcp", "port": port},
            **({"group": group} if group else {}),
        }
        given = {
            "node": self.name(number),
            "cluster": self.cluster,
            "secret": self.secret,
            "topologies": {"lan": entry},
        }
        return {key: value for key, value in (given | keys).items() if value is not None}

    def start(self, number, strategy=None, **keys):
        """Start a node; it is stopped at the end."""
        node = Supervisor(self.config(number, strategy, **keys))
        name = str(node.local)

        def keep(event):
            if not isinstance(event, Snapshot):
                self.events.append((name, event))

        node.subscribe(keep)
        self.nodes[name] = self._stack.enter_context(node)
        return node

    def form(self, *numbers):
        """Start nodes by gossip, and wait until all are linked."""
        for number in numbers:
            self.start(number)
        for node in self.nodes.values():
            node.wait_for(len(self.nodes), timeout_s=FORMATION_S)

    def addresses(self):
        """Return where each node takes links."""
        return {name: node.status()["lan"].address for name, node in self.nodes.items()}

    def began(self):
        """Watch from now on, the nodes that run now, which have reported all that they know."""
        until(
            lambda: all(self._told(name) == self.nodes.keys() - {name} for name in self.nodes),
            "all to be told",
        )
        self.events.clear()
        self._caplog.clear()
        self._workers = [psutil.Process(node.status()["lan"].pid) for node in self.nodes.values()]
        self._rss = self._memory()
        self._descriptors = [worker.num_fds() for worker in self._workers]

    def unharmed(self, *newcomers):
        """Check that nothing has come of an attack, but that ``newcomers`` have joined."""
        old, new = self._old(), {self.name(number) for number in newcomers}
        for name, event in self.events:
            if isinstance(event, TopologyReady) and name in new:
                continue
            assert isinstance(event, NodeFound | NodeUp), f"{name} told {event}"
            assert event.node.name in (new if name in old else {*new, *old}), f"{name} told {event}"
        assert [worker.pid for worker in self._workers] == [
            self.nodes[name].status()["lan"].pid for name in old
        ]
        most = [number + len(newcomers) for number in self._descriptors]
        until(
            lambda: all(w.num_fds() <= m for w, m in zip(self._workers, most, strict=True)),
            f"descriptors: {most}",
        )
        growth = [after / before for before, after in zip(self._rss, self._memory(), strict=True)]
        assert max(growth) <= MAX_GROWTH, f"memory grew by {growth} from {self._rss}"
        assert self.log_bytes() < MAX_LOG_BYTES, "\n".join(self._caplog.messages[:50])

    def log_bytes(self):
        """Return how much was logged at INFO and above, as it would be in a file."""
        return sum(len(message) + _STAMP_BYTES for message in self._caplog.messages)

    def _told(self, name):
        """Return who is linked, as a node has reported it; ``None`` while others are known."""
        up, known = set(), set()
        for _, event in [each for each in self.events if each[0] == name]:
            match event:
                case NodeUp():
                    up.add(event.node.name)
                case NodeDown():
                    up.discard(event.node.name)
                case NodeFound():
                    known.add(event.node.name)
                case NodeLost():
                    known.discard(event.node.name)
        return up if up == known else None

    def _old(self):
        return list(self.nodes)[: len(self._workers)]

    def _memory(self):
        return [worker.memory_info().rss for worker in self._workers]


class Recorder:
    """Hears all that is said in the group of a cluster; a context manager.

    Attributes:
        heard: Each datagram with where it came from.
    """

    def __init__(self, port):
        self.heard = []
        self._ended = threading.Event()
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._sock.bind((GROUP, port))
        self._sock.setsockopt(
            socket.IPPROTO_IP,
            socket.IP_ADD_MEMBERSHIP,
            socket.inet_aton(GROUP) + socket.inet_aton("127.0.0.1"),
        )
        self._sock.settimeout(0.2)
        self._thread = threading.Thread(target=self._record)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._ended.set()
        self._thread.join()
        self._sock.close()

    def _record(self):
        while not self._ended.is_set():
            try:
                self.heard.append(self._sock.recvfrom(65536))
            except TimeoutError:
                continue


class Sockets:
    """This machine's UDP sockets at some ports: what the kernel says is queued and dropped."""

    def __init__(self, ports):
        self._ports = {f"{port:04X}" for port in ports}
        self._dropped = self._sum(-1)

    def dropped(self):
        """Return how many datagrams were dropped since the start."""
        return self._sum(-1) - self._dropped

    def are_read(self):
        """Wait until little waits to be read."""
        until(
            lambda: self._sum(4, lambda queues: int(queues.partition(":")[2], 16)) < 1 << 16,
            "datagrams to be read",
        )

    def _sum(self, column, number=int):
        rows = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
        return sum(number(row[column]) for row in rows if row[1].partition(":")[2] in self._ports)
