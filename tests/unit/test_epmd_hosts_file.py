"""What a .hosts.erlang says: the terms that OTP's ``file:consult`` takes, as far as they are host
names.
"""

from pathlib import Path

import pytest

from cluster_kit.strategies.erlang_hosts import parse_hosts, search_path


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("", []),
        ("\n \t\n", []),
        ("% nobody\n", []),
        ("% nobody", []),
        ("'a.example'.\n'b.example'.\n", ["a.example", "b.example"]),
        ("'a'.", ["a"]),
        ("'a'. 'b'.", ["a", "b"]),
        ("'a' .\n", ["a"]),
        ("'a'\n.\n", ["a"]),
        ("'a'.% the first\n% none\n'b'.\n", ["a", "b"]),
        ("'a' % the first\n.\n", ["a"]),
        ("gauffin1.\n", ["gauffin1"]),
        ('"a.example".\n', ["a.example"]),
        ("'a'.\r\n'b'.\r\n", ["a", "b"]),
        ("'10.0.0.1'.\n'::1'.\n", ["10.0.0.1", "::1"]),
        ("'b'.\n'a'.\n'b'.\n", ["b", "a"]),
        ("'fe80::1%eth0'.\n", ["fe80::1%eth0"]),
        (
            "'Super.Eua.Ericsson.SE'.\n'super.eua.ericsson.se.'.\n'0:0::1'.\n",
            ["super.eua.ericsson.se", "::1"],
        ),
    ],
)
def test_hosts_are_read(text, hosts):
    assert list(parse_hosts(text)) == hosts


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a.example.\n", 1),
        ("'a'.\n'b'\n", 2),
        ("'a'.\n\n'b''c'.\n", 3),
        ("'a'.'b'.\n", 1),
        ("Host.\n", 1),
        ("{host, 'a'}.\n", 1),
        ("'a.\n", 1),
        ("''.\n", 1),
        ("'a b'.\n", 1),
        ("'a@b'.\n", 1),
        ("'per%cent'.\n", 1),
        ("'10.0.0.1:4369'.\n", 1),
        ("127.0.0.1.\n", 1),
        ("% 'a'.\n'\\x41'.\n", 2),
    ],
)
def test_fault_is_named_with_its_line(text, line):
    with pytest.raises(ValueError, match=f"^line {line}: "):
        parse_hosts(text)


def test_a_command_beside_the_root_folder_has_that_for_its_root(monkeypatch):
    monkeypatch.delenv("ERL_ROOTDIR", raising=False)
    monkeypatch.setattr("shutil.which", lambda _: "/no-such-erl")
    assert search_path()[-1] == Path("/.hosts.erlang")
