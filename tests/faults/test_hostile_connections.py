"""Floods of connections against nodes with a secret: none gets in, none is lost, nothing grows.

``tox -e attacks`` opens 10,000 of them.

A certificate that is out of date is of a wrong authority here. One of the right authority is let in
whatever its dates say, since whoever holds the secret could make it for any time:
``unit/test_wire_tls.py::test_clocks_may_be_years_apart``.
"""

import asyncio
import itertools
import threading

import pytest
from dialling import Strangers
from watched import FORMATION_S, FULL, Watched

from cluster_kit.connectors.tcp import TcpConnector
from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.node import Node
from cluster_kit.security import Security
from cluster_kit.security.keys import Keyring, derive
from cluster_kit.testing import RecordingLinks

pytestmark = [pytest.mark.once, pytest.mark.timeout(3600 if FULL else 120)]

CONNECTIONS = 10_000 if FULL else 1000
AT_ONCE = 900  # a third of them at each node, which has room for 256 that are not links yet


@pytest.fixture
def watched(caplog):
    with Watched(caplog) as watched:
        watched.form(1, 2, 3)
        yield watched


class Flood(threading.Thread):
    """Dials nodes with strangers of all kinds in turn, until it has made enough and is stopped."""

    def __init__(self, strangers, addresses):
        super().__init__()
        self._strangers = strangers
        self._addresses = addresses
        self._may_end = threading.Event()
        self.failures = []
        self.count = 0

    def run(self):
        asyncio.run(self._flow())

    def end(self):
        """Let it end once there were enough; raise what went wrong."""
        self._may_end.set()
        self.join()
        assert not self.failures, f"{len(self.failures)} failed: {self.failures[:3]}"
        assert self.count >= CONNECTIONS

    async def _flow(self):
        turns = itertools.cycle(itertools.product(self._strangers.kinds.items(), self._addresses))
        await asyncio.gather(*(self._dial(turns) for _ in range(AT_ONCE)))

    async def _dial(self, turns):
        while self.count < CONNECTIONS or not self._may_end.is_set():
            self.count += 1
            (kind, dial), address = next(turns)
            try:
                await dial(address)
            except (AssertionError, OSError) as exc:
                self.failures.append((kind, repr(exc)))


def test_strangers_of_all_kinds_change_nothing(watched, tmp_path):
    strangers = Strangers(tmp_path, watched.cluster, watched.secret, watched.name(1))
    addresses = list(watched.addresses().values())
    watched.began()
    flood = Flood(strangers, addresses)
    flood.start()
    try:
        watched.start(5).wait_for(4, timeout_s=FORMATION_S)
        assert flood.is_alive()
    finally:
        flood.end()
    assert set(strangers.heard) == {b""}
    watched.unharmed(5)
    asyncio.run(strangers.as_itself(addresses[0]))
    assert strangers.heard[-1]


def test_wrong_secret_that_dials_in_a_loop_changes_nothing(watched):
    async def dial():
        local = Node(name="eve@127.0.0.67")
        links = RecordingLinks()
        local = local.evolve(boot_id=links.boot_id)
        links.security = Security(local, Keyring(derive("a guess", watched.cluster)))
        connector = TcpConnector()
        await connector.start(local, links)
        targets = itertools.cycle(
            Node(name=name, address=address) for name, address in watched.addresses().items()
        )
        for target in itertools.islice(targets, CONNECTIONS):
            with pytest.raises(ConnectError) as refused:
                await connector.connect(target)
            assert refused.value.reason is ConnectReason.AUTH
        await connector.stop()
        assert not links.reports

    watched.began()
    asyncio.run(dial())
    watched.unharmed()
