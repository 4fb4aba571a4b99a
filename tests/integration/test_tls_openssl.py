"""A protected stream against programs that know nothing of it: ``openssl`` at either end."""

import asyncio
import re
import shutil

import pytest
from made_up_certificates import DAY, pem
from made_up_certificates import Authority as RealAuthority
from made_up_certificates import pem_of_key as pem_of_any_key
from made_up_secrets import keyring, keys
from waiting import run

from cluster_kit.network import Endpoint, StreamReader
from cluster_kit.network.system import SystemNetwork
from cluster_kit.security.certificates import Authority, pem_of_certificate, pem_of_key
from cluster_kit.security.keys import Keyring
from cluster_kit.security.links import LinkTrust

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
DEADLINE_S = 30.0
PORT = re.compile(rb"ACCEPT .*:(\d+)")
STRICT = ("-verify_return_error", "-x509_strict", "-tls1_3")


class Heard(StreamReader):
    def __init__(self):
        self.data, self.has_ended, self.news = b"", False, asyncio.Event()

    def received(self, data):
        self.data += data
        self.news.set()

    def lost(self):
        self.has_ended = True
        self.news.set()

    async def until(self, met):
        while not met():
            self.news.clear()
            await self.news.wait()


def files(folder, secret):
    """Write the files of a member with a handmade certificate; return the options for them."""
    authority = Authority(keys(secret).authority, f"cluster_kit {keys(secret).id.hex()}")
    seed = bytes(range(32))
    leaf = authority.certify(seed, "cluster-kit://other@10.0.0.9")
    (folder / "own.pem").write_bytes(pem_of_certificate(leaf) + pem_of_key(seed))
    (folder / "ca.pem").write_bytes(pem_of_certificate(authority.certificate))
    return (
        "-cert",
        folder / "own.pem",
        "-key",
        folder / "own.pem",
        "-CAfile",
        folder / "ca.pem",
        *STRICT,
    )


async def openssl(*options):
    pipe = asyncio.subprocess.PIPE
    command = ("openssl", *map(str, options))
    return await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )


async def ended(process):
    if process.returncode is None:
        process.kill()
        await process.communicate()


@pytest.mark.parametrize("secret", [1, 2])
def test_server_of_openssl_is_dialled(tmp_path, secret):
    async def scenario():
        process = await openssl(
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-naccept",
            "1",
            "-Verify",
            "1",
            *files(tmp_path, secret),
        )
        try:
            while (port := PORT.match(await process.stdout.readline())) is None:
                pass
            stream = await SystemNetwork().dial(Endpoint("127.0.0.1", int(port[1])))
            stream = LinkTrust("ann@10.0.0.1", keyring(1)).protect(stream, dialled=True)
            heard = Heard()
            stream.start(heard)
            if secret == 2:
                await heard.until(lambda: heard.has_ended)
                assert str(stream.distrust) == "it does not hold our secret"
                assert stream.certified is None
                return
            stream.send(b"from ann\n")
            while b"from ann" not in await process.stdout.readline():
                pass
            process.stdin.write(b"from openssl\n")
            await heard.until(lambda: heard.data == b"from openssl\n")
            assert stream.certified.name == "other@10.0.0.9"
            process.stdin.write(b"Q\n")  # quit
            await heard.until(lambda: heard.has_ended)
        finally:
            await ended(process)

    run(scenario)


@pytest.mark.parametrize("secret", [1, 2])
def test_client_of_openssl_is_accepted(tmp_path, secret):
    async def scenario():
        accepted = asyncio.Queue()
        listener = await SystemNetwork().listen(Endpoint("127.0.0.1", 0))
        listener.start(accepted.put_nowait)
        process = await openssl(
            "s_client", "-connect", f"127.0.0.1:{listener.here.port}", *files(tmp_path, secret)
        )
        try:
            stream = LinkTrust("ann@10.0.0.1", keyring(1)).protect(
                await accepted.get(), dialled=False
            )
            heard = Heard()
            stream.start(heard)
            stream.send(b"from ann\n")
            if secret == 2:
                await heard.until(lambda: heard.has_ended)
                assert str(stream.distrust) == "it does not accept our secret"
                assert stream.certified is None
                return
            while b"from ann" not in await process.stdout.readline():
                pass
            process.stdin.write(b"from openssl\n")
            await heard.until(lambda: heard.data == b"from openssl\n")
            assert stream.certified.name == "other@10.0.0.9"
            stream.close()
            await heard.until(lambda: heard.has_ended)
            assert b"closed" in (await process.communicate())[0]
        finally:
            await listener.close()
            await ended(process)

    run(scenario)


# -- certificates from files -----------------------------------------------------------------------

ROOT, STRANGE = RealAuthority("root"), RealAuthority("strange")
OURS = Keyring(certificates=ROOT.certificates("127.0.0.1", "ann.example"))
NO_AUTHORITY = "no authority in our ca file issued its certificate"
EXPIRED = "its certificate, or that of its authority, has expired"
THEIRS = {
    "right": (ROOT, {}, None),
    "rsa": (ROOT, {"kind": "rsa"}, None),
    "ed25519": (ROOT, {"kind": "ed25519"}, None),
    "expired": (ROOT, {"since": -2 * DAY, "until": -DAY}, EXPIRED),
    "wrong authority": (STRANGE, {}, NO_AUTHORITY),
    "self-signed": (STRANGE, {"own": True}, NO_AUTHORITY),
}


def own_files(folder, authority, options):
    """Write an ordinary program's files; return the options for them and for our name's check."""
    leaf, key = authority.leaf("other.example", **options)
    for name, data in (
        ("tls.crt", pem(leaf)),
        ("tls.key", pem_of_any_key(key)),
        ("ca.crt", ROOT.pem),
    ):
        (folder / name).write_bytes(data)
    names = ("-cert", "tls.crt", "-key", "tls.key", "-CAfile", "ca.crt")
    paths = (option if option.startswith("-") else folder / option for option in names)
    return (
        *paths,
        "-verify_return_error",
        "-verify_ip",
        "127.0.0.1",
        "-verify_hostname",
        "ann.example",
        "-tls1_3",
    )


@pytest.mark.parametrize("how", THEIRS)
def test_server_of_openssl_with_a_certificate_is_dialled(tmp_path, how):
    authority, options, why = THEIRS[how]

    async def scenario():
        named = own_files(tmp_path, authority, options)
        process = await openssl(
            "s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-Verify", "1", *named
        )
        try:
            while (port := PORT.match(await process.stdout.readline())) is None:
                pass
            stream = await SystemNetwork().dial(Endpoint("127.0.0.1", int(port[1])))
            await talked(
                LinkTrust("ann@127.0.0.1", OURS).protect(stream, dialled=True), process, why
            )
        finally:
            await ended(process)

    run(scenario)


@pytest.mark.parametrize("how", THEIRS)
def test_client_of_openssl_with_a_certificate_is_accepted(tmp_path, how):
    authority, options, why = THEIRS[how]

    async def scenario():
        accepted = asyncio.Queue()
        listener = await SystemNetwork().listen(Endpoint("127.0.0.1", 0))
        listener.start(accepted.put_nowait)
        named = own_files(tmp_path, authority, options)
        process = await openssl("s_client", "-connect", f"127.0.0.1:{listener.here.port}", *named)
        try:
            await talked(
                LinkTrust("ann@127.0.0.1", OURS).protect(await accepted.get(), dialled=False),
                process,
                why,
            )
        finally:
            await listener.close()
            await ended(process)

    run(scenario)


async def talked(stream, process, why):
    """Have both ends say something, or see why they can't."""
    heard = Heard()
    stream.start(heard)
    stream.send(b"from ann\n")
    if why:
        await heard.until(lambda: heard.has_ended)
        assert str(stream.distrust) == why
        assert stream.certified is None
        return
    while b"from ann" not in await process.stdout.readline():
        pass
    process.stdin.write(b"from openssl\n")
    await heard.until(lambda: heard.data == b"from openssl\n")
    assert stream.certified.objection_to("web@other.example") is None
    assert stream.certified.objection_to("ann@ann.example")
    stream.close()
    await heard.until(lambda: heard.has_ended)
