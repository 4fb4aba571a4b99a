"""``cluster-kit secret``: makes the secret that all nodes of a cluster share."""

from __future__ import annotations

import os
from contextlib import suppress

import click

from cluster_kit.cli.click_types import DocumentedCommand
from cluster_kit.cli.failure import Failure


@click.command(
    cls=DocumentedCommand,
    example="cluster-kit secret --output /etc/shop/secret",
    exit_codes={0: "printed or written", 1: "the file exists, or cannot be written"},
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write it to a new FILE, readable only by your user (mode 0600).",
)
def secret(output: str | None) -> None:
    """Print a new secret for a cluster.

    It is one line with 256 random bits: 'ck1-' and 64 hexadecimal digits. Such a secret needs no
    key stretching (scrypt), so nodes start sooner.

    Every node of the cluster needs the same secret. Copy the file to each machine, readable by the
    user that runs the node, and name it in cluster.yaml as 'secret_file: /etc/shop/secret'. In
    Kubernetes, make a Secret with 'cluster-kit secret | kubectl create secret generic shop
    --from-file=secret=/dev/stdin', mount it as a folder with 'defaultMode: 0440' and an 'fsGroup',
    and name the file in it. To change the secret later, see 'cluster-kit rotate'.
    """
    from cluster_kit.security.keys import new_secret

    line = f"{new_secret()}\n"
    if output is None:
        click.echo(line, nl=False)
        return
    try:
        _write(output, line)
    except FileExistsError:
        cure = "name another file, or remove it"
        raise Failure(f"secret: '{output}' exists and may be in use: {cure}") from None
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise Failure(f"secret: cannot write '{output}': {why}") from None


def _write(path: str, line: str) -> None:
    """Write a new file, and remove it if that fails."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "w") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(fd)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108 - as it was opened
        raise
