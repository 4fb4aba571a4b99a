"""A small network of namespaces: nodes on a bridge, each with its address and no default route.

Needs root and iproute2; mark tests with ``netns``. A node can be cut off, so that all its packets
are lost both ways while its own interface stays up, and it can be unplugged, so that its interface
is gone.
"""

import contextlib
import itertools
import os
import signal
import subprocess

_numbers = itertools.count(1)


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Place:
    """One node's namespace. Everything started in it is killed when the lab closes."""

    def __init__(self, lab, number):
        self.name = f"{lab.name}n{number}"
        self.address = f"10.203.0.{number}"
        self.address6 = f"fd00:cb::{number}"
        self.address_of_link = f"fe80::cb:{number}"
        self._hub = lab.hub
        self._port = f"port{number}"
        self._started = []

    def run(self, command, **popen):
        """Start a program inside; ``popen`` as for ``subprocess.Popen``."""
        process = subprocess.Popen(self.command(command), **popen)
        self._started.append(process)
        return process

    def command(self, command):
        """Return the command that runs ``command`` inside, as the same process."""
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def cut(self):
        """Lose all packets from and to this node."""
        _run("bridge", "-n", self._hub, "link", "set", "dev", self._port, "state", "0")

    def heal(self):
        """Undo ``cut``."""
        _run("bridge", "-n", self._hub, "link", "set", "dev", self._port, "state", "3")

    def plug(self):
        """Give the node its interface."""
        _run(
            "ip",
            "-n",
            self._hub,
            "link",
            "add",
            self._port,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            self.name,
        )
        _run("ip", "-n", self._hub, "link", "set", self._port, "master", "bridge", "up")
        self.address_interface()

    def address_interface(self):
        """Give the interface its address, and bring it up."""
        _run("ip", "-n", self.name, "addr", "add", f"{self.address}/24", "dev", "eth0")
        _run("ip", "-n", self.name, "link", "set", "eth0", "up")

    def plug6(self, interface="eth0"):
        """Give the interface exactly its IPv6 addresses, without duplicate address detection."""
        if interface != "eth0":
            _run("ip", "-n", self.name, "link", "set", "eth0", "down")
            _run("ip", "-n", self.name, "link", "set", "eth0", "name", interface, "up")
        _run("ip", "-n", self.name, "link", "set", interface, "addrgenmode", "none")
        _run("ip", "-n", self.name, "addr", "flush", "dev", interface, "scope", "link")
        for address in (self.address6, self.address_of_link):
            _run("ip", "-n", self.name, "addr", "add", f"{address}/64", "dev", interface, "nodad")

    def unplug(self):
        """Take the node's interface away."""
        _run("ip", "-n", self.name, "link", "del", "eth0")

    def kill(self):
        """Kill all that runs here."""
        for pid in _run("ip", "netns", "pids", self.name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def close(self):
        self.kill()
        for process in self._started:
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


class Lab:
    """``with Lab(3) as lab``: ``lab.nodes`` are three places on one bridge."""

    def __init__(self, size):
        self.name = f"ck{os.getpid()}x{next(_numbers)}"
        self.hub = f"{self.name}hub"
        self.nodes = [Place(self, number) for number in range(1, size + 1)]
        self._made = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as made:
            self._add_namespace(made, self.hub)
            _run("ip", "-n", self.hub, "link", "add", "bridge", "type", "bridge")
            _run("ip", "-n", self.hub, "link", "set", "bridge", "up")
            for node in self.nodes:
                self._add_namespace(made, node.name)
                made.callback(node.close)
                _run("ip", "-n", node.name, "link", "set", "lo", "up")
                node.plug()
            self._made = made.pop_all()
        return self

    def __exit__(self, *_):
        self._made.close()

    def kill(self):
        """Kill all that runs on any node."""
        for node in self.nodes:
            node.kill()

    def _add_namespace(self, made, name):
        _run("ip", "netns", "add", name)
        made.callback(_run, "ip", "netns", "del", name)
