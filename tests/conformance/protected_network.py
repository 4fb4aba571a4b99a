"""A network that protects all streams, between nodes with one secret, certificates, or both."""

from delayed_network import DelayedListener, DelayedNetwork
from made_up_certificates import Authority

from cluster_kit.node import BootId, Node
from cluster_kit.security import Security
from cluster_kit.security.keys import Keyring, SecretKeys

KEYS = SecretKeys(id=bytes(8), authority=bytes(32), datagrams=bytes(32))
CERTIFICATES = Authority("root").certificates("nowhere")
SECRET, FILES, BOTH = (
    Keyring(KEYS),
    Keyring(certificates=CERTIFICATES),
    Keyring(KEYS, certificates=CERTIFICATES),
)


class ProtectedListener(DelayedListener):
    def __init__(self, listener, security):
        super().__init__(listener)
        self._security = security

    def start(self, accept):
        self._listener.start(lambda stream: accept(self._security.protect(stream, dialled=False)))


class ProtectedNetwork(DelayedNetwork):
    def __init__(self, network, keyring):
        super().__init__(network)
        self._security = Security(Node(name="anybody@nowhere", boot_id=BootId(1, 1)), keyring)

    async def resolve(self, host, *, version=None):
        return await self._network.resolve(host, version=version)

    async def listen(self, at):
        return ProtectedListener(await self._network.listen(at), self._security)

    async def dial(self, to):
        return self._security.protect(await self._network.dial(to), dialled=True)

    async def join(self, group, *, max_bytes):
        return await self._network.join(group, max_bytes=max_bytes)
