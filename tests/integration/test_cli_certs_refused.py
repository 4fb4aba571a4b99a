"""``cluster-kit certs`` changes nothing if it cannot use what it is given, or fails midway."""

import errno
import fcntl
import os
import re
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from certs_command import HOST, content, made, refused, run
from cli_process import COMMAND
from cryptography.hazmat.primitives.serialization import Encoding

from cluster_kit.security.issuing import Issuer, LeafNames, new_key, pem_of, self_signed


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


# -- failures midway -------------------------------------------------------------------------------


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
    """It ends while it writes one of the files, and before it moves all of them into place."""
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
