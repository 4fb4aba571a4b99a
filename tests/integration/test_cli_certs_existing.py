"""``cluster-kit certs`` in a folder that it has used before: it adds, renews, or refuses to."""

import os
import shutil
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from certs_command import HOST, content, made, refused, verified


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


def test_reader_during_a_renewal_sees_whole_files(pki):
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
