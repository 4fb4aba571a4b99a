"""``cluster-kit certs``: makes an authority and certificates, for those who have no PKI."""

from __future__ import annotations

import json
import os
import re
import stat
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
    from cluster_kit.security.issuing import Issued, Issuer, Names

_T = TypeVar("_T")
_MAX_DAYS = 3650
_BY_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_PLAIN = re.compile(r"[\w./][\w./@%+:-]*", re.ASCII)  # what YAML takes as text without quotes


def _hosts(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> list[tuple[str, ...]]:
    """Return the hosts of each machine in canonical form; the first one names its folder."""
    found = [_machine(value) for value in values]
    for first in (hosts[0] for hosts in found):
        if [hosts[0] for hosts in found].count(first) > 1:
            raise click.BadParameter(
                f"'{first}' is named twice: write all names of one machine as one, with commas "
                "between them"
            )
    return found


def _machine(text: str) -> tuple[str, ...]:
    from cluster_kit.cli.authority_folder import AUTHORITY, AUTHORITY_KEY

    names = [name.strip() for name in text.split(",")]
    try:
        hosts = tuple(dict.fromkeys(_host(name) for name in names if name or len(names) == 1))
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from None
    if not hosts or hosts[0] in (AUTHORITY, AUTHORITY_KEY):
        raise click.BadParameter(
            f"{text[:80]!r} names no machine: write its address or DNS name first"
        )
    return hosts


def _host(name: str) -> str:
    """Return the host in ``name``, a node's name or a host, in canonical form without a zone.

    Raises:
        ValueError: It can't be one; says why, and what to write instead.
    """
    from cluster_kit.host import canonical_host, ip_of, is_unspecified

    host = name.rpartition("@")[2]
    if "*" in host:
        raise ValueError(
            f"host {host[:80]!r}: a wildcard would make each machine all the others; name one "
            "after the other"
        )
    host = canonical_host(host)
    if is_unspecified(host):
        raise ValueError(
            f"host {host!r}: it stands for all addresses of a machine; name the one that others "
            "reach"
        )
    return host if ip_of(host) is None else host.partition("%")[0]


def _trust_domain(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    from cluster_kit.security.names import is_trust_domain

    if value is not None and not is_trust_domain(value):
        raise click.BadParameter(
            f"{value[:80]!r}: expected lower-case letters, digits, '.', '-' and '_', such as "
            "'example.org'"
        )
    return value


@click.command(
    cls=DocumentedCommand,
    example="cluster-kit certs pki 10.0.0.1,shop-1.example 10.0.0.2,shop-2.example",
    exit_codes={
        0: "made",
        1: "existing files cannot be used or replaced, or nothing can be written",
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

    They are written to DIR. A HOST is the part after the '@' in a node's name, an IP address or a
    DNS name; the whole name works, too. Write several names of one machine as one HOST, with commas
    between them. Its folder, DIR and the first of these names, gets tls.crt, tls.key and ca.crt.
    Copy it to the machine, readable by the user that runs the node, and name it in cluster.yaml as
    'certs: FOLDER'.

    The authority is DIR/ca.crt and DIR/ca.key. It is reused if it exists, and otherwise made, valid
    for ten years. Whoever has ca.key can impersonate every node: keep DIR off their machines.

    Certificates expire, so run the same command with --renew in time, and copy the folders again.
    They keep their names, and gain those that a HOST adds. Running nodes pick up new files within
    ten seconds, and no link is lost.
    """
    from datetime import UTC, timedelta

    from cluster_kit.cli.authority_folder import AuthorityFolder

    now = datetime.now(UTC).replace(microsecond=0)
    try:
        # Ctrl-C raises here, so that what is half written is removed.
        with raising(), AuthorityFolder.opened(Path(folder)) as opened:
            issuer, is_new = _issuer(opened, now, renew=renew)
            wanted = _wanted(opened, hosts, trust_domain, renew=renew)
            issued = {name: issuer.issue(names, days, now) for name, names in wanted.items()}
            for name, each in issued.items():
                opened.put_leaf(name, _files(issuer, each))
            opened.commit()
    except OSError as exc:
        why = (exc.strerror or str(exc)).lower()
        raise Failure(
            f"certs: cannot write to '{folder}': {why}; name a folder that you can write to"
        ) from None
    if wanted and now + timedelta(days=days) > issuer.expires:
        warn(f"certs: certificates end with their authority, before the {days} days are over")
    _tell(Path(folder), issuer, wanted, issued, is_new=is_new)


def _issuer(opened: AuthorityFolder, now: datetime, *, renew: bool) -> tuple[Issuer, bool]:
    """Return the authority of the folder, and whether it is one that comes into it now."""
    from cluster_kit.cli.authority_folder import AUTHORITY, AUTHORITY_KEY
    from cluster_kit.security.issuing import (
        Issuer,
        load_certificates,
        load_key,
        new_key,
        pem_of,
        self_signed,
    )

    path, key_path = opened.path / AUTHORITY, opened.path / AUTHORITY_KEY
    certificates, pem = opened.read(AUTHORITY), opened.read(AUTHORITY_KEY)
    if pem is None and certificates is not None:
        raise Failure(
            f"certs: there is '{path}', but no '{key_path}' to sign with: bring that back, or name "
            "another folder"
        )
    if pem is None and (renew or opened.leaves()):
        raise Failure(
            f"certs: no authority in '{opened.path}' to go on with: bring '{AUTHORITY}' and "
            f"'{AUTHORITY_KEY}' back"
        )
    key = new_key() if pem is None else _loaded(key_path, load_key, pem)
    if pem is None:
        # before its certificate, which can be made again
        opened.put(AUTHORITY_KEY, pem_of(key), is_private=True)
    elif key_path.stat().st_mode & _BY_OTHERS:
        warn(f"certs: others can read '{key_path}', and so be every node: chmod 600 '{key_path}'")
    trusted = (
        [self_signed(key, now)]
        if certificates is None
        else _loaded(path, load_certificates, certificates)
    )
    try:
        issuer = Issuer(key, trusted)
    except ValueError as exc:
        raise Failure(
            f"certs: cannot use '{path}' with '{key_path}': {exc}; bring back those that belong "
            "together"
        ) from None
    if certificates is None:
        opened.put(AUTHORITY, issuer.trusted)
    if issuer.expires <= now:
        cure = "move it away, and one is made for the same key, which all nodes then need"
        raise Failure(
            f"certs: cannot use '{path}': it has expired on {issuer.expires:%Y-%m-%d}; {cure}"
        )
    return issuer, certificates is None


def _loaded(path: Path, load: Callable[[bytes], _T], content: bytes) -> _T:
    try:
        return load(content)
    except ValueError as exc:
        raise Failure(
            f"certs: cannot use '{path}': {exc}; bring back what was there, or name another folder"
        ) from None


def _wanted(
    opened: AuthorityFolder,
    hosts: Sequence[tuple[str, ...]],
    trust_domain: str | None,
    *,
    renew: bool,
) -> dict[str, Names]:
    """Return the folders that will get a certificate, and the names in each."""
    there = opened.leaves()
    machines: dict[str, tuple[str, ...]] = {machine[0]: machine for machine in hosts}
    if renew and not machines:
        machines = dict.fromkeys(there, ())
        if not there:
            raise Failure(
                f"certs: no certificate in '{opened.path}' to renew: name a HOST to have one made"
            )
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
) -> Names:
    from cluster_kit.cli.authority_folder import CERTIFICATE
    from cluster_kit.security.issuing import Names, load_certificates, names_in
    from cluster_kit.security.names import trust_domain_of

    path = opened.path / name
    before = None
    if os.path.lexists(path):
        if not renew:
            raise Failure(
                f"certs: '{path}' is there already, and may be in use: add --renew, or remove it"
            )
        content = opened.read(f"{name}/{CERTIFICATE}")
        before = content and names_in(_loaded(path / CERTIFICATE, load_certificates, content)[0])
        if not before:
            raise Failure(
                f"certs: cannot renew '{path}': no '{CERTIFICATE}' in it has names; remove it"
            )
    kept = before.hosts if before else ()
    uri = before.uri if before else None
    if trust_domain is not None:
        uri = f"spiffe://{trust_domain}/{name}"
        if trust_domain_of(uri) != trust_domain:
            cure = f"name the machine by a DNS name first, such as 'shop-1.example,{name}'"
            raise click.BadParameter(
                f"{uri!r} is no SPIFFE ID: {cure}", param_hint="--trust-domain"
            )
    return Names(tuple(dict.fromkeys((*machine, *kept))), uri)


def _files(issuer: Issuer, issued: Issued) -> dict[str, bytes]:
    """Return the files of a machine, in the order in which they are replaced."""
    from cluster_kit.cli.authority_folder import AUTHORITY, CERTIFICATE, KEY

    return {AUTHORITY: issuer.trusted, KEY: issued.key, CERTIFICATE: issued.chain}


def _tell(
    folder: Path,
    issuer: Issuer,
    wanted: Mapping[str, Names],
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
        shown = [*names.hosts, *([names.uri] if names.uri else [])]
        rows.append(
            (str(folder / name), f"until {issued[name].expires:%Y-%m-%d}", ", ".join(shown))
        )
    click.echo(columns(rows))
    key = printable(str(folder / AUTHORITY_KEY))
    click.echo(
        f"{key} is for you alone: whoever has it is every node, so keep it off their machines."
    )
    if not wanted:
        return
    first = next(iter(wanted))
    click.echo(
        "Copy each folder to its machine, for the user that runs the node, and name it in "
        "cluster.yaml, such as:"
    )
    path = str(folder / first)
    click.echo(f"certs: {path if _PLAIN.fullmatch(path) else json.dumps(path)}")
    if (uri := wanted[first].uri) is not None:
        click.echo(f"trust_domain: {trust_domain_of(uri)}")
