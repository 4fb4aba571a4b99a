"""``cluster-kit certs`` makes certificates that other programs accept."""

import os
import re
import ssl
import stat
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from certs_command import HOST, content, made, openssl, verified
from cli_process import Cluster, cluster_kit

FILES = {"ca.crt": 0o644, "tls.crt": 0o644, "tls.key": 0o600}


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


def test_certificates_have_the_expected_fields(pki):
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


def test_nodes_run_with_them_and_load_renewed_ones(pki, tmp_path):
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
