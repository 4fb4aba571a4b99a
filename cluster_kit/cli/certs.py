"""``cluster-kit certs``: makes an authority and certificates, for users without a PKI."""

from __future__ import annotations

import json
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from cluster_kit.cli.click_types import DocumentedCommand
from cluster_kit.cli.failure import Failure, warn
from cluster_kit.cli.interruption import INTERRUPTED, raising

if TYPE_CHECKING:
    from cluster_kit.cli.authority_folder import AuthorityFolder
    from cluster_kit.security.issuing import Issued, Issuer, LeafNames, PrivateKey

_T = TypeVar("_T")
_MAX_DAYS = 3650
_BY_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_PLAIN = re.compile(r"[\w./][\w./@%+:-]*", re.ASCII)  # needs no quotes in YAML


def _hosts(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> list[tuple[str, ...]]:
    """Return the hosts of each machine in canonical form; the first one names its folder."""
    machines = [_machine(value) for value in values]
    for first, count in Counter(hosts[0] for hosts in machines).items():
        if count > 1:
            cure = "join all names of a machine with commas"
            raise click.BadParameter(f"'{first}' is named twice: {cure}")
    return machines


def _machine(text: str) -> tuple[str, ...]:
    from cluster_kit.cli.authority_folder import AUTHORITY, AUTHORITY_KEY

    names = [name.strip() for name in text.split(",")]
    try:
        hosts = tuple(dict.fromkeys(_host(name) for name in names if name or len(names) == 1))
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from None
    if not hosts or hosts[0] in (AUTHORITY, AUTHORITY_KEY):
        cure = "write its address or DNS name first"
        raise click.BadParameter(f"{text[:80]!r} names no machine: {cure}")
    return hosts


def _host(name: str) -> str:
    """Return the host in ``name``, a node's name or a host, in canonical form without a zone.

    Raises:
        ValueError: It isn't one; the message says why, and what to write instead.
    """
    from cluster_kit.host import canonical_host, ip_of, is_unspecified

    host = name.rpartition("@")[2]
    if "*" in host:
        why = "with a wildcard, each machine could impersonate the others"
        raise ValueError(f"host {host[:80]!r}: {why}; name every machine")
    host = canonical_host(host)
    if is_unspecified(host):
        cure = "name the one that peers can reach"
        raise ValueError(f"host {host!r}: it means all addresses of a machine; {cure}")
    return host if ip_of(host) is None else host.partition("%")[0]


def _trust_domain(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    from cluster_kit.security.names import is_trust_domain

    if value is not None and not is_trust_domain(value):
        allowed = "lower-case letters, digits, '.', '-' and '_'"
        raise click.BadParameter(f"{value[:80]!r}: expected {allowed}, such as 'example.org'")
    return value


@click.command(
    cls=DocumentedCommand,
    example="cluster-kit certs pki 10.0.0.1,shop-1.example 10.0.0.2,shop-2.example",
    exit_codes={
        0: "the certificates were made",
        1: "existing files cannot be used or replaced, or DIR is not writable",
        2: "a HOST or an option is invalid",
        INTERRUPTED: "interrupted",
    },
)
@click.argument("folder", metavar="DIR")
@click.argument("hosts", metavar="[HOST]...", nargs=-1, callback=_hosts)
@click.option(
    "--renew", is_flag=True, help="Also renew existing certificates; without a HOST, all of them."
)
@click.option(
    "--days",
    type=click.IntRange(1, _MAX_DAYS),
    default=90,
    show_default=True,
    help="How long certificates are valid.",
)
@click.option(
    "--trust-domain",
    metavar="NAME",
    callback=_trust_domain,
    help="Add the SPIFFE ID 'spiffe://NAME/HOST' to each.",
)
def certs(
    folder: str, hosts: list[tuple[str, ...]], *, renew: bool, days: int, trust_domain: str | None
) -> None:
    """Make a certificate authority, and certificates for hosts.

    Everything is written to DIR. A HOST is what follows the '@' in a node's name, an IP address or
    a DNS name; the whole name of the node works, too. If a machine has several names, join them
    with commas. Each machine gets the folder DIR/HOST, called by its first name, with tls.crt,
    tls.key and ca.crt. Copy it to the machine, readable by the user that runs the node, and name it
    in cluster.yaml as 'certs: FOLDER'.

    The authority is DIR/ca.crt and DIR/ca.key. It is reused if it exists; otherwise one is made
    that is valid for ten years. Whoever has ca.key can impersonate every node: keep DIR off their
    machines.

    Certificates expire, so run the same command with --renew in time, and copy the folders again.
    They keep their names, and gain the names that a HOST adds. Running nodes load new files within
    ten seconds, and no link is lost.
    """
    from datetime import UTC, timedelta

    from cluster_kit.cli.authority_folder import AuthorityFolder

    now = datetime.now(UTC).replace(microsecond=0)
    try:
        # Ctrl-C raises here, so that incomplete files are removed
        with raising(), AuthorityFolder.opened(Path(folder)) as opened:
            issuer, is_new = _issuer(opened, now, renew=renew)
            wanted = _wanted(opened, hosts, trust_domain, renew=renew)
            issued = {name: issuer.issue(names, days, now) for name, names in wanted.items()}
            for name, each in issued.items():
                opened.put_machine(name, _files(issuer, each))
            opened.commit()
    except OSError as exc:
        why = f"{(exc.strerror or str(exc)).lower()}; name a folder that you can write to"
        raise Failure(f"certs: cannot write to '{folder}': {why}") from None
    if wanted and now + timedelta(days=days) > issuer.expires:
        warn(f"certs: certificates expire with their authority, before the {days} days are over")
    _print_result(Path(folder), issuer, wanted, issued, is_new=is_new)


def _issuer(opened: AuthorityFolder, now: datetime, *, renew: bool) -> tuple[Issuer, bool]:
    """Return the authority of the folder, and whether its certificate is new."""
    from cluster_kit.cli.authority_folder import AUTHORITY, AUTHORITY_KEY
    from cluster_kit.security.issuing import Issuer, load_certificates, self_signed

    path, key_path = opened.path / AUTHORITY, opened.path / AUTHORITY_KEY
    pem = opened.read(AUTHORITY)
    key = _authority_key(opened, may_make=pem is None and not renew and not opened.machines())
    trusted = [self_signed(key, now)] if pem is None else _load(path, load_certificates, pem)
    try:
        issuer = Issuer(key, trusted)
    except ValueError as exc:
        why = f"{exc}; restore the two that belong together"
        raise Failure(f"certs: cannot use '{path}' with '{key_path}': {why}") from None
    if pem is None:
        opened.put(AUTHORITY, issuer.trusted)
    if issuer.expires <= now:
        cure = "move it away to make a new one for the same key, and copy that to all nodes"
        expired = f"it expired on {issuer.expires:%Y-%m-%d}"
        raise Failure(f"certs: cannot use '{path}': {expired}; {cure}")
    return issuer, pem is None


def _authority_key(opened: AuthorityFolder, *, may_make: bool) -> PrivateKey:
    from cluster_kit.cli.authority_folder import AUTHORITY, AUTHORITY_KEY
    from cluster_kit.security.issuing import load_key, new_key, pem_of

    path = opened.path / AUTHORITY_KEY
    pem = opened.read(AUTHORITY_KEY)
    if pem is not None:
        if path.stat().st_mode & _BY_OTHERS:
            warn(f"certs: others can read '{path}' and impersonate every node: chmod 600 '{path}'")
        return _load(path, load_key, pem)
    if not may_make:
        cure = f"restore it with its '{AUTHORITY}', or name another folder"
        raise Failure(f"certs: no authority to sign with: '{path}' is missing; {cure}")
    key = new_key()
    opened.put(AUTHORITY_KEY, pem_of(key), is_private=True)  # first, as it can't be made again
    return key


def _load(path: Path, load: Callable[[bytes], _T], content: bytes) -> _T:
    try:
        return load(content)
    except ValueError as exc:
        cure = "restore the original, or name another folder"
        raise Failure(f"certs: cannot use '{path}': {exc}; {cure}") from None


def _wanted(
    opened: AuthorityFolder,
    hosts: Sequence[tuple[str, ...]],
    trust_domain: str | None,
    *,
    renew: bool,
) -> dict[str, LeafNames]:
    """Return the names for each certificate to issue, by its folder."""
    machines: dict[str, tuple[str, ...]] = {machine[0]: machine for machine in hosts}
    if renew and not machines:
        machines = dict.fromkeys(opened.machines(), ())
        if not machines:
            missing = f"no certificate in '{opened.path}' to renew"
            raise Failure(f"certs: {missing}: name a HOST to make one for")
    return {
        name: _names(opened, name, machine, trust_domain, renew=renew)
        for name, machine in machines.items()
    }


def _names(
    opened: AuthorityFolder,
    name: str,
    machine: tuple[str, ...],
    trust_domain: str | None,
    *,
    renew: bool,
) -> LeafNames:
    from cluster_kit.cli.authority_folder import CERTIFICATE
    from cluster_kit.security.issuing import LeafNames, load_certificates, names_in
    from cluster_kit.security.names import trust_domain_of

    path = opened.path / name
    before = None
    if os.path.lexists(path):
        if not renew:
            raise Failure(f"certs: '{path}' exists and may be in use: add --renew, or remove it")
        content = opened.read(f"{name}/{CERTIFICATE}")
        before = content and names_in(_load(path / CERTIFICATE, load_certificates, content)[0])
        if not before:
            why = f"it has no '{CERTIFICATE}' with names; remove it"
            raise Failure(f"certs: cannot renew '{path}': {why}")
    kept = before.hosts if before else ()
    uri = before.uri if before else None
    if trust_domain is not None:
        uri = f"spiffe://{trust_domain}/{name}"
        if trust_domain_of(uri) != trust_domain:
            cure = f"write a DNS name of the machine first, such as 'shop-1.example,{name}'"
            why = f"{uri!r} is not a valid SPIFFE ID: {cure}"
            raise click.BadParameter(why, param_hint="--trust-domain")
    return LeafNames(tuple(dict.fromkeys((*machine, *kept))), uri)


def _files(issuer: Issuer, issued: Issued) -> dict[str, bytes]:
    """Return the files for a machine, in the order in which they are replaced."""
    from cluster_kit.cli.authority_folder import AUTHORITY, CERTIFICATE, KEY

    return {AUTHORITY: issuer.trusted, KEY: issued.key, CERTIFICATE: issued.chain}


def _print_result(
    folder: Path,
    issuer: Issuer,
    wanted: Mapping[str, LeafNames],
    issued: Mapping[str, Issued],
    *,
    is_new: bool,
) -> None:
    """Print where everything is, and what to do with it."""
    from cluster_kit.cli.authority_folder import AUTHORITY, AUTHORITY_KEY
    from cluster_kit.cli.text import columns, printable
    from cluster_kit.security.names import trust_domain_of

    until = f"until {issuer.expires:%Y-%m-%d}"
    rows = [(str(folder / AUTHORITY), until, "the new authority" if is_new else "the authority")]
    for name, names in wanted.items():
        until = f"until {issued[name].expires:%Y-%m-%d}"
        shown = ", ".join([*names.hosts, *([names.uri] if names.uri else [])])
        rows.append((str(folder / name), until, shown))
    click.echo(columns(rows))
    key = printable(str(folder / AUTHORITY_KEY))
    click.echo(f"Keep {key} off the nodes' machines: anyone who has it can impersonate every node.")
    if not wanted:
        return
    click.echo("Copy each folder to its machine, readable by the user that runs the node.")
    click.echo("Name it in cluster.yaml, for example:")
    first = next(iter(wanted))
    path = str(folder / first)
    click.echo(f"certs: {path if _PLAIN.fullmatch(path) else json.dumps(path)}")
    if (uri := wanted[first].uri) is not None:
        click.echo(f"trust_domain: {trust_domain_of(uri)}")
