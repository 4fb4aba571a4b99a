"""A connector that reports its worker's keys, and what else could give a secret away."""

import os
import threading
from pathlib import Path

from cluster_kit import Connector, command


class KeyTelling(Connector):
    """Links to nobody."""

    async def start(self, local, links):
        self.links = links
        return local

    async def connect(self, node):
        raise AssertionError

    async def disconnect(self, node):
        raise AssertionError

    async def stop(self):
        pass

    @command
    def keys(self):
        """Return the ids of the secrets in use and of those accepted besides."""
        keyring = self.links.security._keyring
        return keyring and [keys.id.hex() for keys in keyring.accepted]

    @command
    def chain(self):
        """Return the certificate from a file that is in use, with those behind it, as PEM."""
        keyring = self.links.security._keyring
        return keyring and keyring.certificates and keyring.certificates.chain.decode()

    @command
    def surroundings(self):
        """Return the worker's environment and command line, as this user and as it sees them."""
        own = Path("/proc/self")
        read = [
            (own / name).read_bytes().decode(errors="replace") for name in ("environ", "cmdline")
        ]
        return [*read, repr(dict(os.environ)), repr(self.links.security.__dict__)]

    @command
    def crash(self):
        """End the worker as a fault would."""
        threading.Timer(0.01, os._exit, [3]).start()
