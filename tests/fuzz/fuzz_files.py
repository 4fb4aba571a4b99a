"""Targets: files that somebody else writes."""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import yaml
from fuzz_target import Target

from cluster_kit.config import ClusterConfig, load_config
from cluster_kit.config.certificate_files import CertificatePaths, read_certificate_files
from cluster_kit.config.secret_file import MAX_BYTES, MAX_SECRETS, read_secret_file
from cluster_kit.config.yaml_source import read_yaml
from cluster_kit.errors import ConfigError
from cluster_kit.node import Node
from cluster_kit.plugins import PluginRegistry
from cluster_kit.security.issuing import Issuer, LeafNames, new_key, self_signed
from cluster_kit.strategies.dns.search import read_settings, search_domains
from cluster_kit.strategies.erlang_hosts import parse_hosts
from cluster_kit.strategies.hosts_file.parser import MAX_FAULTS, parse
from cluster_kit.testing.simulation.scripts.file import read_script
from cluster_kit.testing.simulation.scripts.script import Script

Read = TypeVar("Read")
ENVIRON = {"HOST": "127.0.0.1", "EMPTY": ""}


@contextmanager
def file_of(content: bytes) -> Iterator[Path]:
    """Make a file that nobody else can read."""
    with tempfile.TemporaryDirectory(prefix="ck-fuzz-") as folder:
        path = Path(folder, "file")
        path.write_bytes(content)
        path.chmod(0o600)
        yield path


# -- lists of hosts --------------------------------------------------------------------------------


def check_hosts_file(content: bytes) -> bool:
    """Lines are nodes, or faults with line numbers; the nodes listed again are the same."""
    listing = parse(content)
    lines = [fault.line for fault in listing.faults]
    assert lines == sorted(set(lines))
    assert len(lines) <= MAX_FAULTS
    assert all(1 <= line <= content.count(b"\n") + 1 for line in lines)
    assert all("\n" not in text for fault in listing.faults for text in (fault.what, fault.cure))
    if listing.faults:
        return False
    assert content.endswith(b"\n")
    assert listing.nodes or b"#" in content
    assert len({node.key for node in listing.nodes}) == len(listing.nodes)
    assert parse(b"#\n" + b"".join(map(line_of, listing.nodes))) == listing
    return bool(listing.nodes)


def line_of(node: Node) -> bytes:
    basename = f"{node.name.partition('@')[0]}@" if node.name else ""
    return f"{basename}{node.address}\n".encode()


def check_erlang(content: bytes) -> bool:
    """Hosts are read again from a file that lists them."""
    why = ""
    try:
        hosts = parse_hosts(content.decode(errors="replace"))
    except ValueError as exc:
        why, hosts = str(exc), ()
    assert not why or re.match(r"line \d+: ", why)
    assert len(set(hosts)) == len(hosts)
    assert parse_hosts("".join(f"'{host}'.\n" for host in hosts)) == hosts
    return bool(hosts)


def check_resolv_conf(content: bytes) -> bool:
    """Any file has words, of which the last line of domains counts."""
    with file_of(content) as path:
        settings, domains = read_settings(str(path)), search_domains(str(path))
    assert all(settings)
    assert not any(
        character.isspace() for words in settings for word in words for character in word
    )
    assert domains == [] or ["search", *domains] in settings or ["domain", *domains] in settings
    return bool(domains)


# -- configuration ---------------------------------------------------------------------------------

CONFIGURATION = b"""\
node: web@${HOST:-127.0.0.1}
cluster: shop
metadata: &tags {zone: a, "http": "8080"}
topologies:
  lan:
    strategy: gossip
    config: {port: 45892, ttl_s: 9.5}
    connector: {name: tcp, port: 4370}
    topology: k_regular
    child_spec: {restart: permanent, max_restarts: 3}
  wan:
    strategy:
      - {name: dns, query: web.shop.example, port: 4370}
      - {name: static, nodes: [ann@10.0.0.1:1]}
    group: g
"""
DOCUMENTS = (
    CONFIGURATION,
    b"a: &x {b: [1, 2.5, ~, yes, 2001-01-01]}\nc:\n  <<: *x\n  d: |\n    text\n  e: 'it''s'\n",
    b"- 'x'\n- \"\\u2028\"\n- $${HOST}\n- >\n  folded\n  text\n",
)


def refused(read: Callable[[str], Read], path: Path, content: bytes) -> Read | None:
    """Return a file's content, or ``None`` if it is refused with printable text and a place."""
    try:
        return read(str(path))
    except ConfigError as exc:
        lines = len(re.findall(rb"\r\n|[\n\r]|\xc2\x85|\xe2\x80[\xa8\xa9]", content)) + 1
        for error in exc.errors:
            assert "\n" not in str(error)
            # for libyaml the end is a line of its own
            assert error.line is None or 1 <= error.line <= lines + 1
        return None


def escaped(value: Any) -> Any:
    """Return a value that is written so that it is read as it is."""
    if isinstance(value, dict):
        return {key: escaped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [escaped(inner) for inner in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


def check_yaml(content: bytes) -> bool:
    """A faultless document survives a round trip, and holds no objects of Python's own."""
    with file_of(content) as path:
        document = refused(lambda file: read_yaml(file, ENVIRON), path, content)
        if document is None or document.errors or has_faults(document.data):
            return False
        path.write_text(yaml.safe_dump(escaped(document.data), allow_unicode=True, sort_keys=False))
        again = read_yaml(str(path), {})
    assert repr(again.data) == repr(document.data)  # a number that is none equals nothing
    return True


def has_faults(value: Any) -> bool:
    if isinstance(value, dict):
        assert all(type(key) is str for key in value)
        return any(map(has_faults, value.values()))
    if isinstance(value, list):
        return any(map(has_faults, value))
    assert type(value) in (str, int, float, bool, type(None)) or isinstance(value, ConfigError)
    return isinstance(value, ConfigError)


REGISTRY = PluginRegistry.load({"CLUSTER_KIT_PLUGINS": ""})


def check_config(content: bytes) -> bool:
    """A file is a configuration, the same each time, or refused."""
    with file_of(content) as path:
        config = refused(lambda file: load_config(file, REGISTRY, environ=ENVIRON), path, content)
        if config is None:
            return False
        assert isinstance(config, ClusterConfig)
        assert load_config(str(path), REGISTRY, environ=ENVIRON) == config
    return True


SCRIPT = b"""\
nodes: 6
steps:
- {at_s: 1, join: [7-9, 11]}
- {at_s: 5, crash: 2}
- {at_s: 8.5, partition: [[1, 2], [3-5]], for_s: 10}
- {at_s: 9, leave: all, drain_s: 1}
"""


def check_script(content: bytes) -> bool:
    """A script is written to a file that is read as its equal."""
    with file_of(content) as path:
        script = refused(read_script, path, content)
        if script is None:
            return False
        assert isinstance(script, Script)
        path.write_text(script.as_yaml())
        assert read_script(path) == script
    return True


# -- secrets ---------------------------------------------------------------------------------------


def check_secret_file(content: bytes) -> bool:
    """Each secret is a line of the file, in its order; no error shows any of them."""
    with file_of(content) as path:
        try:
            found = read_secret_file(path)
        except ConfigError as exc:
            shown = str(exc).replace(str(path), "").encode()
            assert not any(line in shown for line in content.split(b"\n") if len(line) > 12)
            assert len(content) > MAX_BYTES or content.count(b"\n") > 0 or not content.strip()
            return False
    secrets = [secret.reveal().encode(errors="surrogateescape") for secret in found.secrets]
    assert 1 <= len(secrets) <= MAX_SECRETS
    assert secrets == list(
        dict.fromkeys(line.removesuffix(b"\r") for line in content.split(b"\n") if line.strip())
    )
    assert not found.exposed
    return True


# -- certificates ----------------------------------------------------------------------------------

NAMES = ("tls.crt", "tls.key", "ca.crt")
NOW = datetime.now(UTC)
KEY = new_key()
ISSUER = Issuer(KEY, [self_signed(KEY, NOW)])
LEAF = ISSUER.issue(LeafNames(("10.0.0.1",)), 90, NOW)
FILES = (LEAF.chain, LEAF.key, ISSUER.trusted)


def check_certificate_files(content: bytes) -> bool:
    """The first byte says which of the three files is replaced; no error leaks the key."""
    which, other = content[:1], content[1:]
    files = [other if which == bytes([number]) else file for number, file in enumerate(FILES)]
    with tempfile.TemporaryDirectory(prefix="ck-fuzz-") as folder:
        for name, file in zip(NAMES, files, strict=True):
            path = Path(folder, name)
            path.write_bytes(file)
            path.chmod(0o600)
        try:
            found = read_certificate_files(CertificatePaths.within(Path(folder)), "10.0.0.1")
        except ConfigError as exc:
            shown = str(exc).replace(folder, "").encode()
            assert files != list(FILES)
            key = [line for line in files[1].split(b"\n") if len(line) > 12]
            assert not any(line in shown for line in key if b"-----" not in line)
            return False
    assert found.titles
    assert found.content.chain.startswith(b"-----BEGIN CERTIFICATE-----")
    return True


def target(
    name: str, of: Callable[..., object], check: Callable[[bytes], bool], *seeds: bytes
) -> Target:
    return Target(name=name, of=(f"{of.__module__}:{of.__qualname__}",), check=check, seeds=seeds)


TARGETS = (
    target(
        "hosts-file",
        parse,
        check_hosts_file,
        b"\xef\xbb\xbf# web\n\nann@10.0.0.1:4370 # a\r\n[fe80::7]:1\nweb.example:4370\n",
    ),
    target(
        "erlang-hosts",
        parse_hosts,
        check_erlang,
        b"% ours\n'host1.example'. \"10.0.0.1\".\nhost2 .\n",
        b"'a.b'.'c'.\n",
    ),
    target(
        "resolv-conf",
        search_domains,
        check_resolv_conf,
        b"# made\nnameserver 10.0.0.2\nsearch a.example b.example\noptions x\n",
    ),
    target("yaml", read_yaml, check_yaml, *DOCUMENTS),
    target("config", load_config, check_config, CONFIGURATION),
    target("script", read_script, check_script, SCRIPT, b"nodes: 0\n"),
    target(
        "certificate-files",
        read_certificate_files,
        check_certificate_files,
        *(bytes([number]) + file for number, file in enumerate(FILES)),
        b"",
        b"\x01-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        b"\x00-----BEGIN CERTIFICATE-----\nAAAA\n",
    ),
    target(
        "secret-file", read_secret_file, check_secret_file, b"new\r\nold\n", b"\0\xff" * 16, b"\n"
    ),
)
