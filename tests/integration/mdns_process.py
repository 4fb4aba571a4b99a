"""Drives processes of ``strategy_peer.py`` that run ``mdns``."""

import json
import secrets
import subprocess
import sys
from contextlib import contextmanager

from gossip_process import SCRIPT, processes


def a_type():
    """Return a type of service that no other test uses."""
    return f"_ck{secrets.token_hex(4)}._tcp.local."


def diagnosed(name, service_type, place=None, **given):
    """Return what a diagnosis finds out, as mappings."""
    command = [
        sys.executable,
        SCRIPT,
        "mdns",
        name,
        json.dumps({"service_type": service_type, "diagnose": True} | given),
    ]
    done = subprocess.run(
        place.command(command) if place else command,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def peers():
    """Yield a function that starts peers, and end them."""
    with processes(strategy="mdns") as start:
        yield lambda name, service_type, place=None, **given: start(
            name, {"service_type": service_type} | given, place
        )


def all_see_each_other(peers):
    for peer in peers:
        peer.sees(*(other for other in peers if other is not peer))
