"""Runs ``cluster-kit certs``, and asks openssl about what it made."""

import shutil
import subprocess

import pytest
from click.testing import CliRunner

from cluster_kit.cli import main

HOST = "10.0.0.1"


def run(*arguments):
    """Run the command in this process, which takes milliseconds, and return its result."""
    return CliRunner().invoke(main, ["certs", *map(str, arguments)])


def made(*arguments):
    """Return what the command prints where it succeeds."""
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def refused(*arguments, code=1):
    """Return the error of the command where it fails."""
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (code, "")
    return done.stderr


def content(folder):
    """Return the content of each file, by its path in the folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def openssl(*arguments):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    return subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=60
    )


def verified(authority, leaf, *also):
    """Whether openssl accepts a certificate, strictly and for both ends of a link."""
    strictly = ("verify", "-x509_strict", "-CAfile", authority)
    return all(
        openssl(*strictly, "-purpose", purpose, *also, leaf / "tls.crt").returncode == 0
        for purpose in ("sslserver", "sslclient")
    )
