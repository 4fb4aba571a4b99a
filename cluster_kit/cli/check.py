"""``cluster-kit check``: whether a file can be used, and what would run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

import click

from cluster_kit.cli.click_types import FAULTY_FILE, DocumentedCommand
from cluster_kit.cli.configuration import read_configuration
from cluster_kit.cli.failure import warn
from cluster_kit.cli.text import columns, pairs

if TYPE_CHECKING:
    from cluster_kit.config import ClusterConfig, Component, TopologyConfig
    from cluster_kit.config.certificate_files import CertificateFiles


@click.command(
    cls=DocumentedCommand,
    example="cluster-kit check cluster.yaml",
    exit_codes={0: "the file can be used", 2: FAULTY_FILE},
)
@click.argument("file")
def check(file: str) -> None:
    """Check FILE and show what would run.

    Reads the file as 'run' does, with the installed plugins and this environment, but starts
    nothing. Reports all faults at once, each with its line and column. If there are none, shows
    every component with all of its options, including defaults.
    """
    from cluster_kit.config.advice import advice

    config, _ = read_configuration(file)
    for each in (*advice(config), *_expiry(config)):
        warn(f"check: {each}")
    click.echo(columns(_node_rows(config)))
    for topology in config.topologies.values():
        click.echo(f"\ntopology {topology.name}")
        click.echo(columns(_topology_rows(topology), indent="  "))


def _expiry(config: ClusterConfig) -> Iterator[str]:
    """Yield the warning that a running node would log about its certificate, if any."""
    if config.certificates is not None:
        from datetime import UTC, datetime

        from cluster_kit.config.certificate_files import warning_of

        warning = warning_of(config.certificates, datetime.now(UTC))
        if warning is not None:
            yield warning


def _node_rows(config: ClusterConfig) -> Iterator[tuple[str, str]]:
    yield "node", config.node or f"(a unique name)@{config.host}"
    yield "cluster", config.cluster
    yield "metadata", pairs(sorted(config.metadata.items()))
    yield "secret", _secret(config)
    if config.certificates is not None:
        yield "certificates", _certificates(config.certificates)


def _secret(config: ClusterConfig) -> str:
    """Describe where the secret comes from, and how many others are accepted."""
    if not config.secrets and config.certificates is None:
        return "none: links and gossip are not protected"
    if not config.secrets:
        return "none: gossip is not sealed"
    file = config.secret_file
    origin = "given" if file is None else f"the first line of '{file.path}'"
    others = len(config.secrets) - 1
    return f"{origin}; {others} more accepted" if others else origin


def _certificates(files: CertificateFiles) -> str:
    """Describe the node's certificate: its files, names and expiry, and which peers it trusts."""
    domain = files.content.trust_domain
    trusted = f"; trusts nodes of the trust domain '{domain}'" if domain is not None else ""
    names = ", ".join(files.titles)
    return f"{files.paths}: for {names}, valid until {files.expires_text}{trusted}"


def _topology_rows(topology: TopologyConfig) -> Iterator[tuple[str, str, str]]:
    for source, strategy in zip(topology.sources, topology.strategies, strict=True):
        yield "strategy", source, _options(strategy)
    yield "connector", topology.connector.name, _options(topology.connector)
    yield "topology", topology.topology.name, _options(topology.topology)
    yield "group", topology.group, ""
    for name in ("prune", "max_nodes", "connect_timeout_s", "remember_s"):
        yield name, repr(getattr(topology, name)), ""
    spec = topology.child_spec
    limits = pairs((field.name, getattr(spec, field.name)) for field in fields(spec)[1:])
    yield "child_spec", spec.restart, limits


def _options(component: Component) -> str:
    """Return the options that the component would run with; secrets hide themselves."""
    from cluster_kit.config.options import names_of

    built = component.build()
    declared = fields(built) if is_dataclass(built) else ()
    return pairs(
        (names_of(field)[0], repr(getattr(built, field.name))) for field in declared if field.repr
    )
