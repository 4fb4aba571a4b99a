"""``cluster-kit manifest``: prints what nodes need to find each other on a platform."""

from __future__ import annotations

import re

import click

from cluster_kit.cli.click_types import DocumentedCommand

_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,53}[a-z0-9])?")  # RFC 1035, with room for '-cluster'
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")  # RFC 1123


def _label(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if not _LABEL.fullmatch(value):
        allowed = "at most 55 lower-case letters, digits and dashes, a letter first"
        raise click.BadParameter(f"{value!r}: expected {allowed}")
    return value


def _subdomain(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if not _SUBDOMAIN.fullmatch(value):
        allowed = "at most 253 lower-case letters, digits, dots and dashes"
        raise click.BadParameter(f"{value!r}: expected {allowed}")
    return value


@click.command(
    cls=DocumentedCommand,
    example="cluster-kit manifest kubernetes --name web --service-account web | kubectl apply -f -",
    exit_codes={0: "printed", 2: "an option is invalid"},
)
@click.argument("platform", type=click.Choice(["kubernetes"]))
@click.option(
    "--name",
    default="web",
    show_default=True,
    callback=_label,
    help="Name of the application, the label 'app' of its pods.",
)
@click.option(
    "-n",
    "--namespace",
    default="default",
    show_default=True,
    callback=_subdomain,
    help="Namespace of the application.",
)
@click.option(
    "--service-account",
    default="default",
    show_default=True,
    callback=_subdomain,
    help="Service account of its pods.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=45893,
    show_default=True,
    help="Port that peers listen on.",
)
@click.option(
    "--pods", is_flag=True, help="Find pods by their labels instead of the endpoints of a Service."
)
def manifest(
    platform: str, name: str, namespace: str, service_account: str, *, port: int, pods: bool
) -> None:
    """Print the Kubernetes manifests that nodes need.

    For 'kubernetes', these are a Role that lets the pods see their peers, a RoleBinding and a
    headless Service. Comments say what to add to the Deployment and to cluster.yaml. The output can
    be applied as it is.
    """
    from cluster_kit.strategies.kubernetes.manifest import manifest as text

    names = {"name": name, "namespace": namespace, "account": service_account}
    click.echo(text(**names, port=port, pods=pods), nl=False)
