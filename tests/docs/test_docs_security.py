"""The page on security is true as far as a test can say: its tests exist, its example works."""

import re
import subprocess

import pytest
import yaml
from cli_process import COMMAND
from docs_pages import PAGES, ROOT, texts

from cluster_kit.config.certificate_files import CertificatePaths, read_certificate_files
from cluster_kit.security.keys import derive
from cluster_kit.security.names import trust_domain_of

NAME = "docs/security.md"
PAGE, TESTS = PAGES[NAME], ROOT / "tests"
NAMED = sorted(
    set(
        re.findall(
            r"`((?:unit|property|integration|simulation|faults|fuzz)/\w+\.py)(?:::(\w+))?`", PAGE
        )
    )
)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_named_test_is_there(file, name):
    assert re.search(
        rf"^ *(async )?def {name or 'test_'}", (TESTS / file).read_text(), re.MULTILINE
    )


def test_all_that_look_like_tests_are_looked_at():
    assert len({*re.findall(r"test_\w+\.py(?:::\w+)?", PAGE)}) == len(NAMED) > 40


def test_example_of_a_secret():
    [(secret, cluster, id_)] = re.findall(
        r"The secret `([^`]+)` in the cluster `([^`]+)` has the id `([^`]+)`", PAGE
    )
    assert derive(secret, cluster).id.hex() == id_


def commands(word):
    """Return the commands of the block that has ``word`` in it."""
    [block] = [block for block in texts(NAME, "console") if word in block]
    return [line.removeprefix("$ ") for line in block.splitlines()]


def test_authority_is_replaced_as_shown(tmp_path):
    """After each step nodes accept the folders; the last ones are the new authority's alone."""

    def run(command):
        command = command.replace("cluster-kit ", f"'{COMMAND}' ")
        subprocess.run(
            ["sh", "-ec", command], cwd=tmp_path, check=True, capture_output=True, timeout=60
        )
        return {
            host: read_certificate_files(CertificatePaths.within(tmp_path / "pki" / host), host)
            for host in hosts
        }

    make, _ = commands("rsync")
    hosts = re.findall(r"10\.\S+?(?=,)", make)
    before = run(make)
    for step in commands("next/ca.key"):
        after = run(step)
    authority = (tmp_path / "next" / "ca.crt").read_bytes()
    assert {each.content.authorities for each in after.values()} == {authority} != {b""}
    assert all(after[host].content.chain != before[host].content.chain for host in hosts)


def test_examples_for_cert_manager_ask_for_what_nodes_take():
    blocks = [yaml.safe_load(each) for each in texts(NAME, "yaml")]
    [domain] = [block["trust_domain"] for block in blocks if "trust_domain" in block]
    [spec] = [block["spec"] for block in blocks if block.get("kind") == "Certificate"]
    [[volume]] = [block["volumes"] for block in blocks if "volumes" in block]
    asked = {
        name.partition("/")[2]: value for name, value in volume["csi"]["volumeAttributes"].items()
    }
    for usages in (spec["usages"], asked["key-usages"].split(",")):
        assert usages == ["digital signature", "server auth", "client auth"]
    for uri in (*spec["uris"], re.sub(r"\$\{\w+\}", "shop", asked["uri-sans"])):
        assert trust_domain_of(uri) == domain
