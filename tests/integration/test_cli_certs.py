"""``cluster-kit certs`` makes certificates that other programs accept, or changes nothing."""

import errno
import fcntl
import os
import re
import shutil
import ssl
import stat
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from cli_process import COMMAND, Cluster, cluster_kit
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding

from cluster_kit.cli import main
from cluster_kit.security.issuing import Issuer, LeafNames, new_key, pem_of, self_signed

FILES = {"ca.crt": 0o644, "tls.crt": 0o644, "tls.key": 0o600}
HOST = "10.0.0.1"


@pytest.fixture
def pki(tmp_path):
    return tmp_path / "pki"


def run(*arguments):
    """Run the command in this process, which takes milliseconds, and return its result."""
    return CliRunner().invoke(main, ["certs", *map(str, arguments)])


def made(*arguments):
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def refused(*arguments, code=1):
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (code, "")
    return done.stderr


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def openssl(*arguments):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    return subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=60
    )


def verified(authority, leaf, *also):
    """Whether openssl accepts a certificate, strictly and for both ends of a link."""
    purposes = ("sslserver", "sslclient")
    done = [
        openssl(
            "verify",
            "-x509_strict",
            "-purpose",
            purpose,
            "-CAfile",
            authority,
            *also,
            leaf / "tls.crt",
        )
        for purpose in purposes
    ]
    return all(each.returncode == 0 for each in done)


# -- what there is ---------------------------------------------------------------------------------


def test_authority_and_leaves_are_where_they_are_said_to_be(pki):
    umask = os.umask(0)
    try:
        done = cluster_kit("certs", pki, f"{HOST},shop-1.example", "shop@fd00::5")
    finally:
        os.umask(umask)
    assert (done.returncode, done.stderr) == (0, "")
    *rows, key, _, _, configuration = done.stdout.splitlines()
    in_days = {
        days: f"until {datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}" for days in (90, 3650)
    }
    assert [re.split("  +", row) for row in rows] == [
        [f"{pki}/ca.crt", in_days[3650], "the new authority"],
        [f"{pki}/{HOST}", in_days[90], f"{HOST}, shop-1.example"],
        [f"{pki}/fd00::5", in_days[90], "fd00::5"],
    ]
    assert key.startswith(f"Keep {pki}/ca.key off the nodes' machines")
    assert configuration == f"certs: {pki}/{HOST}"
    modes = {
        str(path.relative_to(pki)): stat.S_IMODE(path.stat().st_mode) for path in pki.rglob("*")
    }
    leaves = {f"{host}/{name}": mode for host in (HOST, "fd00::5") for name, mode in FILES.items()}
    assert modes == {HOST: 0o700, "fd00::5": 0o700, "ca.crt": 0o644, "ca.key": 0o600, **leaves}
    assert stat.S_IMODE(pki.stat().st_mode) == 0o700
    assert (pki / HOST / "ca.crt").read_bytes() == (pki / "ca.crt").read_bytes()


@pytest.mark.parametrize(
    ("hosts", "accepted", "not_accepted"),
    [
        (f"{HOST},shop-1.example", ("-verify_ip", HOST), ("-verify_ip", "10.0.0.2")),
        (
            f"{HOST},shop-1.example",
            ("-verify_hostname", "shop-1.example"),
            ("-verify_hostname", "example"),
        ),
        ("fd00:0::5", ("-verify_ip", "fd00::5"), ("-verify_ip", "fd00::6")),
        ("shop@fe80::1%eth0", ("-verify_ip", "fe80::1"), ("-verify_ip", "fe80::2")),
        ("LocalHost.", ("-verify_hostname", "localhost"), ("-verify_ip", "127.0.0.1")),
        (
            "shop@xn--caf-dma.example",
            ("-verify_hostname", "xn--caf-dma.example"),
            ("-verify_hostname", "cafe.example"),
        ),
    ],
)
def test_openssl_accepts_a_certificate_for_the_names_of_its_machine(
    pki, hosts, accepted, not_accepted
):
    made(pki, hosts)
    [leaf] = [path.parent for path in pki.glob("*/tls.crt")]
    assert leaf.name == accepted[1] or hosts.startswith(leaf.name)
    assert verified(pki / "ca.crt", leaf, *accepted)
    assert not verified(pki / "ca.crt", leaf, *not_accepted)


def test_openssl_accepts_the_longest_name(pki):
    name = ".".join(["x" * 63] * 3 + ["y" * 61])
    made(pki, name)
    assert verified(pki / "ca.crt", pki / name)


def test_what_is_in_them(pki):
    made(pki, HOST)
    leaf = openssl("x509", "-in", pki / HOST / "tls.crt", "-noout", "-text").stdout
    for part in (
        "Public-Key: (256 bit)",
        "X509v3 Basic Constraints: critical\n                CA:FALSE\n",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        f"X509v3 Subject Alternative Name: \n                IP Address:{HOST}\n",
        "X509v3 Subject Key Identifier",
        "X509v3 Authority Key Identifier",
    ):
        assert part in leaf
    authority = openssl("x509", "-in", pki / "ca.crt", "-noout", "-text").stdout
    assert "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0\n" in authority
    assert "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n" in authority
    assert "X509v3 Subject Key Identifier" in authority


def test_two_machines_speak_with_each_other_by_them(pki):
    made(pki, HOST, "shop-2.example")
    ends, ways = [], []
    for folder, is_server in ((HOST, True), ("shop-2.example", False)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_cert_chain(pki / folder / "tls.crt", pki / folder / "tls.key")
        context.load_verify_locations(pki / folder / "ca.crt")
        ways.append((ssl.MemoryBIO(), ssl.MemoryBIO()))
        ends.append(context.wrap_bio(*ways[-1], server_side=is_server))
    for _ in range(4):  # each of which takes both ends one flight further
        for own, other in ((0, 1), (1, 0)):
            with suppress(ssl.SSLWantReadError):
                ends[own].do_handshake()
            ways[other][0].write(ways[own][1].read())
    names = [end.getpeercert()["subjectAltName"] for end in ends]
    assert names == [(("DNS", "shop-2.example"),), (("IP Address", HOST),)]


def test_spiffe_id_is_the_only_uri(pki):
    printed = made(pki, f"shop-1.example,{HOST}", "--trust-domain", "example.org")
    leaf = openssl(
        "x509", "-in", pki / "shop-1.example" / "tls.crt", "-noout", "-ext", "subjectAltName"
    ).stdout
    name = "shop-1.example"
    names = f"DNS:{name}, IP Address:{HOST}, URI:spiffe://example.org/{name}"
    assert leaf.split("\n")[1].strip() == names
    assert printed.endswith(f"certs: {pki}/shop-1.example\ntrust_domain: example.org\n")


def test_path_that_yaml_would_misread_is_quoted(tmp_path):
    assert made(tmp_path / "a: #b", HOST).endswith(f'\ncerts: "{tmp_path}/a: #b/{HOST}"\n')


def test_without_a_host_there_is_an_authority_alone(pki):
    assert "cluster.yaml" not in made(pki)
    assert set(content(pki)) == {"ca.crt", "ca.key"}


def test_nodes_run_with_them_and_take_in_renewed_ones(pki, tmp_path):
    made(pki, "127.0.0.1,localhost")
    with Cluster(tmp_path) as cluster:
        file = cluster.write(
            "certified.yaml", {"lan": {"strategy": "gossip"}}, certs=str(pki / "127.0.0.1")
        )
        ann, bob = (cluster.run(name, file=file) for name in ("ann@127.0.0.1", "bob@localhost"))
        ann.wait_for("node_up", node="bob@localhost")
        made(pki, "--renew", "--days", 2)
        told = (
            f"certificates: '{pki}/127.0.0.1', valid until "
            f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%d}"
        )
        for node in (ann, bob):
            node.until(lambda node=node: any(told in line for line in node.errors), told)
        carl = cluster.run("carl@localhost", file=file)
        for node in (ann, bob):
            node.wait_for("node_up", node="carl@localhost")
            assert not node.heard("node_down")
        assert not [line for line in carl.errors if "certificate" in line]


# -- what was there before -------------------------------------------------------------------------


def test_authority_that_is_there_is_used(pki):
    made(pki, HOST)
    before = content(pki)
    assert "  the authority\n" in made(pki, "shop-2.example", "--days", 1)
    assert content(pki).items() >= before.items()
    assert verified(pki / "ca.crt", pki / "shop-2.example")


def test_leaf_that_is_there_is_refused_and_nothing_is_made(pki):
    made(pki, HOST)
    before = content(pki)
    assert f"'{pki}/{HOST}' exists and may be in use: add --renew" in refused(
        pki, "shop-2.example", HOST
    )
    assert content(pki) == before
    assert {path.name for path in pki.iterdir()} == {"ca.crt", "ca.key", HOST}


@pytest.mark.parametrize("what", ["file", "link", "folder"])
def test_whatever_is_in_the_place_of_a_leaf_stays(pki, what):
    made(pki)
    place = pki / HOST
    {"file": place.touch, "link": lambda: place.symlink_to("nowhere"), "folder": place.mkdir}[
        what
    ]()
    for also in ([], ["--renew"]):
        assert str(place) in refused(pki, HOST, *also)
    assert os.path.lexists(place)
    assert set(content(pki)) <= {"ca.crt", "ca.key", HOST}


def test_renewal_keeps_names_and_authority_and_changes_the_key(pki):
    made(pki, f"{HOST},shop-1.example", "--trust-domain", "example.org", "--days", 1)
    before = content(pki)
    for also, names in (([], ""), ([HOST], ""), ([f"{HOST},new.example"], "new.example, ")):
        assert f"{HOST}, {names}shop-1.example, spiffe://example.org/{HOST}" in made(
            pki, "--renew", *also
        )
    after = content(pki)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {f"{HOST}/tls.crt", f"{HOST}/tls.key"}
    assert verified(
        pki / "ca.crt", pki / HOST, "-verify_hostname", "shop-1.example", "-attime", in_days(80)
    )
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
        pki / HOST / "tls.crt", pki / HOST / "tls.key"
    )


def in_days(days):
    return int((datetime.now(UTC) + timedelta(days=days)).timestamp())


def test_renewal_without_a_host_is_of_all_and_with_some_makes_what_is_not_there(pki):
    made(pki, HOST, "shop-2.example")
    made(pki / "next")  # no leaf, though a folder
    before = content(pki)
    made(pki, "--renew", "--trust-domain", "example.org")
    after = content(pki)
    assert {name for name in after if after[name] != before[name]} == {
        f"{host}/{file}" for host in (HOST, "shop-2.example") for file in ("tls.crt", "tls.key")
    }
    made(pki, "--renew", "shop-3.example")
    assert content(pki).items() > after.items()


def test_who_reads_while_it_is_renewed_sees_no_file_in_part(pki):
    made(pki, HOST)
    whole = content(pki / HOST)
    held = {path.name: path.open("rb") for path in (pki / HOST).iterdir()}
    made(pki, "--renew")
    for name, stream in held.items():
        with stream:
            assert stream.read() == whole[name]
            assert os.fstat(stream.fileno()).st_nlink == 0


def test_certificate_of_an_authority_that_is_gone_is_made_again_for_its_key(pki):
    made(pki, HOST)
    (pki / "ca.crt").unlink()
    assert "the new authority" in made(pki, "shop-2.example")
    for host in (HOST, "shop-2.example"):
        assert verified(pki / "ca.crt", pki / host)


@pytest.mark.parametrize("lost", [("ca.key",), ("ca.key", "ca.crt")])
def test_no_second_authority_is_begun_beside_leaves_of_a_lost_one(pki, lost):
    made(pki, HOST)
    for name in lost:
        (pki / name).unlink()
    before = content(pki)
    for also in (["shop-2.example"], ["--renew"]):
        error = refused(pki, *also)
        assert "ca.key'" in error
        assert "restore" in error
    assert content(pki) == before


def test_nothing_to_renew(pki):
    assert "no authority" in refused(pki, "--renew", HOST)
    assert not pki.exists()
    made(pki)
    assert "no certificate in" in refused(pki, "--renew")


def test_cluster_goes_over_to_another_authority(pki, tmp_path):
    """The steps in the docs; after each of them, old and new leaves accept one another."""
    made(pki, HOST, "shop-2.example")
    following = tmp_path / "next"
    made(following)

    def renewed():
        """Renew one machine after the other, and check that the two always accept each other."""
        for host in (HOST, "shop-2.example"):
            made(pki, "--renew", host)
            assert verified(pki / HOST / "ca.crt", pki / "shop-2.example")
            assert verified(pki / "shop-2.example" / "ca.crt", pki / HOST)

    (pki / "ca.crt").write_bytes(
        (pki / "ca.crt").read_bytes() + (following / "ca.crt").read_bytes()
    )
    renewed()
    shutil.copy(following / "ca.key", pki / "ca.key")
    renewed()
    shutil.copy(following / "ca.crt", pki / "ca.crt")
    renewed()
    assert verified(following / "ca.crt", pki / HOST)


# -- what can't be used ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("", "names no machine|it is empty"),
        (",", "names no machine"),
        ("shop@", "it is empty"),
        ("../x", "a host has no '/'"),
        ("/etc", "a host has no '/'"),
        ("..", "expected an IP address or a DNS name"),
        (".", "expected an IP address or a DNS name"),
        ("a\0b", "expected an IP address or a DNS name"),
        ("x" * 64, "at most 63 in a row"),
        (".".join(["x" * 63] * 4), "expected an IP address or a DNS name"),
        ("[::1]", "brackets belong only around an IPv6 address that a port follows; write ::1"),
        ("10.0.0.1:45893", "a port does not belong to the host"),
        ("10.0.0.300", "four numbers from 0 to 255"),
        ("*.example", "with a wildcard, each machine could impersonate the others"),
        ("café.example", "write an international name in its xn-- form"),
        ("0.0.0.0", "it means all addresses"),
        ("shop@::", "it means all addresses"),
        ("${POD_IP}", "POD_IP"),
        ("ca.key", "names no machine"),
        ("CA.crt,10.0.0.1", "names no machine"),
    ],
)
def test_host_that_cannot_be_one_is_refused(pki, host, why):
    error = refused(pki, "shop-2.example", host, code=2)
    assert re.search(why, error)
    assert "\0" not in error
    assert not pki.exists()


def test_machine_is_named_once(pki):
    assert "named twice" in refused(pki, HOST, f"{HOST},shop-1.example", code=2)


@pytest.mark.parametrize(
    "domain", ["", "Example.org", "example.org/x", "spiffe://example.org", "x" * 256]
)
def test_trust_domain_that_cannot_be_one_is_refused(pki, domain):
    assert "expected lower-case letters" in refused(pki, HOST, "--trust-domain", domain, code=2)


def test_address_that_no_spiffe_id_can_hold_is_refused(pki):
    assert "'shop-1.example,fd00::5'" in refused(
        pki, "fd00::5", "--trust-domain", "example.org", code=2
    )
    assert not pki.exists()


def certificate(*keys, days_ago=0):
    now = datetime.now(UTC) - timedelta(days=days_ago)
    return b"".join(self_signed(key, now).public_bytes(Encoding.PEM) for key in keys)


KEY = new_key()
LEAF = Issuer(KEY, [self_signed(KEY, datetime.now(UTC))]).issue(
    LeafNames((HOST,)), 90, datetime.now(UTC)
)


@pytest.mark.parametrize(
    ("authority", "key", "why"),
    [
        (certificate(KEY), b"nonsense", "ca.key': it is not a private key in PEM"),
        (b"", pem_of(KEY), "ca.crt': it has no certificate in PEM"),
        (certificate(new_key()), pem_of(KEY), "ca.key': none of its certificates is for that key"),
        (LEAF.chain, LEAF.key, "is not an authority"),
        (certificate(KEY, days_ago=3651), pem_of(KEY), "it expired on "),
        (certificate(KEY), b"x" * (1 << 20) + b"x", "more than 1048576 bytes"),
    ],
    ids=["no key", "no certificate", "of another", "a leaf", "expired", "large"],
)
def test_authority_that_cannot_be_used_is_reported_and_stays(pki, authority, key, why):
    pki.mkdir(mode=0o700)
    (pki / "ca.crt").write_bytes(authority)
    (pki / "ca.key").write_bytes(key)
    (pki / "ca.key").chmod(0o600)
    error = refused(pki, HOST)
    assert why in error
    assert not [line for line in key.decode().splitlines() if line in error]
    assert content(pki) == {"ca.crt": authority, "ca.key": key}


def test_key_that_others_can_read_is_warned_about(pki):
    made(pki)
    assert run(pki, HOST).stderr == ""
    (pki / "ca.key").chmod(0o640)
    assert run(pki, "shop-2.example").stderr.startswith(
        f"cluster-kit: certs: others can read '{pki}/ca.key'"
    )


def test_leaf_that_ends_early_is_warned_about(pki):
    pki.mkdir(mode=0o700)
    (pki / "ca.key").write_bytes(pem_of(KEY))
    (pki / "ca.crt").write_bytes(certificate(KEY, days_ago=3600))
    (pki / "ca.key").chmod(0o600)
    assert run(pki, HOST, "--days", 49).stderr == ""
    assert "before the 51 days are over" in run(pki, HOST, "--renew", "--days", 51).stderr


def test_folder_that_everybody_can_write_to_is_refused(pki):
    pki.mkdir()
    pki.chmod(0o1777)  # as that for temporary files is
    assert "everybody can write to it, and so plant an authority" in refused(pki, HOST)
    assert list(pki.iterdir()) == []


def test_two_at_once_are_kept_apart(pki):
    made(pki)
    fd = os.open(pki, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        assert f"another 'cluster-kit certs' is writing to '{pki}'" in refused(pki, HOST)
    finally:
        os.close(fd)
    made(pki, HOST)


# -- what fails in between -------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["none/pki", "file"])
def test_place_that_cannot_be_written_to_is_reported(tmp_path, folder):
    (tmp_path / "file").touch()
    error = refused(tmp_path / folder, HOST)
    assert re.search(
        r"cannot write to '.*': (no such file or directory|not a directory); name a folder", error
    )
    assert set(content(tmp_path)) == {"file"}


def test_nothing_is_left_of_files_that_cannot_be_filled(pki):
    command = f"trap '' XFSZ; ulimit -f 0; exec {COMMAND} certs {pki} {HOST}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert "file too large" in done.stderr
    assert not pki.exists()


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize(
    ("error", "code"),
    [(OSError(errno.ENOSPC, "No space left on device"), 1), (KeyboardInterrupt(), 130)],
    ids=["full", "Ctrl-C"],
)
def test_nothing_has_changed_where_it_ends_before_its_time(pki, monkeypatch, number, error, code):
    """It ends while it writes any of the files, and before it moves all of them into place."""
    made(pki, HOST)
    before = content(pki)
    for folder in (pki, pki.with_name("new")):
        left = iter([None] * number)

        def fsync(fd, left=left, real=os.fsync):
            try:
                next(left)
            except StopIteration:
                raise error from None
            real(fd)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            done = (
                run(folder, "--renew", HOST, "shop-2.example")
                if folder == pki
                else run(folder, HOST, "shop-2.example")
            )
        assert (done.exit_code, done.stdout) == (code, "")
    assert content(pki) == before
    assert [path.name for path in pki.parent.iterdir()] == ["pki"]
    assert {path.name for path in pki.iterdir()} == {"ca.crt", "ca.key", HOST}
