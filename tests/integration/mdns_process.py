"""Drives processes of ``mdns_peer.py``, which take the same orders as those that gossip."""

import json
import secrets
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from cli_process import Process
from gossip_process import Gossiper

SCRIPT = Path(__file__).with_name("mdns_peer.py")


def a_type():
    """Return a type of service that no other test uses."""
    return f"_ck{secrets.token_hex(4)}._tcp.local."


class Peer(Gossiper):
    """A running peer; ``place`` is a node of a network lab."""

    def __init__(self, name, service_type, place=None, **given):
        command = [sys.executable, SCRIPT, name, json.dumps({"service_type": service_type} | given)]
        Process.__init__(self, *(place.command(command) if place else command), stdin=subprocess.PIPE)
        self.name = name


def diagnosed(name, service_type, place=None, **given):
    """Return what a diagnosis finds out, as mappings."""
    command = [sys.executable, SCRIPT, name, json.dumps({"service_type": service_type, "diagnose": True} | given)]
    done = subprocess.run(place.command(command) if place else command, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def peers():
    """Yield a function that starts peers, and end them."""
    started = []

    def start(*arguments, **given):
        started.append(Peer(*arguments, **given))
        return started[-1]

    try:
        yield start
    finally:
        for each in started:
            each.end()


def all_see_each_other(peers):
    for peer in peers:
        peer.sees(*(other for other in peers if other is not peer))
