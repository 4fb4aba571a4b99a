"""``cluster-kit secret``: one line, and a file that nobody else can read."""

import os
import re
import stat
import subprocess

import pytest
from cli_process import COMMAND, cluster_kit

from cluster_kit.config.advice import bits_of
from cluster_kit.config.secret_file import read_secret_file


def test_a_new_one_is_printed_on_a_line_and_nothing_else():
    first, second = cluster_kit("secret"), cluster_kit("secret")
    for done in (first, second):
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(r"ck1-[0-9a-f]{64}\n", done.stdout)
        assert bits_of(done.stdout.strip()) > 240
    assert first.stdout != second.stdout


def test_file_is_for_its_owner_alone(tmp_path):
    path = tmp_path / "secret"
    umask = os.umask(0)
    try:
        done = cluster_kit("secret", "--output", path)
    finally:
        os.umask(umask)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    [secret] = read_secret_file(path).secrets
    assert re.fullmatch(r"ck1-[0-9a-f]{64}", secret.reveal())


@pytest.mark.parametrize("kind", ["file", "link"])
def test_existing_file_is_never_overwritten(tmp_path, kind):
    path = tmp_path / "secret"
    if kind == "file":
        path.write_text("in use")
    else:
        path.symlink_to(tmp_path / "elsewhere")
    done = cluster_kit("secret", "-o", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"secret: '{path}' exists and may be in use" in done.stderr
    assert not (tmp_path / "elsewhere").exists()
    assert kind == "link" or path.read_text() == "in use"


def test_unwritable_path_is_reported(tmp_path):
    done = cluster_kit("secret", "-o", tmp_path / "none" / "secret")
    assert (done.returncode, done.stdout) == (1, "")
    assert "No such file or directory" in done.stderr


def test_nothing_is_left_of_a_file_that_cannot_be_filled(tmp_path):
    command = f"trap '' XFSZ; ulimit -f 0; exec {COMMAND} secret -o {tmp_path / 'secret'}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "File too large" in done.stderr
    assert not (tmp_path / "secret").exists()


def test_check_says_where_it_comes_from_and_warns(tmp_path):
    path = tmp_path / "secret"
    cluster_kit("secret", "-o", path)
    file = tmp_path / "cluster.yaml"
    file.write_text(
        f"secret_file: {path}\nprevious_secrets: [weak]\ntopologies: "
        f"{{lan: {{strategy: gossip}}}}\n"
    )
    path.chmod(0o644)
    done = cluster_kit("check", file)
    assert done.returncode == 0
    assert f"secret    the first line of '{path}'; 1 more accepted" in done.stdout
    told = done.stderr.splitlines()
    assert told[0].startswith(
        f"cluster-kit: check: secret_file: everybody on this machine can read '{path}'"
    )
    assert told[1].startswith("cluster-kit: check: previous secret 1 has at most 19 bits")


def test_check_says_how_to_make_one(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text("node: a@10.0.0.1\ntopologies: {lan: {strategy: gossip}}\n")
    done = cluster_kit("check", file)
    assert done.returncode == 2
    assert "run 'cluster-kit secret --output FILE' and add 'secret_file: FILE'" in done.stderr


ASKING = """
from cluster_kit import Strategy
from cluster_kit.diagnosis import Finding


class Asking(Strategy):
    async def discover(self, ctx):
        return
        yield

    async def diagnose(self, ctx):
        yield Finding(asked="whether there is a secret", got=str(ctx.security.protects))
"""


@pytest.mark.parametrize(
    ("key", "protects"), [("secret: weak", "True"), ("insecure: false", "False")]
)
def test_doctor_examines_with_the_keys(tmp_path, key, protects):
    (tmp_path / "asking.py").write_text(ASKING)
    file = tmp_path / "cluster.yaml"
    file.write_text(f"{key}\ntopologies: {{lan: {{strategy: 'asking:Asking'}}}}\n")
    said = cluster_kit("doctor", file, "--wait", "0.1").stdout
    assert f"whether there is a secret: {protects}" in said
