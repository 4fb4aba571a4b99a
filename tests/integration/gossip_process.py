"""Drives processes of ``strategy_peer.py`` that run ``gossip``; other strategies share parts."""

import json
import secrets
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from cli_process import Process

SCRIPT = Path(__file__).with_name("strategy_peer.py")


def options(**given):
    """Return options of a network that no other test is on."""
    group = f"239.{secrets.randbelow(256)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
    return {
        "multicast_addr": group,
        "port": 20_000 + secrets.randbelow(10_000),
        "interval_s": 0.3,
        "ttl_s": 3.0,
    } | given


class Peer(Process):
    """A running peer; ``place`` is a node of a network lab."""

    def __init__(self, name, given, place=None, *, strategy, **popen):
        command = [sys.executable, SCRIPT, strategy, name, json.dumps(given)]
        super().__init__(
            *(place.command(command) if place else command), stdin=subprocess.PIPE, **popen
        )
        self.name = name

    def said(self, **fields):
        """Return the lines that have these fields."""
        return [line for line in map(json.loads, self.lines) if fields.items() <= line.items()]

    def expect(self, *, since=0, **fields):
        """Wait for a line with these fields, after the first ``since`` lines, and return it."""
        self.until(lambda: len(self.said(**fields)) > since, fields)
        return self.said(**fields)[since]

    def sees(self, *others):
        """Wait until it has seen the others."""
        for other in others:
            self.expect(seen=other.name)

    def hears_again(self, *others, times=1):
        """Wait until it sees the others so many times more, from now on."""
        for other in others:
            self.expect(seen=other.name, since=len(self.said(seen=other.name)) + times - 1)

    def failures(self):
        return [line["failed"] for line in self.said() if "failed" in line]

    def boot(self):
        """Wait until it has announced itself, and return its boot."""
        self.until_printed("announced")
        return next(line["announced"] for line in self.said() if "announced" in line)

    def change(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def close(self):
        """Let it say goodbye and end."""
        self.process.stdin.close()
        assert self.wait() == 0, self.errors


@contextmanager
def processes(**fixed):
    """Yield a function that starts peers, and end them."""
    started = []

    def start(*arguments, **given):
        started.append(Peer(*arguments, **fixed, **given))
        return started[-1]

    try:
        yield start
    finally:
        for each in started:
            each.end()


def gossipers():
    """Yield a function that starts peers that gossip, and end them."""
    return processes(strategy="gossip")
