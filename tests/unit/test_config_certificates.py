"""The keys for certificates from files: which files can be used, what is wrong with others, and
that nothing shows a key.
"""

import os
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from certificate_files import Mounted, write, write_folder
from certified_config import AUTHORITY, fault, load
from config_parts import Shelf
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from made_up_certificates import CLIENT, DAY, SERVER, Authority, pem, pem_of_key

from cluster_kit import ConfigError
from cluster_kit.config import certificate_files, load_config
from cluster_kit.config.advice import advice
from cluster_kit.config.certificate_files import (
    MAX_BYTES,
    CertificatePaths,
    Expiry,
    expiry_of,
    read_certificate_files,
    warning_of,
)

HOST = "127.0.0.1"
GOOD = AUTHORITY.certificates(HOST, "web.example.org", until=90 * DAY)
OTHER = Authority("other").certificates(HOST, until=90 * DAY)
MEMBER = "spiffe://example.org/shop"


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "certs", GOOD)


@pytest.fixture
def fault_of(folder):
    """Return a function that returns what is wrong with certificates, whose files may have other
    content, by ``part``.
    """

    def fault_of(certificates=GOOD, node=f"a@{HOST}", trust_domain=None, **parts):
        write_folder(folder, certificates)
        for part, content in parts.items():
            write(folder / {"cert": "tls.crt", "key": "tls.key", "ca": "ca.crt"}[part], content)
        message = fault(
            certs=str(folder), node=node, **({"trust_domain": trust_domain} if trust_domain else {})
        )
        assert message.startswith(f"certs: cannot use '{folder}/")
        return message.removeprefix(f"certs: cannot use '{folder}/")

    return fault_of


class TestKeys:
    def test_there_are_none_by_default(self):
        assert load().certificates is None

    def test_folder_has_three_files(self, folder):
        files = load(certs=str(folder), node=f"a@{HOST}").certificates
        assert files.paths == CertificatePaths(
            folder / "tls.crt", folder / "tls.key", folder / "ca.crt", folder
        )
        assert files.content.trust_domain is None
        assert files.titles == (HOST, "web.example.org")
        assert files.expires > datetime.now(UTC) + timedelta(days=89)
        assert not files.exposed

    def test_files_may_be_named_one_by_one(self, folder):
        each = {"cert": folder / "tls.crt", "key": folder / "tls.key", "ca": folder / "ca.crt"}
        files = load(**{key: str(path) for key, path in each.items()}).certificates
        assert files == load(certs=str(folder)).certificates
        assert files.paths == CertificatePaths(**each)

    def test_paths_are_relative_to_the_working_directory(self, folder, monkeypatch):
        monkeypatch.chdir(folder.parent)
        assert load(certs="certs").certificates.paths.key == folder / "tls.key"

    def test_a_made_up_name_is_on_loopback(self, tmp_path):
        elsewhere = write_folder(tmp_path / "elsewhere", AUTHORITY.certificates("10.0.0.1"))
        why = "its certificate names '10.0.0.1', not this node's host '127.0.0.1'"
        assert why in fault(certs=str(elsewhere))

    def test_trust_domain_takes_the_place_of_hosts(self, tmp_path):
        folder = write_folder(tmp_path / "certs", AUTHORITY.certificates(MEMBER))
        files = load(certs=str(folder), trust_domain="example.org").certificates
        assert files.content.trust_domain == "example.org"
        assert files.titles == (MEMBER,)

    def test_secret_may_stand_beside_them(self, folder):
        config = load(certs=str(folder), secret="s")
        assert config.secrets
        assert config.certificates

    @pytest.mark.parametrize(
        ("keys", "expected"),
        [
            (
                {"certs": "/x", "key": "/y"},
                "key: conflicts with 'certs'; give the folder or the three files",
            ),
            ({"cert": "/x"}, "cert: is incomplete; add 'key' and 'ca', or give the folder"),
            ({"key": "/x", "ca": "/y"}, "key: is incomplete; add 'cert', or"),
            ({"trust_domain": "example.org"}, "trust_domain: needs certificates; add"),
            ({"certs": 5}, "certs: expected text, got int"),
            ({"certs": None}, "certs: expected text, got nothing"),
            ({"certs": ["/x"]}, "certs: expected text, got list"),
            ({"certs": ""}, "certs: is empty"),
            ({"certs": "/x", "trust_domain": 5}, "trust_domain: expected text, got int"),
            (
                {"certs": "/x", "trust_domain": ""},
                "trust_domain: invalid value '': expected a SPIFFE trust domain",
            ),
            (
                {"certs": "/x", "trust_domain": "Example.org"},
                "trust_domain: invalid value 'Example.org': expected",
            ),
            ({"certz": "/x"}, "certz: unknown key: did you mean 'cert'?"),
            (
                {"trustdomain": "example.org"},
                "trustdomain: unknown key: did you mean 'trust_domain'?",
            ),
        ],
    )
    def test_faults_are_reported(self, keys, expected):
        assert fault(**keys).startswith(expected)

    def test_trust_domain_is_reported_without_its_scheme(self):
        assert fault(certs="/x", trust_domain="spiffe://example.org/a").endswith(
            "; write example.org"
        )

    def test_every_fault_is_reported_at_once_with_its_line(self, tmp_path, folder, monkeypatch):
        (folder / "tls.key").unlink()
        path = tmp_path / "cluster.yaml"
        path.write_text(
            "cert: certs/tls.crt\nkey: certs/tls.key\nca: certs/ca.crt\nclutser: x\ntopologies: "
            "{lan: {strategy: silent}}"
        )
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ConfigError) as raised:
            load_config(path, Shelf(), environ={})
        key, cluster = raised.value.errors
        assert (key.line, key.path, cluster.line) == (2, "key", 4)
        assert f"cannot use '{folder}/tls.key': there is no such file" in str(key)


class TestFiles:
    @pytest.mark.parametrize("name", ["tls.crt", "tls.key", "ca.crt"])
    def test_unreadable_file_is_refused(self, folder, name):
        path = folder / name
        path.unlink()
        assert f"cannot use '{path}': there is no such file; write the " in fault(certs=str(folder))
        path.mkdir()
        assert f"cannot use '{path}': it is a folder" in fault(certs=str(folder))
        path.rmdir()
        os.mkfifo(path)
        assert f"cannot use '{path}': it is not a regular file" in fault(certs=str(folder))
        path.unlink()
        write(path, b"x" * (MAX_BYTES + 1))
        assert f"cannot use '{path}': it has more than {MAX_BYTES} bytes" in fault(
            certs=str(folder)
        )

    def test_permission_is_named(self, folder, monkeypatch):
        def refuse(*_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", refuse)  # the user who tests may be root
        why = f"user {os.geteuid()} has no permission to read it"
        assert why in fault(certs=str(folder))

    @pytest.mark.parametrize("name", ["tls.key", "ca.crt"])
    @pytest.mark.parametrize("mode", [0o620, 0o602])
    def test_key_and_authorities_must_not_be_writable_by_others(self, folder, name, mode):
        (folder / name).chmod(mode)
        assert f"can write it (mode {mode:04o}), and so choose " in fault(certs=str(folder))

    def test_folder_that_everybody_can_write_to_is_refused(self, folder):
        folder.chmod(0o777)
        assert f"everybody can write to its folder '{folder}'" in fault(certs=str(folder))

    def test_key_that_everybody_can_read_is_warned_about(self, folder):
        (folder / "tls.crt").chmod(0o644)
        (folder / "ca.crt").chmod(0o644)
        (folder / "tls.key").chmod(0o640)
        assert list(advice(load(certs=str(folder)))) == []
        (folder / "tls.key").chmod(0o644)
        [warning] = advice(load(certs=str(folder)))
        assert warning.startswith(
            f"certificates: everybody on this machine can read '{folder}/tls.key': chmod o-r"
        )

    def test_links_are_followed_as_kubernetes_makes_them(self, tmp_path):
        mounted = Mounted(tmp_path / "mounted", GOOD)
        files = load(certs=str(mounted.folder)).certificates
        assert files.paths.cert == mounted.folder / "tls.crt"
        assert (
            files.content
            == load(certs=str(write_folder(tmp_path / "plain", GOOD))).certificates.content
        )

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_files_that_are_swapped_while_they_are_read_are_of_one_time(
        self, tmp_path, monkeypatch, number
    ):
        mounted, read = Mounted(tmp_path / "mounted", GOOD), []

        def read_and_swap(path, *arguments, **more):
            file = certificate_files_read(path, *arguments, **more)
            read.append(path.name)
            if len(read) == number:
                mounted.replace(OTHER)
            return file

        certificate_files_read = certificate_files.read_guarded
        monkeypatch.setattr(certificate_files, "read_guarded", read_and_swap)
        files = read_certificate_files(CertificatePaths.within(mounted.folder), HOST)
        assert len(read) == 6
        assert (
            files.content
            == read_certificate_files(CertificatePaths.within(mounted.folder), HOST).content
        )
        assert files.content.chain == OTHER.chain

    def test_files_that_never_rest_are_refused(self, folder, monkeypatch):
        reading = certificate_files.read_guarded

        def read_and_touch(path, *arguments, **more):
            file = reading(path, *arguments, **more)
            write_folder(folder, GOOD)
            return file

        monkeypatch.setattr(certificate_files, "read_guarded", read_and_touch)
        assert "it, its key or the authorities keep changing" in fault(certs=str(folder))

    def test_no_descriptor_is_left(self, folder, fault_of):
        def held():
            return len(list(Path("/proc/self/fd").iterdir()))

        load(certs=str(folder))
        before = held()
        load(certs=str(folder))
        fault_of(key=b"")
        assert held() == before

    def test_unchanged_files_are_not_checked_again(self, tmp_path, monkeypatch):
        paths = CertificatePaths.within(write_folder(tmp_path / "certs", GOOD))
        known = read_certificate_files(paths, HOST)
        monkeypatch.setattr("cluster_kit.config.certificate_checks.check", None)
        assert read_certificate_files(paths, HOST, known=known) is known
        write_folder(tmp_path / "certs", OTHER)
        with pytest.raises(TypeError):
            read_certificate_files(paths, HOST, known=known)


class TestContent:
    def test_chain_and_bundle_may_have_several(self, tmp_path):
        root = Authority("root")
        middle = Authority("middle", issuer=root)
        certificates = middle.certificates(HOST, authorities=(Authority("another"), root))
        folder = write_folder(tmp_path / "certs", certificates)
        content = load(certs=str(folder)).certificates.content
        assert content.chain.count(b"BEGIN") == content.authorities.count(b"BEGIN") == 2

    @pytest.mark.parametrize("kind", ["rsa", "p256", "ed25519"])
    def test_keys_may_be_of_the_usual_kinds(self, tmp_path, kind):
        authority = Authority("one", kind=kind)
        assert load(
            certs=str(write_folder(tmp_path / "certs", authority.certificates(HOST, kind=kind)))
        ).certificates

    def test_text_around_it_and_other_forms_of_the_key_are_taken(self, folder):
        leaf, key = AUTHORITY.leaf(HOST)
        old = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        parameters = (
            b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        )
        chain = leaf.public_bytes(Encoding.PEM)
        write(folder / "tls.crt", b"subject=\n" + chain + old)
        write(folder / "tls.key", parameters + old)
        content = load(certs=str(folder)).certificates.content
        assert content.chain == chain
        assert content.key == pem_of_key(key)

    @pytest.mark.parametrize("part", ["cert", "key", "ca"])
    def test_invalid_pem_is_refused(self, fault_of, part):
        assert "it is empty; write " in fault_of(**{part: b" \n"})
        unreadable = fault_of(**{part: b"\x30\x82\x01\xff"})
        assert "it has no readable " in unreadable
        assert "; write it as PEM, which begins with '-----BEGIN " in unreadable
        assert "it has no readable " in fault_of(
            **{part: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}
        )
        whole = {"cert": GOOD.chain, "key": GOOD.key, "ca": GOOD.authorities}[part]
        assert "it ends inside a PEM block; write the whole block" in fault_of(
            **{part: whole + whole[: len(whole) // 2]}
        )
        assert "it ends inside a PEM block" in fault_of(**{part: whole[: len(whole) // 2]})

    def test_encrypted_key_is_refused(self, fault_of):
        _, key = AUTHORITY.leaf(HOST)
        message = fault_of(key=pem_of_key(key, b"password"))
        assert message.startswith(
            "tls.key': its private key is encrypted; decrypt it with 'openssl "
        )

    @pytest.mark.parametrize("key", [OTHER.key, pem_of_key(x25519.X25519PrivateKey.generate())])
    def test_key_must_match_the_certificate(self, fault_of, folder, key):
        message = fault_of(key=key)
        assert message.startswith(
            f"tls.key': it is not the key of the first certificate in '{folder}/tls.crt'; use the "
            "pair"
        )

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ({"since": -9 * DAY, "until": -DAY}, "its certificate expired on "),
            ({"since": DAY, "until": 9 * DAY}, "its certificate is not valid before "),
            (
                {"purposes": CLIENT},
                "the extended key usage of its certificate lacks serverAuth; issue one with both",
            ),
            ({"purposes": SERVER}, "the extended key usage of its certificate lacks clientAuth"),
        ],
    )
    def test_certificate_that_others_would_refuse_is_refused(self, fault_of, options, why):
        assert fault_of(AUTHORITY.certificates(HOST, **options)).startswith(f"tls.crt': {why}")

    def test_error_lists_the_usages_for_cert_manager(self, fault_of):
        assert (
            "in cert-manager, 'usages: [digital signature, server auth, client auth]'"
            in fault_of(AUTHORITY.certificates(HOST, purposes=SERVER))
        )

    def test_certificate_for_everything_is_taken(self, tmp_path):
        assert load(
            certs=str(write_folder(tmp_path / "certs", AUTHORITY.certificates(HOST, purposes=())))
        )

    def test_chain_has_to_lead_to_the_authorities(self, fault_of, folder):
        root = Authority("root")
        whole = Authority("middle", issuer=root).certificates(HOST)
        alone = whole.chain[: whole.chain.index(b"-----END CERTIFICATE-----") + 26]
        for certificates, parts in ((GOOD, {"ca": OTHER.authorities}), (whole, {"cert": alone})):
            message = fault_of(certificates, **parts)
            refused = f"tls.crt': peers that trust '{folder}/ca.crt' would refuse it"
            assert message.startswith(f"{refused}: unable to get local issuer")

    def test_authority_has_to_be_valid_as_well(self, fault_of):
        past = Authority("past")
        leaf, key = past.leaf(HOST)
        builder = past._builder(past.name, past.key, past, -9 * DAY, -DAY)
        expired = past.sign(
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        )
        message = fault_of(cert=pem(leaf), key=pem_of_key(key), ca=pem(expired))
        assert "ca.crt' would refuse it: certificate has expired; add its issuer" in message

    def test_weak_key_is_refused(self, fault_of):
        key = rsa.generate_private_key(65537, 1024)
        leaf = _signed(key)
        assert "tls.crt': no link can use it: " in fault_of(cert=leaf, key=pem_of_key(key))

    @pytest.mark.parametrize(
        ("node", "names", "found", "key"),
        [
            (
                "a@10.0.0.1",
                ["10.0.0.2", "web.example.org"],
                "'10.0.0.2', 'web.example.org'",
                "ipAddresses",
            ),
            ("a@web.example.org", ["10.0.0.2"], "'10.0.0.2'", "dnsNames"),
            ("a@10.0.0.1", [MEMBER], "no host", "ipAddresses"),
            ("a@10.0.0.1", [], "no host", "ipAddresses"),
        ],
    )
    def test_host_has_to_be_named(self, fault_of, node, names, found, key):
        message = fault_of(AUTHORITY.certificates(*names), node=node)
        host = node.partition("@")[2]
        assert message.startswith(
            f"tls.crt': its certificate names {found}, not this node's host '{host}'; issue one "
            f"that names it, in cert-manager with '{key}'"
        )

    @pytest.mark.parametrize(
        ("names", "found"),
        [
            (["127.0.0.1"], "no URI"),
            (["spiffe://example.com/shop"], "'spiffe://example.com/shop'"),
            (
                [MEMBER, "https://example.org/"],
                "'spiffe://example.org/shop', 'https://example.org/'",
            ),
        ],
    )
    def test_trust_domain_must_match_the_only_spiffe_id(self, fault_of, names, found):
        message = fault_of(AUTHORITY.certificates(*names), trust_domain="example.org")
        assert message.startswith(
            f"tls.crt': its certificate has {found}, not one SPIFFE ID of 'example.org'; issue one "
            "with exactly one URI"
        )

    def test_too_many_are_refused(self, fault_of):
        assert "tls.crt': it has more than 32 certificates" in fault_of(cert=GOOD.chain * 33)


def _signed(key):
    """Return a certificate for a key that nobody would take."""
    builder = AUTHORITY._builder(AUTHORITY.name, key, AUTHORITY, -DAY, DAY)
    return AUTHORITY.sign(builder).public_bytes(Encoding.PEM)


class TestNothingShowsTheKey:
    @pytest.mark.parametrize(
        "parts",
        [
            {"cert": b""},
            {"cert": OTHER.chain},
            {"ca": b"x"},
            {"ca": OTHER.authorities},
            {"key": GOOD.key + GOOD.key[:100]},
            {"key": GOOD.key.replace(b"BEGIN PRIVATE", b"BEGIN")},
            {"key": GOOD.key * 300},
        ],
    )
    def test_in_errors_and_tracebacks(self, folder, parts):
        for part, content in parts.items():
            write(folder / {"cert": "tls.crt", "key": "tls.key", "ca": "ca.crt"}[part], content)
        with pytest.raises(ConfigError) as raised:
            load(certs=str(folder))
        self.check(*_frames(raised.value), str(raised.value))

    def test_in_what_loads(self, folder):
        config = load(certs=str(folder))
        self.check(
            config, config.certificates, config.certificates.content, config.certificates.as_plain()
        )

    def check(self, *texts):
        lines = [line for line in GOOD.key.decode().splitlines() if "---" not in line]
        for text in texts:
            assert not any(line in str(text) for line in lines)


def _frames(error):
    whole = traceback.TracebackException.from_exception(error, capture_locals=True)
    while whole is not None:
        yield str(whole)
        yield from (frame.locals for frame in whole.stack if "/cluster_kit/" in frame.filename)
        whole = whole.__cause__ or whole.__context__


class TestExpiry:
    @pytest.mark.parametrize(
        ("lifetime", "left", "expected"),
        [
            # cert-manager has a moment to renew it
            (timedelta(days=90), timedelta(days=29.9), Expiry.FAR),
            (timedelta(days=90), timedelta(days=26.9), Expiry.SOON),
            (timedelta(days=3650), timedelta(days=30.1), Expiry.FAR),
            (timedelta(days=3650), timedelta(days=29.9), Expiry.SOON),
            (timedelta(hours=1), timedelta(minutes=20), Expiry.FAR),
            (timedelta(hours=1), timedelta(minutes=17), Expiry.SOON),
            (timedelta(hours=1), timedelta(seconds=-1), Expiry.EXPIRED),
        ],
    )
    def test_is_near_by_its_lifetime(self, tmp_path, lifetime, left, expected):
        now = datetime.now(UTC)
        certificates = AUTHORITY.certificates(HOST, since=-lifetime / 2, until=lifetime / 2)
        files = load(certs=str(write_folder(tmp_path / "certs", certificates))).certificates
        at = files.expires - left
        assert expiry_of(files, at) is expected
        warning = warning_of(files, at)
        assert (warning is None) == (expected is Expiry.FAR)
        assert expected is Expiry.FAR or f"in '{tmp_path}/certs/tls.crt' expire" in warning
        assert now < files.expires


def test_key_of_another_curve_is_not_taken_for_it(fault_of):
    assert "is not the key of" in fault_of(key=pem_of_key(ec.generate_private_key(ec.SECP384R1())))
