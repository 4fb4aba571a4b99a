"""Strangers of many kinds that dial a node with a secret; none may read its link protocol."""

import asyncio
import contextlib
import datetime
import random
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cluster_kit.node import BootId, Fence, Node, split_address
from cluster_kit.security.authority import SecretTrust, uri_of
from cluster_kit.security.certificates import Authority
from cluster_kit.security.keys import Keyring, derive
from cluster_kit.wire.frames import MAGIC, PROTOCOL, VERSION, Hello, Identity, encode

HOST = "127.0.0.66"  # where they dial from, and say that they are
HUNG_UP_S = 30.0  # within which a node must have hung up, which gives a handshake 5 s
PATIENCE_S = 0.3  # of most of those who would wait; some wait until the node hangs up
_DRIP_S = 0.05
_TURNED_AWAY = (ConnectionError, ssl.SSLError)  # how a node hangs up


class Strangers:
    """All kinds of them, against nodes of one cluster.

    Args:
        folder: For keys and certificates.
        cluster: Their name for the salt of a guess, and in a hello.
        secret: The right one: it is what a member has that turns, who can certify itself and
            nothing more.
        victim: The name of a node of the cluster.

    Attributes:
        kinds: What to call with the address of a node, by name.
        heard: What any of them received under TLS.
    """

    def __init__(self, folder, cluster, secret, victim):
        self._random = random.Random(1)
        self._fence = Fence(cluster, "lan")
        self._victim = victim
        self.heard = []
        right = derive(secret, cluster)
        self._member = _unverifying(SecretTrust(f"mallory@{HOST}", Keyring(right)).dialling)
        self._wrong = _unverifying(
            SecretTrust(victim, Keyring(derive("a guess", cluster))).dialling
        )
        self._nobody = _unverifying(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        self._expired = _forged(folder / "expired", victim, right, days=-10)
        self._self_signed = _forged(
            folder / "self-signed", victim, right, days=10, signs_itself=True
        )
        self._client_hello = client_hello()
        self.kinds = {
            "random bytes": self._random_bytes,
            "mutilated hello": self._mutilated_hello,
            "slow": self._slow,
            "half-open": self._half_open,
            "silent after a hello": self._silent,
            "no certificate": self._with(self._nobody),
            "wrong authority": self._with(self._wrong),
            "expired, of a wrong authority": self._with(self._expired),
            "self-signed": self._with(self._self_signed),
            "name of another": self._name_of_another,
            "oversize frame": self._oversize_frame,
        }

    # -- without TLS -------------------------------------------------------------------------------

    async def _random_bytes(self, address):
        await self._say(address, self._random.randbytes(self._random.randint(1, 2000)))

    async def _mutilated_hello(self, address):
        data = bytearray(self._client_hello)
        data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)
        await self._say(address, data)

    async def _slow(self, address):
        await self._say(
            address, *(self._client_hello[at : at + 1] for at in range(len(self._client_hello)))
        )

    async def _half_open(self, address):
        await self._say(address)

    async def _silent(self, address):
        await self._say(address, self._client_hello)

    async def _say(self, address, *pieces):
        """Send something and wait until the node hangs up or patience ends; it answers TLS only."""
        with contextlib.suppress(*_TURNED_AWAY):
            async with _dialled(address) as (reader, writer):
                hang_up = asyncio.create_task(reader.read())
                for piece in pieces:
                    writer.write(piece)
                    if (
                        hang_up
                        in (
                            await asyncio.wait([hang_up], timeout=_DRIP_S if len(pieces) > 1 else 0)
                        )[0]
                    ):
                        break
                await self._wait(hang_up)

    async def _wait(self, hang_up):
        patience_s = HUNG_UP_S if self._random.random() < 0.1 else PATIENCE_S
        await asyncio.wait([hang_up], timeout=patience_s)
        assert hang_up.done() or patience_s != HUNG_UP_S, "the node waits for us"
        hang_up.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            assert (await hang_up)[:1] in (b"", b"\x15", b"\x16"), "an answer that is not TLS"

    # -- with TLS ----------------------------------------------------------------------------------

    def _with(self, context):
        return lambda address: self._introduce(address, context, self._victim)

    async def _name_of_another(self, address):
        await self._introduce(address, self._member, self._victim)

    async def as_itself(self, address):
        """Introduce a member by its own name, as a cross-check: it is answered."""
        await self._introduce(address, self._member, f"mallory@{HOST}")

    async def _oversize_frame(self, address):
        await self._speak(address, self._member, b"\x7f\xff\xff\xff" + bytes(1000))

    async def _introduce(self, address, context, name):
        node = Node(name=name, address=f"{HOST}:1", boot_id=BootId.new())
        identity = Identity.of(node, self._fence, leaving=False, wanted=True)
        await self._speak(
            address, context, encode(Hello(magic=MAGIC, version=VERSION, identity=identity))
        )

    async def _speak(self, address, context, words):
        """Send something under TLS, and read until the node hangs up."""
        async with asyncio.timeout(HUNG_UP_S):
            with contextlib.suppress(*_TURNED_AWAY):
                async with _dialled(address, context) as (reader, writer):
                    writer.write(words)
                    self.heard.append(await reader.read(4096))
                    await reader.read()


def _unverifying(context):
    """Return a context that believes everybody, as a stranger's does."""
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([PROTOCOL.decode()])
    return context


@contextlib.asynccontextmanager
async def _dialled(address, context=None):
    """Yield a connection."""
    host, port = split_address(address)
    reader, writer = await asyncio.open_connection(host, port, ssl=context, local_addr=(HOST, 0))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def client_hello():
    """Return what anybody can say first by TLS."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        _unverifying(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)).wrap_bio(
            incoming, outgoing
        ).do_handshake()
    return outgoing.read()


def _forged(path, name, right, *, days, signs_itself=False):
    """Return a context whose certificate looks like the authority's but has another key."""
    key = Ed25519PrivateKey.generate()
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"cluster_kit {right.id.hex()}")])
    authority = x509.load_der_x509_certificate(Authority(right.authority, "").certificate)
    key_id = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    now = datetime.datetime.now(datetime.UTC)
    leaf = (
        x509.CertificateBuilder()
        .subject_name(issuer if signs_itself else x509.Name([]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=20))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False
        )
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri_of(name))]),
            critical=True,
        )
        .sign(key if signs_itself else Ed25519PrivateKey.generate(), None)
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(leaf.public_bytes(serialization.Encoding.PEM) + key_pem)
    context = _unverifying(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    context.load_cert_chain(path)
    return context
