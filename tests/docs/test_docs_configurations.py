"""Every block of YAML in the docs is read by what a reader would give it to.

Configurations, whole or in parts, go through ``load_config``; scripts of simulations through their
reader. What is read by another program is listed in ``FOREIGN``. A block that is none of these
fails, so a misspelled key at the top can't hide one.
"""

import os
import re
import sys
from tempfile import mkdtemp
from textwrap import indent
from types import ModuleType

import pytest
import yaml
from click.testing import CliRunner
from docs_pages import blocks, texts

from cluster_kit import ConfigError, cli, load_config
from cluster_kit.config.expand import expand
from cluster_kit.plugins import PluginRegistry
from cluster_kit.testing.simulation.scripts.file import script_from

FOREIGN = {"env": "a part of a pod, for Kubernetes", "volumes": "a part of a pod, for Kubernetes"}
MINIMAL = "topologies: {lan: {strategy: gossip}}"


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Return a function that reads a block and says what it is."""
    for name in ("myapp", "myapp.links", "inventory"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for name in ("HOST_IP", "POD_IP", "POD_FQDN"):  # the unit and the pod set them
        monkeypatch.setenv(name, "127.0.0.1")
    links = sys.modules["myapp.links"]
    links.connect = links.disconnect = links.list_nodes = lambda *arguments: None
    [strategy] = [
        text for text in texts("docs/plugins.md", "python") if "class InventoryStrategy" in text
    ]
    exec(strategy, vars(sys.modules["inventory"]))
    return lambda text: _read(_local(text, tmp_path), tmp_path)


def _local(text, folder):
    """Return a text with what is on this machine in place of what it names."""
    secret = folder / "secret"
    secret.write_text("0123456789abcdef" * 4)
    text = re.sub(r"^( *secret_file:) \S+", rf"\1 {secret}", text, flags=re.MULTILINE)
    text = text.replace("strategy: inventory", "strategy: inventory:InventoryStrategy")
    if re.search("^certs: ", text, re.MULTILINE):
        text = re.sub(
            r"^certs: \S+", f"certs: {certificates(text, folder)}", text, flags=re.MULTILINE
        )
    return text


def certificates(text, folder):
    """Return a folder with certificates for the node of a configuration, as that asks for them."""
    host = re.search(r"^node: \w+@(\S+)", text, re.MULTILINE)
    host = "127.0.0.1" if host is None else expand(host[1], os.environ)
    domain = re.search(r"^trust_domain: (\S+)", text, re.MULTILINE)
    option = [] if domain is None else ["--trust-domain", domain[1]]
    pki = mkdtemp(dir=folder)
    done = CliRunner().invoke(cli.main, ["certs", f"{pki}/ca", host, *option])
    assert done.exit_code == 0, done.output
    return f"{pki}/ca/{host}"


def _read(text, folder):
    documents = list(yaml.safe_load_all(text))
    keys = frozenset.intersection(*map(frozenset, documents))
    if keys >= {"apiVersion", "kind"}:
        for document in documents:
            _read_manifest(document, folder)
        return "manifest"
    if keys <= FOREIGN.keys():
        return "foreign"
    if "steps" in keys:
        script_from(documents[0])
        return "script"
    if all(isinstance(value, dict) for value in documents[0].values()) and "topologies" not in keys:
        text = "topologies:\n" + indent(text, "  ")
    elif "topologies" not in keys:
        text = f"{text}\n{MINIMAL}"
    path = folder / "cluster.yaml"
    path.write_text(text)
    load_config(path, PluginRegistry.load(), node=None if "node" in keys else "x@127.0.0.1")
    return "configuration"


def _read_manifest(document, folder):
    """Check what every object of Kubernetes has, and the configurations in a ConfigMap."""
    assert document["metadata"]["name"]
    for name, content in document.get("data", {}).items():
        if name.endswith(".yaml"):
            assert _read(_local(content, folder), folder) == "configuration"


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_block_is_read(block, read):
    assert read(block.text)


def test_configurations_are_read_as_such(read):
    taken = [read(block.text) for block in blocks("yaml")]
    assert taken.count("configuration") > 30


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("topologies: {lan: {strategy: gossip, config: {prot: 1}}}", "did you mean 'port'"),
        ("node: a@127.0.0.1\ntopologies:\n  lan: {strategy: gosip}", "did you mean 'gossip'"),
        ("lan: {strategy: gossip, config: {port: http}}", "expected int"),
        ("legacy: {strategy: gossip, connect: [myapp.links, missing, []]}", "has no 'missing'"),
        ("secret_fiel: /etc/shop/secret", "did you mean 'secret_file'"),
        ("topologeis: {lan: {strategy: gossip}}", "lan: unknown key"),
        ("lan: {stratgy: gossip}", "did you mean 'strategy'"),
        ("nodes: 5\nsteps:\n- {at_s: 5, crush: 2}", "did you mean 'crash'"),
    ],
)
def test_broken_block_is_refused(text, cure, read):
    with pytest.raises(ConfigError, match=cure):
        read(text)


@pytest.mark.parametrize("key", FOREIGN)
def test_no_exception_is_left_over(key):
    assert any(re.match(f"{key}:", block.text) for block in blocks("yaml"))
