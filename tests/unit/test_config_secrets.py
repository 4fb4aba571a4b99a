"""The keys for secrets: where one may come from, what is wrong with it, and that nothing shows
it.
"""

import os
import secrets
import socket
import traceback
from pathlib import Path

import pytest
import yaml
from config_parts import Shelf

from cluster_kit import ConfigError
from cluster_kit.config import Secret, load_config, yaml_source
from cluster_kit.config.advice import advice, bits_of
from cluster_kit.config.secret_file import MAX_BYTES, MAX_SECRETS, read_secret_file

STRONG = secrets.token_hex(32)
CANARY = "hunter2-canary"


def load(environ=(), **keys):
    return load_config(
        {"topologies": {"lan": {"strategy": "silent"}}, **keys}, Shelf(), environ=dict(environ)
    )


def fault(**keys):
    with pytest.raises(ConfigError) as raised:
        load(**keys)
    [error] = raised.value.errors
    return str(error)


def revealed(config):
    return [secret.reveal() for secret in config.secrets]


@pytest.fixture
def file(tmp_path):
    return made(tmp_path / "secret", STRONG + "\n")


def made(path, content, mode=0o600):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


class TestKeys:
    def test_there_is_none_by_default(self):
        assert load().secrets == ()

    @pytest.mark.parametrize("given", ["s3cret", "s3cret\n", "s3cret\r\n", Secret("s3cret")])
    def test_secret_is_text(self, given):
        config = load(secret=given)
        assert revealed(config) == ["s3cret"]
        assert config.secret == Secret("s3cret")

    def test_previous_ones_come_after_it_each_once(self):
        assert revealed(load(secret="b", previous_secrets=["a", "b", "c", "a"])) == ["b", "a", "c"]

    def test_environment_counts_where_the_configuration_names_none(self, file):
        environ = {"CLUSTER_KIT_SECRET": "of the environment\n"}
        assert revealed(load(environ)) == ["of the environment"]
        assert revealed(load(environ, previous_secrets=["a"])) == ["of the environment", "a"]
        assert revealed(load(environ, secret="own")) == ["own"]
        assert revealed(load(environ, secret_file=str(file))) == [STRONG]
        assert revealed(load({"CLUSTER_KIT_SECRET": ""})) == []

    def test_environment_of_the_process_counts(self, monkeypatch):
        monkeypatch.setenv("CLUSTER_KIT_SECRET", "here")
        assert revealed(load_config({"topologies": {"lan": {"strategy": "silent"}}}, Shelf())) == [
            "here"
        ]

    def test_variable_in_a_file_is_expanded(self, tmp_path):
        path = tmp_path / "cluster.yaml"
        path.write_text(
            "secret: ${OURS}\nprevious_secrets: ${OLD:-}\ntopologies: {lan: {strategy: silent}}\n"
        )
        assert revealed(
            load_config(path, Shelf(), environ={"OURS": "now", "OLD": "then, before"})
        ) == ["now", "then", "before"]
        assert revealed(load_config(path, Shelf(), environ={"OURS": "now"})) == ["now"]

    @pytest.mark.parametrize(
        ("keys", "expected"),
        [
            ({"secret": ""}, "secret: is empty"),
            ({"secret": None}, "secret: expected text, got nothing"),
            ({"secret": 5}, "secret: expected text, got int: quote it"),
            ({"secret": f"{CANARY}\nb"}, "secret: has several lines"),
            ({"secret": f"{CANARY}\ud800"}, "secret: has half of a surrogate pair"),
            ({"secret": [CANARY]}, "secret: expected text, got list"),
            ({"previous_secrets": [CANARY]}, "previous_secrets: needs a current secret"),
            (
                {"secret": "a", "previous_secrets": None},
                "previous_secrets: expected a list, got nothing",
            ),
            (
                {"secret": "a", "previous_secrets": [{CANARY: 1}]},
                "previous_secrets[0]: expected text, got mapping",
            ),
            (
                {"secret": "a", "previous_secrets": [f"{CANARY}\nb"]},
                "previous_secrets: one secret has several lines",
            ),
            (
                {"secret": "a", "previous_secrets": [f"{CANARY}{n}" for n in range(9)]},
                "previous_secrets: more than 8 secrets",
            ),
            ({"secret": CANARY, "secret_file": "/x"}, "secret_file: conflicts with 'secret'"),
            ({"secret_file": ""}, "secret_file: is empty"),
            (
                {"environ": {"CLUSTER_KIT_SECRET": f"{CANARY}\nb"}},
                "environment variable CLUSTER_KIT_SECRET: has several lines",
            ),
            (
                {"environ": {"CLUSTER_KIT_SECRET": "\n"}},
                "environment variable CLUSTER_KIT_SECRET: is empty",
            ),
        ],
    )
    def test_faults_are_reported_without_the_secret(self, keys, expected):
        message = fault(**keys)
        assert message.startswith(expected)
        assert CANARY not in message


class TestFile:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"abc", ["abc"]),
            (b"abc\n", ["abc"]),
            (b"abc\r\n", ["abc"]),
            (b"new\nold\r\n\n  \nolder\n\n", ["new", "old", "older"]),
            (b"new\nnew\n", ["new"]),
            (b" padded \n", [" padded "]),
            ("geh\u00e4im 🔑\n".encode(), ["geh\u00e4im 🔑"]),
            (b"\xff\x00\xfe\xc3\n", ["\udcff\x00\udcfe\udcc3"]),
            (b"x" * MAX_BYTES, ["x" * MAX_BYTES]),
        ],
    )
    def test_has_a_secret_on_each_line(self, tmp_path, content, expected):
        assert revealed(load(secret_file=str(made(tmp_path / "s", content)))) == expected

    def test_bytes_come_through_as_they_are(self, tmp_path):
        odd = bytes(set(range(256)) - {10})
        [secret] = read_secret_file(made(tmp_path / "s", odd)).secrets
        assert secret.reveal().encode(errors="surrogateescape") == odd

    def test_its_lines_come_before_previous_ones(self, tmp_path):
        path = made(tmp_path / "s", "b\na\n")
        assert revealed(load(secret_file=str(path), previous_secrets=["z", "a"])) == ["b", "a", "z"]

    def test_is_found_from_the_working_directory(self, file, monkeypatch):
        monkeypatch.chdir(file.parent)
        assert load(secret_file=file.name).secret_file.path == file

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "it is empty; write the output of 'cluster-kit secret'"),
            (b"\n \r\n", "it is empty"),
            (b"x" * (MAX_BYTES + 1), f"it has more than {MAX_BYTES} bytes"),
            (b"a\n" * MAX_SECRETS + b"b\n", f"it has more than {MAX_SECRETS} lines"),
            (b"\xffcanary\ncanary", "it is binary and has a newline"),
        ],
    )
    def test_content_that_cannot_be_one_is_refused(self, tmp_path, content, why):
        path = made(tmp_path / "s", content)
        message = fault(secret_file=str(path))
        assert message.startswith(f"secret_file: cannot use '{path}': {why}")
        assert "canary" not in message.replace(str(path), "")

    @pytest.mark.parametrize(
        ("mode", "who"),
        [(0o620, "its group"), (0o660, "its group"), (0o602, "everybody"), (0o666, "everybody")],
    )
    def test_secret_file_must_not_be_writable_by_others(self, file, mode, who):
        file.chmod(mode)
        assert (
            f"{who} can write it (mode {mode:04o}), and so choose the secret; chmod go-w '{file}'"
            in fault(secret_file=str(file))
        )

    @pytest.mark.parametrize("mode", [0o400, 0o440, 0o600, 0o640])
    def test_owner_and_group_may_read_it(self, file, mode):
        file.chmod(mode)
        assert list(advice(load(secret_file=str(file)))) == []

    @pytest.mark.parametrize("mode", [0o444, 0o604, 0o644])
    def test_secret_file_readable_by_others_is_warned_about(self, file, mode):
        file.chmod(mode)
        [warning] = advice(load(secret_file=str(file)))
        assert warning.startswith(
            f"secret_file: everybody on this machine can read '{file}': chmod o-r"
        )

    def test_folder_that_everybody_can_write_to_is_refused_unless_it_is_sticky(self, file):
        file.parent.chmod(0o777)
        assert f"everybody can write to its folder '{file.parent}' (mode 0777)" in fault(
            secret_file=str(file)
        )
        file.parent.chmod(0o1777)
        assert load(secret_file=str(file)).secrets

    def test_folder_of_a_link_counts_as_well(self, tmp_path, file):
        open_to_all = tmp_path / "open"
        open_to_all.mkdir()
        open_to_all.chmod(0o777)
        (open_to_all / "link").symlink_to(file)
        assert f"everybody can write to its folder '{open_to_all}'" in fault(
            secret_file=str(open_to_all / "link")
        )

    def test_links_are_followed_as_kubernetes_makes_them(self, tmp_path):
        (tmp_path / "..2026").mkdir()
        made(tmp_path / "..2026" / "secret", STRONG, 0o644)
        (tmp_path / "..data").symlink_to("..2026")
        (tmp_path / "secret").symlink_to("..data/secret")
        tmp_path.chmod(0o1777)
        assert revealed(load(secret_file=str(tmp_path / "secret"))) == [STRONG]

    def test_path_to_no_regular_file_is_refused(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(tmp_path / "sock"))
            (tmp_path / "loop").symlink_to("loop")
            for name, why in {
                ".": "it is a folder; name the file in it",
                "pipe": "it is not a regular file",
                "sock": "no such device or address",
                "none": "there is no such file; make one: cluster-kit secret --output",
                "loop": "too many levels of symbolic links",
                "pipe/x": "there is no such file",
                "\0": "embedded null",
            }.items():
                assert why in fault(
                    secret_file=str(tmp_path / name) if name != "." else str(tmp_path)
                )

    def test_permission_is_named(self, file, monkeypatch):
        def refuse(*_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", refuse)  # the user who tests may be root
        why = f"user {os.geteuid()} has no permission to read it"
        assert why in fault(secret_file=str(file))

    def test_no_descriptor_is_left(self, file, tmp_path):
        def held():
            return len(list(Path("/proc/self/fd").iterdir()))

        before = held()
        read_secret_file(file)
        for path in (tmp_path, tmp_path / "none"):
            with pytest.raises(ConfigError):
                read_secret_file(path)
        assert held() == before


class TestStrength:
    @pytest.mark.parametrize(
        ("secret", "bits"),
        [
            ("0123456789", 33),
            ("a" * 1000, 24),
            ("wxyz" * 100, 42),
            ("correcthorse", 56),
            ("Tr0ub4dor&3", 73),
            ("deadbeef" * 8, 52),
            ("", 0),
            ("\udcff" * 100, 48),
        ],
    )
    def test_estimate_is_length_times_the_alphabet_without_repetitions(self, secret, bits):
        assert bits_of(secret) == pytest.approx(bits, abs=0.6)

    @pytest.mark.parametrize(
        "make",
        [
            secrets.token_hex,
            secrets.token_urlsafe,
            lambda n: secrets.token_bytes(n).decode(errors="surrogateescape"),
        ],
    )
    def test_random_secrets_of_128_bits_and_more_are_strong(self, make):
        assert all(bits_of(make(size)) >= 128 for size in (17, 24, 32) for _ in range(50))

    def test_weak_ones_are_reported_by_number_and_not_shown(self):
        told = list(advice(load(secret=CANARY, previous_secrets=[STRONG, "also-weak"])))
        assert told[0].startswith("the secret has at most 87 bits of entropy and could be guessed")
        assert told[1].startswith("previous secret 2 has at most ")
        assert "'cluster-kit secret' makes one with 256 bits" in told[0]
        assert CANARY not in "".join(told)
        assert "also-weak" not in "".join(told)

    def test_new_one_is_strong(self):
        assert list(advice(load(secret=STRONG))) == []


class TestNothingShowsIt:
    """A canary in every text that a faulty file gives rise to, its tracebacks with local variables
    included.
    """

    BROKEN = (
        "secret: *CANARY",
        "secret: !CANARY",
        "secret: !CANARY x",
        "secret: !C!CANARY x",
        "secret: @CANARY",
        "secret: 'CANARY",
        'secret: "CANARY\\q"',
        "secret: CANARY: x",
        "secret: |CANARY",
        "secret: [CANARY]",
        "secret: {a: CANARY}",
        "secret: CANARY\nsecret: CANARY",
        "secret: CANARY\nunknown: x",
        "secret: CANARY\n\tx: y",
        "secret: CANARY\nsecret_file: /none",
        "secret: CANARY\nprevious_secrets: {CANARY: 1}",
        "secret: CANARY\nprevious_secrets: [CANARY, [CANARY]]",
        "secret: CANARY\ntopologies: {lan: {strategy: nonsense}}",
        "secret: CANARY\ntopologies: CANARY-none",
        "secret: ${GIVEN}\nnode: x",
        "secret: ${GIVEN}${",
        "secret: ${NOT:-CANARY}${ALSO_NOT}",
        "insecure: x",
    )

    @pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
    @pytest.mark.parametrize("text", BROKEN)
    def test_in_errors_and_tracebacks(self, tmp_path, monkeypatch, text, loader):
        monkeypatch.setattr(yaml_source, "_Loader", getattr(yaml, loader))
        monkeypatch.setenv("CLUSTER_KIT_SECRET", CANARY)
        monkeypatch.setenv("GIVEN", CANARY)
        text = text.replace("CANARY-none", "[]").replace("CANARY", CANARY)
        path = tmp_path / "cluster.yaml"
        path.write_text(
            text if "topologies" in text else f"{text}\ntopologies: {{lan: {{strategy: silent}}}}\n"
        )
        self.check(lambda: load_config(path, Shelf()))

    @pytest.mark.parametrize(
        "keys",
        [{"secret": [CANARY]}, {"secret": CANARY, "node": "x"}, {"secret": CANARY, "clutser": 1}],
    )
    def test_in_those_of_a_dict(self, keys):
        self.check(lambda: load(**keys))

    def check(self, attempt):
        with pytest.raises(ConfigError) as raised:
            attempt()
        assert CANARY not in repr([str(error) for error in raised.value.errors])
        whole = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
        while whole is not None:
            for frame in whole.stack:
                if Path(frame.filename).parts[-2] == "config" or "cluster_kit" in frame.filename:
                    assert CANARY not in repr(frame.locals), (frame.name, frame.locals)
            assert CANARY not in str(whole)
            whole = whole.__cause__ or whole.__context__

    def test_in_what_loads(self):
        config = load(secret=CANARY, previous_secrets=[f"{CANARY}-old"])
        assert CANARY not in repr(config)
