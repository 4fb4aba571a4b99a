"""What commands say about certificate files: their origin, their names and their expiry."""

import signal
from datetime import datetime, timedelta

import pytest
from certificate_files import write_folder
from cli_process import Cluster, cluster_kit
from made_up_certificates import DAY, Authority
from waiting import until

AUTHORITY = Authority("one")
STATIC = {"lan": {"strategy": "static", "config": {"nodes": []}}}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def certs(tmp_path):
    return write_folder(tmp_path / "certs", AUTHORITY.certificates("127.0.0.1", "web.example.org"))


def words(text):
    return " ".join(text.split())


def test_check_reports_them(cluster, certs):
    done = cluster_kit("check", cluster.write("good.yaml", STATIC, certs=str(certs)))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"certificates '{certs}': for 127.0.0.1, web.example.org, valid until 20" in words(
        done.stdout
    )
    assert "secret none: gossip is not sealed" in words(done.stdout)


def test_check_reports_a_trust_domain(cluster, certs):
    write_folder(certs, AUTHORITY.certificates("spiffe://example.org/web"))
    done = cluster_kit(
        "check",
        cluster.write(
            "good.yaml", STATIC, certs=str(certs), trust_domain="example.org", secret="s"
        ),
    )
    assert "for spiffe://example.org/web, valid until " in done.stdout
    assert "UTC; trusts nodes of the trust domain 'example.org'" in done.stdout
    assert "secret given" in words(done.stdout)


def test_check_warns_of_an_end_that_is_near(cluster, certs):
    write_folder(certs, AUTHORITY.certificates("127.0.0.1", until=DAY / 4))
    done = cluster_kit("check", cluster.write("good.yaml", STATIC, certs=str(certs)))
    assert done.returncode == 0
    assert f"check: certificates: the certificate in '{certs}/tls.crt' expires on " in done.stderr


def test_check_reports_their_faults_in_their_place(cluster, certs):
    file = cluster.write("faulty.yaml", STATIC, node="a@127.0.0.9", certs=str(certs))
    done = cluster_kit("check", file)
    assert done.returncode == 2
    assert f"certs: cannot use '{certs}/tls.crt': its certificate names '" in done.stderr
    assert "', not this node's host '127.0.0.9'; " in done.stderr
    assert f"{file}:1:" in done.stderr


def test_configuration_without_certificates_shows_none(cluster):
    assert "certificate" not in cluster_kit("check", cluster.file).stdout


def test_status_reports_them(cluster, certs):
    node = cluster.run("a", file=cluster.write("good.yaml", STATIC, certs=str(certs)))
    node.wait_for("ready")
    ask = ("status", "a", "--cluster", cluster.name)
    until(lambda: cluster_kit(*ask).returncode == 0, "an answer")
    shown = f"  certificate '{certs}/tls.crt': for 127.0.0.1, web.example.org, valid until 20"
    assert shown in cluster_kit(*ask).stdout
    told = cluster_kit(*ask, "--json").stdout
    assert '"secrets": [], "certificates": {"cert": ' in told


def test_status_reports_those_that_took_their_place(cluster, certs):
    node = cluster.run("a", file=cluster.write("good.yaml", STATIC, certs=str(certs)))
    node.wait_for("ready")
    write_folder(certs, AUTHORITY.certificates("127.0.0.1", until=99 * DAY))
    node.until(
        lambda: any("changed the certificates" in line for line in node.errors),
        "a word on the new one",
    )
    day = f"{datetime.now().astimezone() + timedelta(days=99):%Y-%m}"
    assert f"valid until {day}" in cluster_kit("status", "a", "--cluster", cluster.name).stdout


def test_hangup_takes_them_in(cluster, certs, tmp_path):
    file = cluster.write("good.yaml", STATIC, certs=str(certs))
    node = cluster.run("a", file=file)
    node.wait_for("ready")
    other = write_folder(tmp_path / "other", AUTHORITY.certificates("127.0.0.1"))
    cluster.write("good.yaml", STATIC, certs=str(other))
    node.signal(signal.SIGHUP)
    node.until(
        lambda: any(
            "changed the certificates" in line and "reload" in line for line in node.errors
        ),
        "the reload",
    )


def test_doctor_proves_itself_by_them(cluster, certs):
    node = cluster.run("a", file=cluster.write("good.yaml", STATIC, certs=str(certs)))
    address = node.wait_for("ready")["address"]
    topologies = {"lan": {"strategy": "static", "config": {"nodes": [address]}}}
    with_them, without = (
        cluster_kit("doctor", cluster.write(f"{number}.yaml", topologies, **keys), "--wait", "0.1")
        for number, keys in enumerate(({"certs": str(certs)}, {}))
    )
    assert (with_them.returncode, without.returncode) == (0, 1)
    assert "healthy: 1 node can be linked to" in with_them.stdout
